// Rope's part of a checkpoint's keys.
#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/convert/checkpoint_keys.h"
#include "runtime/model/arch_table.h"

namespace larder::runtime {
namespace {

// Files of transformers 5 have rope_parameters, earlier ones rope_scaling beside rope_theta.
constexpr std::string_view kType =
    "rope_parameters.rope_type|rope_scaling.rope_type|rope_parameters.type|rope_scaling.type";
constexpr std::string_view kBase =
    "attn_config.rope_theta|rope_parameters.rope_theta|rope_theta|rope_scaling.rope_theta";
constexpr std::string_view kFactor = "rope_parameters.factor|rope_scaling.factor";
constexpr std::string_view kOriginal =
    "rope_parameters.original_max_position_embeddings|"
    "rope_scaling.original_max_position_embeddings|original_max_position_embeddings";
constexpr std::string_view kPartial =
    "rope_parameters.partial_rotary_factor|partial_rotary_factor|rope_scaling."
    "partial_rotary_factor";

double alpha_base(CheckpointConfig& config, double base, int64_t width) {
  const auto alpha = config.real("rope_parameters.alpha|rope_scaling.alpha");
  for (const char* key : {"beta_fast", "beta_slow", "mscale", "mscale_all_dim", "factor"})
    for (const char* room : {"rope_parameters.", "rope_scaling."})
      config.ignore(std::string(room) + key);
  if (!alpha || width <= 2) return base;
  // Source: NTK-aware scaling, as HunYuan's code has it.
  return base * std::pow(*alpha, static_cast<double>(width) / static_cast<double>(width - 2));
}

void write_yarn(CheckpointConfig& config, const ArchRow& row, double factor, KeyWriter& out) {
  out.string("rope.scaling.type", "yarn");
  const auto scale = config.real("rope_parameters.mscale|rope_scaling.mscale");
  const auto all = config.real("rope_parameters.mscale_all_dim|rope_scaling.mscale_all_dim");
  out.real("rope.scaling.yarn_beta_fast",
           config.real("rope_parameters.beta_fast|rope_scaling.beta_fast").value_or(32));
  out.real("rope.scaling.yarn_beta_slow",
           config.real("rope_parameters.beta_slow|rope_scaling.beta_slow").value_or(1));
  if (row.yarn_scales_attention) {
    if (all.value_or(0) != 0 && scale.value_or(1) != *all)
      config.refuse("rope_scaling.mscale", "differs from mscale_all_dim");
    out.real("rope.scaling.yarn_log_multiplier", 0.1 * all.value_or(0));
  } else if (scale || all) {
    config.refuse("rope_scaling.mscale", "is not supported in this architecture");
  }
  const bool truncates =
      config.boolean("rope_parameters.truncate|rope_scaling.truncate").value_or(true);
  if (truncates != row.rounds_yarn_bounds)
    config.refuse("rope_scaling.truncate", "is not what this architecture computes");
  const auto multiplier =
      config.real("rope_parameters.attention_factor|rope_scaling.attention_factor");
  if (multiplier) {
    const double growth = factor > 1 ? 1 + 0.1 * std::log(factor) : 1;  // source: YaRN
    out.real("rope.scaling.attn_factor", *multiplier / growth);
  }
}

void write_longrope(CheckpointConfig& config, const ArchRow& row, KeyWriter& out) {
  const double context = static_cast<double>(config.integer("max_position_embeddings").value_or(0));
  const double original = static_cast<double>(config.integer(kOriginal).value_or(0));
  if (row.longrope_multiplier == 0 || original <= 1 || context < original)
    return config.refuse("rope_scaling.type", "longrope is not supported here");
  for (const char* key : {"short_mscale", "long_mscale"}) {
    const auto value = config.real("rope_parameters." + std::string(key) + "|rope_scaling." + key);
    if (value && std::abs(*value - row.longrope_multiplier) > 1e-5)
      config.refuse("rope_scaling." + std::string(key),
                    "is " + std::to_string(*value) + "; supported is " +
                        std::to_string(row.longrope_multiplier));
  }
  // Source: llama.cpp's converter.
  out.real("rope.scaling.attn_factor",
           std::sqrt(1 + std::log(context / original) / std::log(original)));
}

void write_scaling(const std::string& type, CheckpointConfig& config, const ArchRow& row,
                   KeyWriter& out) {
  const double factor = config.real(kFactor).value_or(1);
  if (type != "llama3") {
    if (const auto original = config.integer(kOriginal))
      out.count("rope.scaling.original_context_length", *original);
  }
  if (type == "yarn") {
    write_yarn(config, row, factor, out);
  } else if (type == "longrope" || type == "su") {
    return write_longrope(config, row, out);
  } else if (type == "linear") {
    out.string("rope.scaling.type", "linear");
  } else if (type != "llama3") {  // whose factors are a tensor
    return config.refuse(kType, "is not supported: " + type);
  }
  if (type != "llama3") out.real("rope.scaling.factor", factor);
}

int64_t head_width(CheckpointConfig& config) {
  const int64_t n_heads = config.integer("num_attention_heads|n_heads").value_or(1);
  const auto width = config.integer("head_dim");
  return width.value_or(config.integer("hidden_size|d_model").value_or(0) /
                        std::max<int64_t>(n_heads, 1));
}

// Long waves are stretched by the factor, short ones not at all, those between them by parts.
// Source: Llama 3.1's code.
std::vector<float> stretched_waves(CheckpointConfig& config) {
  const double base = config.real(kBase).value_or(10000);
  const double factor = config.real(kFactor).value_or(1);
  const double low =
      config.real("rope_parameters.low_freq_factor|rope_scaling.low_freq_factor").value_or(1);
  const double high =
      config.real("rope_parameters.high_freq_factor|rope_scaling.high_freq_factor").value_or(4);
  const auto original = static_cast<double>(config.integer(kOriginal).value_or(8192));
  const auto width = static_cast<double>(head_width(config));
  if (!(base > 1 && factor > 0 && high > low && low > 0 && original > 0)) {
    config.refuse("rope_scaling.factor", "is not what this scaling allows");
    return {};
  }
  std::vector<float> factors;
  for (double i = 0; i < width / 2; ++i) {
    const double wave = 2 * M_PI * std::pow(base, 2 * i / width);
    const double part = std::clamp((original / wave - low) / (high - low), 0.0, 1.0);
    factors.push_back(static_cast<float>(1 / ((1 - part) / factor + part)));
  }
  return factors;
}

}  // namespace

std::vector<RopeFactors> rope_factors(CheckpointConfig& config) {
  const std::string type = config.string(kType).value_or("default");
  if (type == "llama3") return {{"rope_freqs.weight", stretched_waves(config)}};
  if (type != "longrope" && type != "su") return {};
  return {{"rope_factors_long.weight",
           config.reals("rope_parameters.long_factor|rope_scaling.long_factor")},
          {"rope_factors_short.weight",
           config.reals("rope_parameters.short_factor|rope_scaling.short_factor")}};
}

void write_rope_keys(CheckpointConfig& config, const FamilyRow& family, KeyWriter& out) {
  const ArchRow* const row = find_arch(family.architecture);
  if (row == nullptr) return config.refuse("model_type", "unknown architecture");
  const int64_t width = head_width(config);
  double base = config.real(kBase).value_or(10000);
  std::string type = config.string(kType).value_or("default");
  const bool has_scaled_base = std::find(family.tasks.begin(), family.tasks.end(),
                                         KeyTask::scaled_base) != family.tasks.end();
  if (has_scaled_base && (type == "dynamic" || type == "default")) {
    base = alpha_base(config, base, width);
    type = "default";
  }
  out.real("rope.freq_base", base);
  if (const auto part = config.real(kPartial); part && *part != 1)
    out.count("rope.dimension_count",
              static_cast<int64_t>(std::floor(static_cast<double>(width) * *part)));
  for (const char* key : {"mrope_section", "mrope_interleaved", "type"})
    for (const char* room : {"rope_parameters.", "rope_scaling."})
      config.ignore(std::string(room) + key);  // in text all axes are one
  if (type != "default" && type != "mrope") write_scaling(type, config, *row, out);
}

}  // namespace larder::runtime

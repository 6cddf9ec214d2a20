#include "runtime/model/rope_reader.h"

#include <cfloat>
#include <cmath>
#include <string_view>

namespace larder::runtime {
namespace {

constexpr double kTiny = 1e-6;  // what a divisor must not be below

// What yarn multiplies with, for a weight s of the stretch. Source: YaRN (arXiv 2309.00071).
double yarn_growth(const RopeConfig& rope, double s) {
  return rope.factor > 1 ? 1 + 0.1 * s * std::log(rope.factor) : 1;
}

constexpr const char* kYarnLogMultiplier = "rope.scaling.yarn_log_multiplier";

// Source of the default "linear" and of the formula of the multiplier: llama.cpp, 2026-08.
void read_rope_scaling(ArchKeys& keys, const ArchRow& row, RopeConfig& rope,
                       int32_t context_length) {
  const std::string_view type = keys.string("rope.scaling.type", "linear");
  const char* factor_key = keys.has("rope.scaling.factor") || !keys.has("rope.scale_linear")
                               ? "rope.scaling.factor"
                               : "rope.scale_linear";
  rope.factor = keys.real(factor_key, {kTiny, 1 / kTiny}, 1);
  rope.original_context =
      keys.integer("rope.scaling.original_context_length", {1, kMaxContext}, context_length);
  rope.beta_fast = keys.real("rope.scaling.yarn_beta_fast", {kTiny, 1 / kTiny}, rope.beta_fast);
  rope.beta_slow = keys.real("rope.scaling.yarn_beta_slow", {kTiny, 1 / kTiny}, rope.beta_slow);
  const double attention_factor = keys.real("rope.scaling.attn_factor", {kTiny, 1 / kTiny}, 1);
  if (type == "none") {
    rope.scaling = RopeScaling::none;
  } else if (type == "linear") {
    rope.scaling = rope.factor == 1 ? RopeScaling::none : RopeScaling::linear;
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::longrope;
    rope.multiplier = attention_factor;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::yarn;
    if (rope.base <= 1) keys.refuse("rope.freq_base", "must be above 1 for yarn");
    const double log_multiplier = keys.real(kYarnLogMultiplier, {0, 100}, 0);
    if (log_multiplier == 0)
      rope.multiplier = attention_factor * yarn_growth(rope, 1);
    else if (row.yarn_scales_attention)
      rope.multiplier = attention_factor;
    else
      rope.multiplier = attention_factor * yarn_growth(rope, 1) / yarn_growth(rope, log_multiplier);
  } else {
    keys.refuse("rope.scaling.type", "unknown; known are none, linear, yarn, longrope");
  }
}

}  // namespace

RopeConfig read_rope(ArchKeys& keys, const ArchRow& row, int32_t d_key, int32_t context_length,
                     bool has_longrope) {
  RopeConfig rope;
  if (row.has_relative_positions) return rope;
  rope.layout = row.rope_layout;
  rope.rounds_yarn_bounds = row.rounds_yarn_bounds;
  rope.n_rot = keys.integer("rope.dimension_count", {2, d_key}, d_key);
  if (row.mixer == Mixer::mla && rope.n_rot == d_key)
    keys.refuse("rope.dimension_count", "leaves nothing of a head for the latent");
  if (rope.n_rot % 2 != 0) keys.refuse("rope.dimension_count", "is odd; dims rotate in pairs");
  rope.base = keys.real("rope.freq_base", {1, FLT_MAX}, 10000);
  read_rope_scaling(keys, row, rope, context_length);
  if (row.longrope_multiplier > 0 && has_longrope) {
    rope.scaling = RopeScaling::longrope;
    rope.multiplier = row.longrope_multiplier;
  }
  return rope;
}

double read_yarn_sharpening(ArchKeys& keys, const ArchRow& row, const RopeConfig& rope) {
  if (!row.yarn_scales_attention || rope.scaling != RopeScaling::yarn) return 1;
  const double growth = yarn_growth(rope, 10 * keys.real(kYarnLogMultiplier, {0, 100}, 0));
  return growth * growth;
}

}  // namespace larder::runtime

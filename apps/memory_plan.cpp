#include "apps/memory_plan.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "apps/file_summary.h"
#include "runtime/session/sequence_state.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::LayerConfig;

std::string carrying_text(const LayerConfig& layer) {
  char text[120];
  if (layer.mixer == runtime::Mixer::short_convolution) {
    std::snprintf(text, sizeof text, "gated convolution of %d taps", layer.n_taps);
  } else {
    std::snprintf(text, sizeof text,
                  "gated delta net, %d heads of %d/%d, %d key heads, convolution of %d taps",
                  layer.n_heads, layer.d_key, layer.d_value, layer.n_key_heads, layer.n_taps);
  }
  return text;
}

std::string attention_text(const runtime::ModelConfig& config, const LayerConfig& layer) {
  char text[120];
  if (layer.mixer == runtime::Mixer::mla) {
    std::snprintf(text, sizeof text,
                  "attention %d heads of %d/%d over a latent of %d and a key of %d", layer.n_heads,
                  layer.d_key, layer.d_value, layer.d_latent, layer.d_rotated);
  } else {
    std::snprintf(text, sizeof text, "attention %d heads, %d kv heads of %d/%d", layer.n_heads,
                  layer.n_kv_heads, layer.d_key, layer.d_value);
  }
  std::string all = text;
  if (layer.is_windowed) {
    const bool slides = config.window.kind == runtime::WindowKind::sliding;
    all += (slides ? ", window " : ", chunks of ") + std::to_string(config.window.width);
  }
  if (!layer.rotates) all += ", no rotation";
  if (config.relative.n_buckets > 0)
    all += ", biases of " + std::to_string(config.relative.n_buckets) + " distances";
  if (layer.sees_ahead) all += ", sees ahead";
  if (layer.has_sinks) all += ", sinks";
  if (layer.gates_output) all += ", gated output";
  if (layer.attends_source) all += "; attention to the source";
  return all;
}

std::string ffn_text(const LayerConfig& layer) {
  char text[120];
  if (layer.is_moe()) {
    std::snprintf(text, sizeof text, "%d experts of width %d, %d chosen, shared width %d",
                  layer.router.n_experts, layer.d_ff, layer.router.n_active, layer.d_ff_shared);
  } else {
    std::snprintf(text, sizeof text, "dense FFN of width %d", layer.d_ff_shared);
  }
  return text + std::string(runtime::is_gated(layer.activation) ? "" : ", without a gate");
}

std::string describe(const runtime::ModelConfig& config, const LayerConfig& layer) {
  const std::string norm = config.norm == runtime::NormKind::layer ? "LayerNorm, " : "RMS norm, ";
  const std::string mixer =
      layer.carries_state() ? carrying_text(layer) : attention_text(config, layer);
  return norm + mixer + "; " + ffn_text(layer);
}

uint64_t routed_expert_bytes(const runtime::ModelWeights& weights) {
  uint64_t bytes = 0;
  for (const runtime::LayerWeights& layer : weights.layers) {
    for (const runtime::ExpertStack* stack : {&layer.gate, &layer.up, &layer.down}) {
      bytes += stack->bytes();
    }
  }
  return bytes;
}

uint64_t tensor_bytes(const formats::GgufFile& file) {
  uint64_t bytes = 0;
  for (const formats::GgufTensor& tensor : file.tensors()) bytes += tensor.size_bytes;
  return bytes;
}

// By the share of experts in memory. Source: decoding by recorded routes of Qwen3-30B-A3B and
// Gemma-4-26B, most used experts kept (2026-08); experts that are used evenly hit less.
double expected_hit_rate(double share) {
  constexpr std::pair<double, double> kCurve[] = {{0, 0},    {.05, .37}, {.1, .56}, {.2, .77},
                                                  {.3, .89}, {.5, .96},  {1, 1}};
  for (size_t i = 1; i < std::size(kCurve); ++i) {
    const auto [x, y] = kCurve[i];
    const auto [x0, y0] = kCurve[i - 1];
    if (share <= x) return y0 + (y - y0) * (share - x0) / (x - x0);
  }
  return 1;
}

std::string paging_forecast(const MemoryPlan& plan) {
  const auto megabytes = static_cast<double>(plan.read_bytes_per_token) / 1e6;
  char text[200];
  std::snprintf(text, sizeof text,
                "%.0f %% of the experts are in memory. A token will read about %.0f MB: at most\n"
                "%.1f tokens a second from a disk of 1 GB/s, %.1f from one of 3 GB/s.\n",
                100 * plan.cached_share, megabytes, 1e3 / std::max(megabytes, 1e-3),
                3e3 / std::max(megabytes, 1e-3));
  return text;
}

void add_runs(MemoryPlan& plan, const runtime::ModelConfig& config, runtime::LayerRange stack,
              const char* name) {
  for (int32_t i = stack.first; i < stack.end; ++i) {
    std::string description = describe(config, config.layers[static_cast<size_t>(i)]);
    const bool continues = !plan.layers.empty() && plan.layers.back().stack == name &&
                           plan.layers.back().description == description;
    if (!continues)
      plan.layers.push_back({name, i - stack.first, i - stack.first, std::move(description)});
    plan.layers.back().last = i - stack.first;
  }
}

}  // namespace

Result<MemoryPlan> plan_memory(const runtime::Model& model,
                               const runtime::SessionOptions& options) {
  const Result<runtime::SessionOptions> resolved = runtime::Session::resolve(model, options);
  if (!resolved) return resolved.status();
  const Result<runtime::RamBudget> ram = runtime::Session::plan(model, *resolved);
  if (!ram) return ram.status();
  MemoryPlan plan;
  const runtime::ModelConfig& config = model.config();
  if (config.has_encoder()) add_runs(plan, config, config.encoder(), "encoder");
  add_runs(plan, config, config.decoder(), config.has_encoder() ? "decoder" : "layers");
  plan.n_ctx = resolved->n_ctx;
  plan.is_paged = ram->is_paged;
  plan.expert_bytes = ram->expert_bytes;
  plan.other_bytes = ram->is_paged
                         ? ram->needs.dense_bytes
                         : tensor_bytes(model.file()) - routed_expert_bytes(model.weights());
  plan.carried_bytes = runtime::SequenceState::carried_bytes_for(model.config());
  plan.cache_bytes = ram->needs.cache_bytes - plan.carried_bytes;
  plan.buffer_bytes = ram->needs.buffer_bytes;
  plan.program_bytes = ram->needs.program_bytes + ram->table_bytes;
  plan.floor_bytes = ram->floor_bytes;
  plan.cached_share = ram->cached_share();
  plan.read_bytes_per_token = static_cast<uint64_t>((1 - expected_hit_rate(plan.cached_share)) *
                                                    static_cast<double>(ram->needs.cycle_bytes));
  return plan;
}

DataValue to_data(const MemoryPlan& plan) {
  DataValue layers = DataValue::make_list();
  for (const LayerRun& run : plan.layers) {
    layers.list.push_back(DataValue::make_dict({{"stack", run.stack},
                                                {"first", run.first},
                                                {"last", run.last},
                                                {"description", run.description}}));
  }
  const auto number = [](uint64_t value) { return DataValue(static_cast<int64_t>(value)); };
  return DataValue::make_dict({{"layers", std::move(layers)},
                               {"n_ctx", plan.n_ctx},
                               {"expert_bytes", number(plan.expert_bytes)},
                               {"other_weight_bytes", number(plan.other_bytes)},
                               {"cache_bytes", number(plan.cache_bytes)},
                               {"carried_state_bytes", number(plan.carried_bytes)},
                               {"buffer_bytes", number(plan.buffer_bytes)},
                               {"program_bytes", number(plan.program_bytes)},
                               {"is_paged", plan.is_paged},
                               {"floor_bytes", number(plan.floor_bytes)},
                               {"cached_share", plan.cached_share},
                               {"read_bytes_per_token", number(plan.read_bytes_per_token)},
                               {"total_bytes", number(plan.total_bytes())}});
}

std::string to_text(const MemoryPlan& plan) {
  std::string text = "\n";
  char row[256];
  for (const LayerRun& run : plan.layers) {
    std::snprintf(row, sizeof row, "%s %3d-%-3d ", run.stack.c_str(), run.first, run.last);
    text += row + run.description + "\n";
  }
  text += "\nRAM for a context of " + std::to_string(plan.n_ctx) + " tokens\n";
  const auto part = [&](const char* name, uint64_t bytes) {
    std::snprintf(row, sizeof row, "%-34s %12s\n", name, size_text(bytes).c_str());
    text += row;
  };
  part(plan.is_paged ? "routed experts (paged)" : "routed experts (mapped)", plan.expert_bytes);
  part(plan.is_paged ? "other weights" : "other weights (mapped)", plan.other_bytes);
  part("keys and values", plan.cache_bytes);
  if (plan.carried_bytes > 0) part("carried states, and checkpoints", plan.carried_bytes);
  part("buffers", plan.buffer_bytes);
  part("program and tables", plan.program_bytes);
  part("together", plan.total_bytes());
  if (plan.floor_bytes > 0) part("the least --ram", plan.floor_bytes);
  return plan.is_paged ? text + paging_forecast(plan) : text;
}

}  // namespace larder::apps

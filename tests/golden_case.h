// A model with known answers, and what a forward pass made of the same tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/forward/forward.h"

namespace larder::tests {

// What one layer did with each token, in order.
struct LayerTrace {
  std::vector<float> out;        // [n][d_model]
  std::vector<int32_t> experts;  // [n][n_active]; empty for dense layers
  std::vector<float> weights;    // [n][n_active]
};

struct PromptTrace {
  std::vector<int32_t> source;  // what the encoder reads, where there is one
  std::vector<int32_t> tokens;
  std::vector<LayerTrace> layers;  // the encoder's first
  std::vector<float> encoded;      // [n of source][d_model], behind the encoder's norm
  std::vector<float> logits;       // [n - logits_from][n_vocab]
  int32_t logits_from = 0;
};

struct GoldenCase {
  std::string name;
  std::shared_ptr<const runtime::Model> model;
  std::vector<PromptTrace> prompts;
  int greedy_prompt = 0;
  std::vector<int32_t> greedy_tokens;
  double logits_tolerance = 0, out_tolerance = 0, weights_tolerance = 0;
};

// Null where the reference data are not on this machine.
std::unique_ptr<GoldenCase> load_golden(const std::string& name);

// Keeps what every layer did; with `forced`, imposes that trace's routes instead.
class Recorder final : public runtime::ForwardObserver {
 public:
  explicit Recorder(int n_layers, const PromptTrace* forced = nullptr)
      : layers_(static_cast<size_t>(n_layers)), forced_(forced) {}
  void layer_output(int layer, const float* rows, int n_rows, int d_model) override;
  void routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active) override;
  void source_output(const float* rows, size_t stride, int n_rows, int d_model) override;
  const std::vector<LayerTrace>& layers() const { return layers_; }
  const std::vector<float>& encoded() const { return encoded_; }

 private:
  std::vector<float> encoded_;
  std::vector<LayerTrace> layers_;
  const PromptTrace* forced_;
};

struct RunOptions {
  runtime::ForwardOptions forward;
  runtime::CacheType cache = runtime::CacheType::f32;
  int32_t chunk = 0;  // 0: the whole prompt at once
  const PromptTrace* forced = nullptr;
  bool records = true;
};

// Gives a sequence its source, unless that is empty.
void encode_source(runtime::Forward& forward, runtime::SequenceState& state,
                   const std::vector<int32_t>& source,
                   runtime::ForwardObserver* observer = nullptr);

// One sequence's tokens, behind the source that the model's encoder reads, if it has one, through
// the model; logits of every position.
PromptTrace run_tokens(const std::shared_ptr<const runtime::Model>& model,
                       const std::vector<int32_t>& tokens, const RunOptions& options,
                       const std::vector<int32_t>& source = {});

}  // namespace larder::tests

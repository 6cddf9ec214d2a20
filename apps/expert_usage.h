// How often a text used each expert of each layer, and what that says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/template/value.h"
#include "runtime/forward/forward.h"
#include "runtime/model/model_config.h"

namespace larder::apps {

struct LayerUsage {
  int layer = 0;  // the model's
  int32_t n_active = 0;
  std::vector<int64_t> counts;  // by expert

  int64_t n_uses() const noexcept;
  int32_t n_experts() const noexcept { return static_cast<int32_t>(counts.size()); }
  std::vector<int32_t> dead() const;  // experts that were not used
  // Of the distribution of uses, in bits; the most there can be is log2(n_experts).
  double entropy() const noexcept;
  double balance() const noexcept;  // entropy as a share of the most; 1: all alike
  // The share of uses that the most used experts take; experts: 0 to 1 of all, whole ones.
  double share_of_top(double experts) const;
  int32_t n_covering(double uses) const;  // experts, most used first, that take this share
};

// The routed layers of a model, counted as its tokens come; of an encoder-decoder the encoder's,
// which read the text.
class ExpertUsage : public runtime::ForwardObserver {
 public:
  explicit ExpertUsage(const runtime::ModelConfig& config);

  void routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active) override;
  // What was seen since the last of these two counts: it went through all layers; or does not.
  void keep(int64_t n_tokens);
  void discard();

  bool is_empty() const noexcept { return layers_.empty(); }  // a model without routed experts
  int64_t n_tokens() const noexcept { return n_tokens_; }
  const std::vector<LayerUsage>& layers() const noexcept { return layers_; }
  // The mean over layers of share_of_top(i / n), for i from 0 to n.
  std::vector<double> coverage(int n) const;

 private:
  std::vector<LayerUsage> layers_;
  std::vector<int> index_;                    // by the model's layer; -1: dense
  std::vector<std::vector<int64_t>> unkept_;  // as layers_
  int64_t n_tokens_ = 0;
};

std::string to_table(const ExpertUsage& usage);
// {"n_tokens", "layers": [{"layer", ..., "counts"}], "coverage"}
formats::DataValue to_data(const ExpertUsage& usage);

}  // namespace larder::apps

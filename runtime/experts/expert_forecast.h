// How likely the next token uses an expert, from how often and how lately earlier ones did. Pure:
// no clock, no allocation after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace larder::runtime {

// The experts that rows of a batch chose in one layer.
struct LayerRoutes {
  int layer = 0;
  std::span<const int32_t> experts;  // [n_rows][n_active]
  int32_t n_active = 0;
  int32_t n_sequences = 1;  // that the rows belong to; a row a sequence: decoding
};

class ExpertForecast {
 public:
  // n_experts: of every layer, 0 for dense ones.
  explicit ExpertForecast(std::span<const int32_t> n_experts);
  static size_t bytes(size_t n_layers, size_t n_experts) noexcept;  // of all layers

  // Once a layer and step. The rows of a prompt count as if its tokens had come one by one.
  void observe(const LayerRoutes& routes) noexcept;

  // Uses that the next token is expected to make: of one sequence, 0 to about 1.
  float chance(int layer, int32_t expert) const noexcept {
    return chances_[first(layer) + static_cast<size_t>(expert)];
  }

  // Use a token in the long run, by layer, then by expert. What is exported was gathered over so
  // many tokens, and is imported as if they had been; they fade behind newer ones.
  // REQUIRES: use.size() == n_experts()
  size_t n_experts() const noexcept { return chances_.size(); }  // of all layers
  float export_use(std::span<float> use) const noexcept;         // returns the tokens
  void import_use(std::span<const float> use, float n_tokens) noexcept;

 private:
  // Sums of uses in which a token counts the less the older it is.
  struct Uses {
    float recent = 0, steady = 0, lasting = 0;
  };
  struct Layer {
    size_t first = 0, n_experts = 0;  // in uses_ and chances_
    float steady_tokens = 0, lasting_tokens = 0, n_active = 0;
  };

  size_t first(int layer) const noexcept { return layers_[static_cast<size_t>(layer)].first; }
  std::span<Uses> uses_of(const Layer& layer) noexcept {
    return std::span(uses_).subspan(layer.first, layer.n_experts);
  }
  void judge(const LayerRoutes& routes) noexcept;
  void forget_habits() noexcept;
  void fade(Layer& layer, int32_t n_tokens) noexcept;
  void count(Layer& layer, const LayerRoutes& routes) noexcept;
  void estimate(const Layer& layer) noexcept;

  std::vector<Layer> layers_;
  std::vector<Uses> uses_;
  std::vector<float> chances_;

  // The mean chance that what was chosen had had: summed up over a step's layers, then lately, and
  // usually.
  int layer_now_ = 0;
  float foretold_ = 0, n_foretold_ = 0;
  float lately_ = 0, usually_ = 0;
};

}  // namespace larder::runtime

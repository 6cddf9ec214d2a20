#include "apps/expert_usage.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <utility>

namespace larder::apps {
namespace {

using formats::DataValue;

constexpr double kTops[] = {0.10, 0.25};  // what the table tells the shares of
constexpr double kCovered = 0.9;
constexpr int kCoverageSteps = 20;  // of the curve in JSON

std::vector<int64_t> most_first(std::vector<int64_t> counts) {
  std::sort(counts.begin(), counts.end(), std::greater<>());
  return counts;
}

// At least one, and all of a whole.
int32_t part_of(int32_t n_experts, double share) {
  return std::clamp(static_cast<int32_t>(std::lround(n_experts * share)), 1, n_experts);
}

template <class... Values>
std::string print(const char* format, Values... values) {
  char line[160];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

double mean(const std::vector<LayerUsage>& layers,
            const std::function<double(const LayerUsage&)>& of) {
  double sum = 0;
  for (const LayerUsage& layer : layers) sum += of(layer);
  return sum / static_cast<double>(layers.size());
}

std::string row(const std::string& name, const LayerUsage& layer) {
  const int32_t n = layer.n_experts(), n_dead = static_cast<int32_t>(layer.dead().size());
  const int32_t n_covering = layer.n_covering(kCovered);
  return print("%-6s %8d %8d %6d %9.2f %8.0f %% %8.0f %% %8.0f %% %7d (%.0f %%)\n", name.c_str(), n,
               n - n_dead, n_dead, layer.entropy(), 100 * layer.balance(),
               100 * layer.share_of_top(kTops[0]), 100 * layer.share_of_top(kTops[1]), n_covering,
               100.0 * n_covering / n);
}

}  // namespace

int64_t LayerUsage::n_uses() const noexcept {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

std::vector<int32_t> LayerUsage::dead() const {
  std::vector<int32_t> experts;
  for (int32_t e = 0; e < n_experts(); ++e) {
    if (counts[static_cast<size_t>(e)] == 0) experts.push_back(e);
  }
  return experts;
}

double LayerUsage::entropy() const noexcept {
  const auto n = static_cast<double>(n_uses());
  double bits = 0;
  for (const int64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / n;
    bits -= share * std::log2(share);
  }
  return bits;
}

double LayerUsage::balance() const noexcept {
  return counts.size() < 2 ? 1 : entropy() / std::log2(static_cast<double>(counts.size()));
}

double LayerUsage::share_of_top(double experts) const {
  const int64_t n = n_uses();
  if (n == 0 || experts <= 0) return 0;
  const std::vector<int64_t> sorted = most_first(counts);
  const auto top = sorted.begin() + part_of(n_experts(), experts);
  return static_cast<double>(std::accumulate(sorted.begin(), top, int64_t{0})) /
         static_cast<double>(n);
}

int32_t LayerUsage::n_covering(double uses) const {
  const double wanted = uses * static_cast<double>(n_uses());
  int64_t sum = 0;
  int32_t n = 0;
  for (const int64_t count : most_first(counts)) {
    if (static_cast<double>(sum) >= wanted) break;
    sum += count;
    ++n;
  }
  return n;
}

ExpertUsage::ExpertUsage(const runtime::ModelConfig& config) {
  const int n_layers = config.has_encoder() ? config.n_encoder_layers : config.n_layers();
  for (int i = 0; i < n_layers; ++i) {
    const runtime::RouterConfig& router = config.layers[static_cast<size_t>(i)].router;
    index_.push_back(router.n_experts > 0 ? static_cast<int>(layers_.size()) : -1);
    if (router.n_experts == 0) continue;
    layers_.push_back(
        {i, router.n_active, std::vector<int64_t>(static_cast<size_t>(router.n_experts))});
    unkept_.push_back(layers_.back().counts);
  }
}

void ExpertUsage::routes(int layer, int32_t* experts, float*, int n_rows, int n_active) {
  std::vector<int64_t>& counts = unkept_[static_cast<size_t>(index_[static_cast<size_t>(layer)])];
  for (int i = 0; i < n_rows * n_active; ++i) ++counts[static_cast<size_t>(experts[i])];
}

void ExpertUsage::keep(int64_t n_tokens) {
  n_tokens_ += n_tokens;
  for (size_t i = 0; i < layers_.size(); ++i) {
    std::transform(unkept_[i].begin(), unkept_[i].end(), layers_[i].counts.begin(),
                   layers_[i].counts.begin(), std::plus<>());
  }
  discard();
}

void ExpertUsage::discard() {
  for (std::vector<int64_t>& counts : unkept_) std::fill(counts.begin(), counts.end(), 0);
}

std::vector<double> ExpertUsage::coverage(int n) const {
  std::vector<double> shares;
  for (int i = 0; i <= n; ++i) {
    shares.push_back(
        mean(layers_, [&](const LayerUsage& layer) { return layer.share_of_top(i * 1.0 / n); }));
  }
  return shares;
}

std::string to_table(const ExpertUsage& usage) {
  const std::vector<LayerUsage>& layers = usage.layers();
  std::string text = print("%-6s %8s %8s %6s %9s %10s %10s %10s  %s\n", "layer", "experts", "used",
                           "dead", "entropy", "balance", "top 10 %", "top 25 %", "for 90 %");
  for (const LayerUsage& layer : layers) text += row(std::to_string(layer.layer), layer);
  int64_t n_experts = 0, n_dead = 0;
  for (const LayerUsage& layer : layers) {
    n_experts += layer.n_experts();
    n_dead += static_cast<int64_t>(layer.dead().size());
  }
  const auto percent = [&](const std::function<double(const LayerUsage&)>& of) {
    return 100 * mean(layers, of);
  };
  return text + print("%-6s %8lld %8lld %6lld %9.2f %8.0f %% %8.0f %% %8.0f %% %12.0f %%\n", "all",
                      static_cast<long long>(n_experts), static_cast<long long>(n_experts - n_dead),
                      static_cast<long long>(n_dead),
                      mean(layers, [](const LayerUsage& layer) { return layer.entropy(); }),
                      percent([](const LayerUsage& layer) { return layer.balance(); }),
                      percent([](const LayerUsage& layer) { return layer.share_of_top(kTops[0]); }),
                      percent([](const LayerUsage& layer) { return layer.share_of_top(kTops[1]); }),
                      percent([](const LayerUsage& layer) {
                        return 1.0 * layer.n_covering(kCovered) / layer.n_experts();
                      }));
}

DataValue to_data(const ExpertUsage& usage) {
  const auto list_of = [](const auto& values) {
    DataValue list = DataValue::make_list();
    for (const auto value : values) list.list.emplace_back(value);
    return list;
  };
  DataValue layers = DataValue::make_list();
  for (const LayerUsage& layer : usage.layers()) {
    const std::vector<int32_t> dead = layer.dead();
    layers.list.push_back(DataValue::make_dict(
        {{"layer", static_cast<int64_t>(layer.layer)},
         {"n_experts", static_cast<int64_t>(layer.n_experts())},
         {"n_active", static_cast<int64_t>(layer.n_active)},
         {"n_used", static_cast<int64_t>(layer.counts.size() - dead.size())},
         {"dead", list_of(std::vector<int64_t>(dead.begin(), dead.end()))},
         {"entropy_bits", layer.entropy()},
         {"balance", layer.balance()},
         {"top_10_percent_share", layer.share_of_top(kTops[0])},
         {"top_25_percent_share", layer.share_of_top(kTops[1])},
         {"n_for_90_percent", static_cast<int64_t>(layer.n_covering(kCovered))},
         {"counts", list_of(layer.counts)}}));
  }
  return DataValue::make_dict({{"n_tokens", usage.n_tokens()},
                               {"layers", std::move(layers)},
                               {"coverage", list_of(usage.coverage(kCoverageSteps))}});
}

}  // namespace larder::apps

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "quant/dispatch.h"
#include "runtime/forward/router.h"

using namespace larder;
using namespace larder::runtime;

namespace {

struct Routes {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Routes run(const quant::KernelSet& kernels, const RouterConfig& config, std::vector<float> logits,
           const std::vector<float>& bias = {}) {
  std::vector<float> scratch(logits.size() * 2);
  const auto n = static_cast<size_t>(config.n_active);
  Routes out{std::vector<int32_t>(n, -1), std::vector<float>(n)};
  route(config, kernels.vector,
        {logits.data(), bias.empty() ? nullptr : bias.data(), scratch.data(), out.experts.data(),
         out.weights.data()});
  return out;
}

// The canonical order of a router, step by step in double.
struct Expected {
  std::vector<int> experts;
  std::vector<double> weights;
};

std::vector<double> gated(RouterGate gate, const std::vector<float>& logits) {
  std::vector<double> p(logits.begin(), logits.end());
  if (gate == RouterGate::sigmoid)
    for (double& x : p) x = 1 / (1 + std::exp(-x));
  if (gate == RouterGate::softmax) {
    const double most = *std::max_element(p.begin(), p.end());
    double sum = 0;
    for (double& x : p) sum += x = std::exp(x - most);
    for (double& x : p) x /= sum;
  }
  return p;
}

std::vector<int> best_first(const std::vector<double>& scores) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

Expected expect(const RouterConfig& config, const std::vector<float>& logits,
                const std::vector<float>& bias) {
  const std::vector<double> p = gated(config.gate, logits);
  std::vector<double> scores = p;
  for (size_t i = 0; i < bias.size(); ++i) scores[i] += static_cast<double>(bias[i]);
  const auto size = static_cast<size_t>(config.n_experts / config.n_groups);
  if (config.n_groups > 1) {
    std::vector<double> of_group;
    for (size_t g = 0; g < static_cast<size_t>(config.n_groups); ++g) {
      std::vector<double> own(scores.begin() + static_cast<long>(g * size),
                              scores.begin() + static_cast<long>((g + 1) * size));
      std::sort(own.rbegin(), own.rend());
      of_group.push_back(config.group_score == GroupScore::max ? own[0] : own[0] + own[1]);
    }
    const std::vector<int> groups = best_first(of_group);
    for (size_t i = static_cast<size_t>(config.n_active_groups); i < groups.size(); ++i)
      for (size_t e = 0; e < size; ++e) scores[static_cast<size_t>(groups[i]) * size + e] = -1e300;
  }
  Expected out;
  const std::vector<int> order = best_first(scores);
  out.experts.assign(order.begin(), order.begin() + config.n_active);
  double sum = 0;
  for (const int e : out.experts) {
    const double value = p[static_cast<size_t>(e)];
    out.weights.push_back(config.gate == RouterGate::softmax_selected   ? std::exp(value)
                          : config.gate == RouterGate::sigmoid_selected ? 1 / (1 + std::exp(-value))
                                                                        : value);
    sum += out.weights.back();
  }
  const bool divides = config.renormalises || config.gate == RouterGate::softmax_selected;
  for (double& w : out.weights) w = (divides ? w / sum : w) * static_cast<double>(config.scale);
  return out;
}

template <class F>
void for_each_isa(F&& f) {
  for (const quant::KernelSet* kernels : quant::kernel_sets()) {
    if (!quant::is_supported(*kernels)) continue;
    INFO("instruction set ", std::string(kernels->name));
    f(*kernels);
  }
}

}  // namespace

TEST_CASE("router: every combination of gate, groups, bias and normalisation follows the recipe") {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 1.5F);
  std::uniform_real_distribution<float> small(-0.2F, 0.2F);
  for_each_isa([&](const quant::KernelSet& kernels) {
    for (int trial = 0; trial < 400; ++trial) {
      RouterConfig config;
      config.gate = static_cast<RouterGate>(trial % 4);
      config.group_score = trial % 2 ? GroupScore::max : GroupScore::top2_sum;
      config.n_experts = trial % 6 == 0 ? 128 : 24;
      config.n_groups = (trial / 3) % 2 ? 4 : 1;
      config.n_active_groups = config.n_groups == 4 ? 2 : 1;
      config.n_active = 1 + trial % 8;
      config.renormalises = trial % 5 != 0;
      config.scale = trial % 7 == 0 ? 2.5F : 1.0F;
      std::vector<float> logits(static_cast<size_t>(config.n_experts)), bias;
      for (float& x : logits) x = normal(random);
      if (trial % 3 == 1 && trial % 2 == 0) {
        bias.resize(logits.size());
        for (float& x : bias) x = small(random);
      }
      const Expected expected = expect(config, logits, bias);
      const Routes got = run(kernels, config, logits, bias);
      for (size_t i = 0; i < expected.experts.size(); ++i) {
        REQUIRE(got.experts[i] == expected.experts[i]);
        REQUIRE(std::abs(static_cast<double>(got.weights[i]) - expected.weights[i]) <=
                2e-6 * std::max(1.0, expected.weights[i]));
      }
    }
  });
}

TEST_CASE("router: equal scores go to the lower index") {
  for_each_isa([](const quant::KernelSet& kernels) {
    const RouterConfig config{.n_experts = 67, .n_active = 5};
    const Routes flat = run(kernels, config, std::vector<float>(67, 0.0F));
    CHECK(flat.experts == std::vector<int32_t>{0, 1, 2, 3, 4});
    for (const float weight : flat.weights) CHECK(weight == doctest::Approx(0.2));

    std::vector<float> two_levels(67, -1.0F);
    two_levels[66] = two_levels[31] = two_levels[32] = 1.0F;
    CHECK(run(kernels, config, two_levels).experts == std::vector<int32_t>{31, 32, 66, 0, 1});
  });
}

TEST_CASE("router: equal groups go to the lower index") {
  for_each_isa([](const quant::KernelSet& kernels) {
    const RouterConfig config{.gate = RouterGate::sigmoid,
                              .n_experts = 16,
                              .n_active = 4,
                              .n_groups = 4,
                              .n_active_groups = 2};
    CHECK(run(kernels, config, std::vector<float>(16, 0.5F)).experts ==
          std::vector<int32_t>{0, 1, 2, 3});
  });
}

TEST_CASE("router: a selection bias moves the choice and not the weights") {
  for_each_isa([](const quant::KernelSet& kernels) {
    const RouterConfig config{
        .gate = RouterGate::sigmoid, .n_experts = 4, .n_active = 2, .renormalises = false};
    const Routes routes = run(kernels, config, {2.0F, 1.0F, 0.0F, -1.0F}, {0, 0, 0, 0.9F});
    CHECK(routes.experts == std::vector<int32_t>{3, 0});
    CHECK(routes.weights[0] == doctest::Approx(1 / (1 + std::exp(1.0))));
    CHECK(routes.weights[1] == doctest::Approx(1 / (1 + std::exp(-2.0))));
  });
}

TEST_CASE("router: all experts may be active") {
  for_each_isa([](const quant::KernelSet& kernels) {
    const RouterConfig config{.n_experts = 3, .n_active = 3};
    const Routes routes = run(kernels, config, {0.0F, 2.0F, 1.0F});
    CHECK(routes.experts == std::vector<int32_t>{1, 2, 0});
    CHECK(routes.weights[0] + routes.weights[1] + routes.weights[2] == doctest::Approx(1.0));
  });
}

TEST_CASE("router: logits that are not finite still give experts that exist") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  for_each_isa([&](const quant::KernelSet& kernels) {
    for (const int32_t n_groups : {1, 4}) {
      const RouterConfig config{.n_experts = 8,
                                .n_active = 2,
                                .n_groups = n_groups,
                                .n_active_groups = n_groups == 4 ? 2 : 1};
      for (const std::vector<float>& logits : {std::vector<float>(8, nan),
                                               {0, 1, nan, 2, 3, 4, 5, 6},
                                               {0, 1, infinite, 2, 3, 4, 5, 6},
                                               std::vector<float>(8, -infinite),
                                               {-infinite, 0, 0, nan, infinite, 0, 0, 0}}) {
        const Routes routes = run(kernels, config, logits);
        for (const int32_t expert : routes.experts) CHECK((expert >= 0 && expert < 8));
        CHECK(routes.experts[0] != routes.experts[1]);
      }
    }
  });
}

// The recipe of Phi-3.5-MoE's modelling code, step by step in double.
Expected expect_sparsemixer(const std::vector<float>& logits) {
  const std::vector<double> s(logits.begin(), logits.end());
  Expected out;
  std::vector<double> left = s;
  for (int step = 0; step < 2; ++step) {
    const int best = best_first(left)[0];
    const double most = left[static_cast<size_t>(best)];
    double sum = 0;
    for (size_t i = 0; i < s.size(); ++i)
      if (!((most - s[i]) / std::max(std::abs(s[i]), most) > 0.02)) sum += std::exp(left[i] - most);
    out.experts.push_back(best);
    out.weights.push_back(1 / sum);
    left[static_cast<size_t>(best)] = -std::numeric_limits<double>::infinity();
  }
  return out;
}

TEST_CASE("router: sparsemixer weighs each of two experts among those near to it") {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1.5F);
  std::uniform_real_distribution<float> near(2.0F, 2.05F);
  const RouterConfig config{
      .gate = RouterGate::sparsemixer, .n_experts = 16, .n_active = 2, .renormalises = false};
  for_each_isa([&](const quant::KernelSet& kernels) {
    int n_shared = 0;
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<float> logits(16);
      for (float& x : logits) x = normal(random) - (trial % 5 == 0 ? 8 : 0);
      if (trial % 2)
        for (size_t i = 0; i < 4; ++i)
          logits[i * 3] = near(random) * (trial % 4 == 1 ? 1.0F : -1.0F);
      const Expected expected = expect_sparsemixer(logits);
      const Routes got = run(kernels, config, logits);
      CHECK(got.experts == std::vector<int32_t>(expected.experts.begin(), expected.experts.end()));
      for (size_t i = 0; i < 2; ++i)
        CHECK(std::abs(static_cast<double>(got.weights[i]) - expected.weights[i]) <= 2e-6);
      n_shared += expected.weights[0] < 0.99;
    }
    CHECK(n_shared > 50);
  });
}

TEST_CASE("router: sparsemixer of equal logits shares alike, of zeros as well") {
  for_each_isa([](const quant::KernelSet& kernels) {
    const RouterConfig config{.gate = RouterGate::sparsemixer, .n_experts = 4, .n_active = 2};
    for (const float level : {0.0F, 3.0F, -3.0F}) {
      const Routes routes = run(kernels, config, std::vector<float>(4, level));
      CHECK(routes.experts == std::vector<int32_t>{0, 1});
      CHECK(routes.weights[0] == doctest::Approx(1.0 / 4));
      CHECK(routes.weights[1] == doctest::Approx(1.0 / 3));
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Routes routes = run(kernels, config, std::vector<float>(4, nan));
    CHECK(routes.experts == std::vector<int32_t>{0, 1});
  });
}

TEST_CASE("router: every instruction set makes the same bits") {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 2);
  const RouterConfig config{.n_experts = 60, .n_active = 6};
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<float> logits(60);
    for (float& x : logits) x = normal(random);
    const Routes first = run(*quant::kernel_sets().back(), config, logits);
    for_each_isa([&](const quant::KernelSet& kernels) {
      const Routes other = run(kernels, config, logits);
      CHECK(other.experts == first.experts);
      CHECK(other.weights == first.weights);
    });
  }
}

// The sampler's steps against direct computation in long double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "runtime/session/random_stream.h"
#include "runtime/session/sampler.h"

using larder::Cause;
using larder::formats::TokenId;
using larder::runtime::check;
using larder::runtime::log_probability;
using larder::runtime::RandomStream;
using larder::runtime::Sampled;
using larder::runtime::Sampler;
using larder::runtime::SamplerOptions;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Everything off: draws from the plain softmax.
SamplerOptions all_off() {
  SamplerOptions options;
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  return options;
}

std::vector<long double> softmax(const std::vector<float>& logits, long double temperature = 1) {
  std::vector<long double> p;
  long double sum = 0;
  const float largest = *std::max_element(logits.begin(), logits.end());
  for (const float logit : logits) {
    p.push_back(std::exp((static_cast<long double>(logit) - largest) / temperature));
    sum += p.back();
  }
  for (long double& value : p) value /= sum;
  return p;
}

// How often each token is drawn.
std::map<TokenId, int> draw_many(const SamplerOptions& options, const std::vector<float>& logits,
                                 int n, const std::vector<TokenId>& history = {}) {
  Sampler sampler(options, static_cast<int32_t>(logits.size()));
  std::map<TokenId, int> counts;
  for (int i = 0; i < n; ++i) {
    const auto sampled = sampler.sample(logits, history);
    REQUIRE(sampled.ok());
    ++counts[sampled->token];
  }
  return counts;
}

std::set<TokenId> support(const SamplerOptions& options, const std::vector<float>& logits,
                          const std::vector<TokenId>& history = {}) {
  std::set<TokenId> tokens;
  for (const auto& [token, count] : draw_many(options, logits, 4000, history)) {
    tokens.insert(token);
  }
  return tokens;
}

// Observed frequencies are within five standard deviations of the expected ones.
void check_frequencies(const std::map<TokenId, int>& counts,
                       const std::map<TokenId, long double>& expected, int n) {
  for (const auto& [token, count] : counts) CHECK(expected.count(token) == 1);
  for (const auto& [token, p] : expected) {
    const double mean = static_cast<double>(p) * n;
    const double deviation = std::sqrt(mean * (1 - static_cast<double>(p)));
    const auto found = counts.find(token);
    const int count = found == counts.end() ? 0 : found->second;
    CAPTURE(token);
    CHECK(std::fabs(count - mean) <= 5 * deviation + 1e-9);
  }
}

// Logits with distinct, scattered values: the order of tokens is not the order of logits.
std::vector<float> scattered(int n, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> logits;
  for (int i = 0; i < n; ++i) logits.push_back(static_cast<float>(8 * random.uniform() - 4));
  return logits;
}

std::vector<TokenId> best_first(const std::vector<float>& logits) {
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace

TEST_CASE("random stream: the published generator, seeded through splitmix64") {
  // xoshiro256++ from the state that splitmix64 makes of seed 0: the first state words are
  // splitmix64's published outputs for seed 0.
  const std::vector<uint64_t> words = {0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f,
                                       0xf88bb8a8724c81ec};
  const auto rotate = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  CHECK(RandomStream(0).next() == rotate(words[0] + words[3], 23) + words[0]);
  RandomStream stream(42);
  for (int i = 0; i < 1000; ++i) {
    const double u = stream.uniform();
    CHECK(u >= 0);
    CHECK(u < 1);
  }
}

TEST_CASE("sampler: temperature 0 takes the largest logit, the lowest id on ties") {
  SamplerOptions options = all_off();
  options.temperature = 0;
  Sampler sampler(options, 5);
  CHECK(sampler.sample(std::vector<float>{1, 3, 2, 3, 0}, {})->token == 1);
  CHECK(sampler.sample(std::vector<float>{0, 0, 0, 0, 0}, {})->token == 0);
  CHECK(sampler.sample(std::vector<float>{-0.0f, 0.0f, -1, -1, -1}, {})->token == 0);
}

TEST_CASE("sampler: logits that are not finite are never chosen") {
  const std::vector<float> logits = {kNan, kInf, 1, -kInf, 2};
  for (const float temperature : {0.0f, 1.0f}) {
    SamplerOptions options = all_off();
    options.temperature = temperature;
    for (const TokenId token : support(options, logits)) CHECK((token == 2 || token == 4));
  }
  SamplerOptions greedy = all_off();
  greedy.temperature = 0;
  CHECK(Sampler(greedy, 5).sample(logits, {})->token == 4);
}

TEST_CASE("sampler: no finite logit is an error, not a token") {
  for (const float value : {kNan, kInf, -kInf}) {
    for (const float temperature : {0.0f, 0.8f}) {
      SamplerOptions options;
      options.temperature = temperature;
      Sampler sampler(options, 3);
      const auto sampled = sampler.sample(std::vector<float>(3, value), {});
      REQUIRE(!sampled.ok());
      CHECK(sampled.status().cause() == Cause::numeric);
    }
  }
}

TEST_CASE("sampler: penalties that leave nothing finite are an error") {
  SamplerOptions options = all_off();
  options.frequency_penalty = 3e38f;
  Sampler sampler(options, 2);
  const auto sampled =
      sampler.sample(std::vector<float>{-3e38f, -3e38f}, std::vector<TokenId>{0, 1, 0, 1});
  REQUIRE(!sampled.ok());
  CHECK(sampled.status().cause() == Cause::numeric);
}

TEST_CASE("sampler: the log-probability is the model's own, whatever the chain does") {
  const std::vector<float> logits = scattered(1000, 3);
  const auto p = softmax(logits);
  SamplerOptions options;
  options.temperature = 0.3f;
  options.top_k = 5;
  options.repeat_penalty = 1.5f;
  Sampler sampler(options, 1000);
  for (int i = 0; i < 50; ++i) {
    const auto sampled = sampler.sample(logits, std::vector<TokenId>{1, 2, 3});
    REQUIRE(sampled.ok());
    const double expected = static_cast<double>(std::log(p[static_cast<size_t>(sampled->token)]));
    CHECK(sampled->logprob == doctest::Approx(expected).epsilon(1e-6));
  }
  double sum = 0;
  for (TokenId i = 0; i < 1000; ++i) sum += std::exp(log_probability(logits, i));
  CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  CHECK(log_probability(std::vector<float>{1, kNan}, 1) == -kInf);
}

TEST_CASE("sampler: with every step off, tokens come as often as the softmax says") {
  const std::vector<float> logits = {0.5f, -1, 2, 0, 1.5f};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplerOptions options = all_off();
    options.temperature = temperature;
    const auto p = softmax(logits, temperature);
    std::map<TokenId, long double> expected;
    for (TokenId i = 0; i < 5; ++i) expected[i] = p[static_cast<size_t>(i)];
    check_frequencies(draw_many(options, logits, 20000), expected, 20000);
  }
}

TEST_CASE("sampler: top-k keeps the k best, the lower id on ties, renormalised") {
  const std::vector<float> logits = {1, 2, 2, 0, 2, -1};
  SamplerOptions options = all_off();
  options.top_k = 2;
  CHECK(support(options, logits) == std::set<TokenId>{1, 2});
  options.top_k = 6;
  CHECK(support(options, logits).size() == 6);
  options.top_k = 100;
  CHECK(support(options, logits).size() == 6);

  const std::vector<float> many = scattered(3000, 5);
  const auto order = best_first(many);
  options.top_k = 40;
  for (const TokenId token : support(options, many)) {
    CHECK(std::find(order.begin(), order.begin() + 40, token) != order.begin() + 40);
  }
}

TEST_CASE("sampler: top-p keeps the fewest best tokens whose mass reaches p") {
  // Probabilities 0.5, 0.25, 0.125, ... by id in a scrambled order.
  const std::vector<float> logits = {std::log(0.125f), std::log(0.5f), std::log(0.0625f),
                                     std::log(0.25f), std::log(0.0625f)};
  SamplerOptions options = all_off();
  options.top_p = 0.6f;
  CHECK(support(options, logits) == std::set<TokenId>{1, 3});
  options.top_p = 0.8f;
  CHECK(support(options, logits) == std::set<TokenId>{0, 1, 3});
  options.top_p = 0;
  CHECK(support(options, logits) == std::set<TokenId>{1});
}

TEST_CASE("sampler: top-p over a vocabulary larger than its first sorted piece") {
  const std::vector<float> logits = scattered(5000, 7);
  const auto p = softmax(logits);
  const auto order = best_first(logits);
  SamplerOptions options = all_off();
  options.top_p = 0.5f;
  long double mass = 0;
  size_t n = 0;
  while (mass < 0.5L) mass += p[static_cast<size_t>(order[n++])];
  REQUIRE(n > 200);  // several pieces
  std::map<TokenId, long double> expected;
  for (size_t i = 0; i < n; ++i) expected[order[i]] = p[static_cast<size_t>(order[i])] / mass;
  check_frequencies(draw_many(options, logits, 20000), expected, 20000);
}

TEST_CASE("sampler: min-p keeps what is at least p times as likely as the best") {
  const std::vector<float> logits = {0, std::log(0.51f), std::log(0.49f), std::log(0.1f)};
  SamplerOptions options = all_off();
  options.min_p = 0.5f;
  CHECK(support(options, logits) == std::set<TokenId>{0, 1});
  options.min_p = 1;
  CHECK(support(options, logits) == std::set<TokenId>{0});
}

TEST_CASE("sampler: typical keeps the tokens whose surprise is nearest to the entropy") {
  const std::vector<float> logits = scattered(300, 11);
  const auto p = softmax(logits);
  long double entropy = 0;
  for (const long double value : p) entropy -= value * std::log(value);
  std::vector<TokenId> order(300);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const auto away = [&](TokenId i) {
      return std::fabs(-std::log(p[static_cast<size_t>(i)]) - entropy);
    };
    return away(a) < away(b);
  });
  std::map<TokenId, long double> expected;
  long double mass = 0;
  for (size_t i = 0; i < order.size() && mass <= 0.4L; ++i) {
    expected[order[i]] = p[static_cast<size_t>(order[i])];
    mass += p[static_cast<size_t>(order[i])];
  }
  for (auto& [token, value] : expected) value /= mass;
  SamplerOptions options = all_off();
  options.typical_p = 0.4f;
  CHECK(expected.size() < 250);
  check_frequencies(draw_many(options, logits, 20000), expected, 20000);
}

TEST_CASE("sampler: repeat penalty divides positive logits and multiplies negative ones") {
  SamplerOptions options = all_off();
  options.repeat_penalty = 2;
  const std::vector<float> logits = {2, -1, 0.5f};
  const auto p = softmax({1, -2, 0.5f});
  check_frequencies(draw_many(options, logits, 20000, {0, 1, 1}), {{0, p[0]}, {1, p[1]}, {2, p[2]}},
                    20000);
}

TEST_CASE("sampler: frequency counts occurrences, presence counts once, within the window") {
  SamplerOptions options = all_off();
  options.frequency_penalty = 0.5f;
  options.presence_penalty = 0.25f;
  options.repeat_last_n = 3;
  const std::vector<float> logits = {1, 1, 1};
  // The window is {1, 1, 0}: token 2 stands before it.
  const auto p = softmax({1 - 0.5f - 0.25f, 1 - 1.0f - 0.25f, 1});
  const std::vector<TokenId> history = {2, 2, 1, 1, 0};
  check_frequencies(draw_many(options, logits, 20000, history), {{0, p[0]}, {1, p[1]}, {2, p[2]}},
                    20000);
  SUBCASE("a window of -1 is everything") {
    options.repeat_last_n = -1;
    const auto all = softmax({0.25f, -0.25f, -0.25f});
    check_frequencies(draw_many(options, logits, 20000, history),
                      {{0, all[0]}, {1, all[1]}, {2, all[2]}}, 20000);
  }
  SUBCASE("a window of 0 is nothing") {
    options.repeat_last_n = 0;
    const long double third = 1.0L / 3;
    check_frequencies(draw_many(options, logits, 20000, history),
                      {{0, third}, {1, third}, {2, third}}, 20000);
  }
}

TEST_CASE("sampler: min-p is taken before temperature, as in llama.cpp's order") {
  // At temperature 10 the second token would be nearly as likely as the first.
  SamplerOptions options = all_off();
  options.temperature = 10;
  options.min_p = 0.5f;
  CHECK(support(options, {0, -2}) == std::set<TokenId>{0});
}

TEST_CASE("sampler: a tiny temperature is greedy, and a huge one is even") {
  SamplerOptions options = all_off();
  options.temperature = 1e-30f;
  CHECK(support(options, {1, 3, 2}) == std::set<TokenId>{1});
  options.temperature = 1e30f;
  const long double third = 1.0L / 3;
  check_frequencies(draw_many(options, {1, 30, 2}, 20000), {{0, third}, {1, third}, {2, third}},
                    20000);
}

TEST_CASE("sampler: the same seed gives the same tokens, another seed others") {
  const std::vector<float> logits = scattered(500, 13);
  const auto tokens = [&](uint64_t seed) {
    SamplerOptions options = all_off();
    options.seed = seed;
    Sampler sampler(options, 500);
    std::vector<TokenId> drawn;
    for (int i = 0; i < 64; ++i) drawn.push_back(sampler.sample(logits, {})->token);
    return drawn;
  };
  CHECK(tokens(1) == tokens(1));
  CHECK(tokens(1) != tokens(2));
  CHECK(tokens(0) != tokens(~uint64_t{0}));

  SamplerOptions options = all_off();
  Sampler sampler(options, 500);
  (void)sampler.sample(logits, {});
  sampler.reseed(1);
  std::vector<TokenId> again;
  for (int i = 0; i < 64; ++i) again.push_back(sampler.sample(logits, {})->token);
  CHECK(again == tokens(1));
}

TEST_CASE("sampler: a vocabulary of one token is always that token") {
  Sampler sampler(SamplerOptions(), 1);
  const auto sampled = sampler.sample(std::vector<float>{-7}, std::vector<TokenId>{0, 0});
  REQUIRE(sampled.ok());
  CHECK(sampled->token == 0);
  CHECK(sampled->logprob == 0);
}

TEST_CASE("sampler options: every range is checked and the option named") {
  const auto refuses = [](auto change, const char* name) {
    SamplerOptions options;
    change(options);
    const larder::Status status = check(options);
    CAPTURE(name);
    REQUIRE(!status.ok());
    CHECK(status.cause() == Cause::invalid_argument);
    CHECK(status.to_string().find(name) != std::string::npos);
  };
  CHECK(check(SamplerOptions()).ok());
  for (const float bad : {kNan, kInf, -1.0f}) {
    refuses([bad](SamplerOptions& o) { o.temperature = bad; }, "temp");
    refuses([bad](SamplerOptions& o) { o.top_p = bad; }, "top-p");
    refuses([bad](SamplerOptions& o) { o.min_p = bad; }, "min-p");
    refuses([bad](SamplerOptions& o) { o.typical_p = bad; }, "typical");
    refuses([bad](SamplerOptions& o) { o.repeat_penalty = bad; }, "repeat-penalty");
  }
  refuses([](SamplerOptions& o) { o.repeat_penalty = 0; }, "repeat-penalty");
  refuses([](SamplerOptions& o) { o.top_k = -1; }, "top-k");
  refuses([](SamplerOptions& o) { o.repeat_last_n = -2; }, "repeat-last-n");
  refuses([](SamplerOptions& o) { o.presence_penalty = kNan; }, "presence-penalty");
  refuses([](SamplerOptions& o) { o.frequency_penalty = kInf; }, "frequency-penalty");
}

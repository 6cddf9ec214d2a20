#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "runtime/forward/rope.h"

using namespace larder::runtime;

namespace {

// Angle of pair i at a position, recovered from cos and sin, as frequency: position 1.
std::vector<double> frequencies(const RopeConfig& config, const float* factors = nullptr) {
  const RopeAngles angles(config, factors);
  const auto n = static_cast<size_t>(angles.n_pairs());
  std::vector<float> cos(n), sin(n);
  angles.at(1, cos.data(), sin.data());
  std::vector<double> out;
  for (size_t i = 0; i < n; ++i)
    out.push_back(std::atan2(static_cast<double>(sin[i]), static_cast<double>(cos[i])));
  return out;
}

RopeConfig plain(int32_t n_rot, double base) {
  RopeConfig config;
  config.n_rot = n_rot;
  config.base = base;
  return config;
}

}  // namespace

TEST_CASE("rope: frequencies fall from one by equal ratios") {
  const std::vector<double> f = frequencies(plain(8, 10000));
  REQUIRE(f.size() == 4);
  CHECK(f[0] == doctest::Approx(1));
  CHECK(f[1] == doctest::Approx(0.1));
  CHECK(f[2] == doctest::Approx(0.01));
  CHECK(f[3] == doctest::Approx(0.001));
}

TEST_CASE("rope: a far position is exact to float32") {
  const RopeAngles angles(plain(64, 1e6), nullptr);
  std::vector<float> cos(32), sin(32);
  for (const int64_t position : {0L, 1L, 4095L, 262143L, (1L << 30) - 1}) {
    angles.at(position, cos.data(), sin.data());
    for (int i = 0; i < 32; ++i) {
      const long double angle = static_cast<long double>(position) * std::pow(1e6L, -2.0L * i / 64);
      // double holds an angle of 2^30 to 2^-23; nearer positions are far better
      const double bound = position > 1000000 ? 3e-7 : 6.1e-8;
      CHECK(std::abs(cos[static_cast<size_t>(i)] - std::cos(angle)) <= bound);
      CHECK(std::abs(sin[static_cast<size_t>(i)] - std::sin(angle)) <= bound);
    }
  }
}

TEST_CASE("rope: a file's factors divide the frequencies") {
  const float factors[] = {1, 2, 4, 8};
  const std::vector<double> f = frequencies(plain(8, 10000), factors);
  CHECK(f[0] == doctest::Approx(1));
  CHECK(f[1] == doctest::Approx(0.05));
  CHECK(f[3] == doctest::Approx(0.001 / 8));
}

TEST_CASE("rope: linear scaling stretches every pair") {
  RopeConfig config = plain(8, 10000);
  config.scaling = RopeScaling::linear;
  config.factor = 4;
  const std::vector<double> f = frequencies(config);
  CHECK(f[0] == doctest::Approx(0.25));
  CHECK(f[3] == doctest::Approx(0.001 / 4));
}

TEST_CASE("rope: yarn keeps fast pairs, stretches slow ones and blends between") {
  RopeConfig config = plain(64, 150000);
  config.scaling = RopeScaling::yarn;
  config.factor = 32;
  config.original_context = 4096;
  const auto bound = [](double rotations) {
    return 64 * std::log(4096 / (rotations * 2 * std::numbers::pi)) / (2 * std::log(150000.0));
  };
  // Source of the bounds for these numbers: gpt-oss, 8.093 and 17.398
  CHECK(bound(32) == doctest::Approx(8.093).epsilon(1e-4));
  CHECK(bound(1) == doctest::Approx(17.398).epsilon(1e-4));
  const auto base_at = [](int i) { return std::pow(150000.0, -2.0 * i / 64); };

  SUBCASE("rounded bounds") {
    const std::vector<double> f = frequencies(config);
    CHECK(f[8] == doctest::Approx(base_at(8)).epsilon(1e-5));
    CHECK(f[18] == doctest::Approx(base_at(18) / 32).epsilon(1e-4));
    const double kept = 1 - (13.0 - 8) / (18 - 8);
    CHECK(f[13] ==
          doctest::Approx(base_at(13) / 32 * (1 - kept) + base_at(13) * kept).epsilon(1e-4));
  }
  SUBCASE("exact bounds") {
    config.rounds_yarn_bounds = false;
    const std::vector<double> f = frequencies(config);
    const double kept = 1 - (13.0 - bound(32)) / (bound(1) - bound(32));
    CHECK(f[13] ==
          doctest::Approx(base_at(13) / 32 * (1 - kept) + base_at(13) * kept).epsilon(1e-4));
  }
}

TEST_CASE("rope: the multiplier is of cos and sin") {
  RopeConfig config = plain(8, 10000);
  config.multiplier = 1.25;
  const RopeAngles angles(config, nullptr);
  float cos[4], sin[4];
  angles.at(3, cos, sin);
  for (int i = 0; i < 4; ++i)
    CHECK(std::hypot(static_cast<double>(cos[i]), static_cast<double>(sin[i])) ==
          doctest::Approx(1.25));
}

TEST_CASE("rope: longrope's factors are chosen by the length that a session may reach") {
  const float factors_long[] = {1}, factors_short[] = {2}, plain_factors[] = {3};
  ModelConfig config;
  config.rope.original_context = 4096;
  ModelWeights weights;
  CHECK(rope_factors(config, weights, 8192) == nullptr);
  weights.rope_freqs = plain_factors;
  CHECK(rope_factors(config, weights, 8192) == plain_factors);
  weights.rope_factors_long = factors_long;
  weights.rope_factors_short = factors_short;
  CHECK(rope_factors(config, weights, 4096) == factors_short);
  CHECK(rope_factors(config, weights, 4097) == factors_long);
}

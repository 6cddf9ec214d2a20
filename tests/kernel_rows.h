// Rows of floats and what tests of kernels ask of them on every instruction set.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "quant/dispatch.h"

namespace larder::quant {

using Row = std::vector<float>;

inline constexpr int64_t kSizes[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 258};
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr double kEpsilon = 0x1p-24;  // half an ulp of 1

inline std::vector<const KernelSet*> supported_sets() {
  std::vector<const KernelSet*> sets;
  for (const KernelSet* set : kernel_sets()) {
    if (is_supported(*set)) sets.push_back(set);
  }
  return sets;
}

inline Row random_row(int64_t n, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  Row row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

inline bool same_bits(const Row& a, const Row& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Distance in units of the last place of `exact`'s float.
inline double ulps(float got, double exact) {
  const float nearest = static_cast<float>(exact);
  const double ulp =
      static_cast<double>(std::nextafter(std::fabs(nearest), kInfinity)) - std::fabs(nearest);
  return std::fabs(static_cast<double>(got) - exact) / ulp;
}

// Runs op(set) on all sets, requires the same bits of all, returns them.
template <class Op>
Row on_all_sets(Op op) {
  const Row expected = op(*supported_sets().back());  // scalar
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    CHECK(same_bits(op(*set), expected));
  }
  return expected;
}

}  // namespace larder::quant

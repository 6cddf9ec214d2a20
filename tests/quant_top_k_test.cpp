#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "tests/kernel_rows.h"

namespace larder::quant {
namespace {

// The order that top_k promises, by a stable sort.
std::vector<int32_t> sorted_indices(const Row& scores) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  return order;
}

void check_top_k(const Row& scores, int32_t k) {
  auto expected = sorted_indices(scores);
  expected.resize(static_cast<size_t>(k));
  const auto n = static_cast<int32_t>(scores.size());
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    CAPTURE(n);
    CAPTURE(k);
    std::vector<int32_t> got(static_cast<size_t>(k), -1);
    set->vector.top_k(scores.data(), n, k, got.data());
    CHECK(got == expected);
    CHECK(set->vector.argmax(scores.data(), n) == expected[0]);
  }
}

TEST_CASE("top_k: descending, ties to the lower index, NaN last") {
  for (int32_t n : {1, 2, 3, 8, 31, 33, 60, 128, 258, 512}) {
    const Row distinct = random_row(n, 16);
    Row tied = distinct;
    for (float& a : tied) a = std::round(a * 2) / 2;  // also -0 and +0
    Row holes = tied;
    for (size_t i = 0; i < holes.size(); i += 3) holes[i] = kNaN;
    for (size_t i = 1; i < holes.size(); i += 7) holes[i] = -kInfinity;
    for (size_t i = 4; i < holes.size(); i += 11) holes[i] = kInfinity;
    Row ascending = distinct;
    std::sort(ascending.begin(), ascending.end());
    for (int32_t k : {1, 2, 4, 8, 10, 16, 48, 49, 100, 512}) {
      for (const Row& scores : {distinct, tied, holes, ascending, Row(distinct.size(), kNaN)}) {
        check_top_k(scores, std::min(k, n));
      }
    }
  }
}

TEST_CASE("top_k: a vocabulary of logits") {
  Row logits = random_row(151936, 17, 5.0f);
  logits[100000] = logits[7] = 99.0f;
  logits[3] = -kNaN;
  for (int32_t k : {1, 40, 1000}) check_top_k(logits, k);
  std::sort(logits.begin() + 10, logits.end());
  for (int32_t k : {40, 1000}) check_top_k(logits, k);
}

}  // namespace
}  // namespace larder::quant

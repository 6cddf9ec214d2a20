// What rule 8 needs of oneDNN: a result depends on its weights and activations alone. oneDNN's
// order of sums is not documented, so this is proven and not assumed.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "quant/dense_matmul.h"
#include "quant/parallel.h"
#include "tests/random_weights.h"

namespace larder::quant {
namespace {

constexpr int32_t kWidths[] = {1, 3, 16, 31, 64, 96, 257, 384, 768, 1000, 2048, 5000};

struct Tile {
  int32_t n_cols;
  AlignedArray<float> weights, x, out;

  explicit Tile(int32_t k)
      : n_cols(k),
        weights(kDenseRows * dense_row_stride(k)),
        x(static_cast<size_t>(k) * kDenseTokens),
        out(kDenseRows * kDenseTokens) {}

  float& weight(int r, int32_t k) {
    return weights[static_cast<size_t>(r) * dense_row_stride(n_cols) + static_cast<size_t>(k)];
  }
  float& activation(int32_t k, int t) {
    return x[static_cast<size_t>(k) * kDenseTokens + static_cast<size_t>(t)];
  }
  float result(int r, int t) const { return out[static_cast<size_t>(r * kDenseTokens + t)]; }

  void fill(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int32_t k = 0; k < n_cols; ++k) {
      for (int r = 0; r < kDenseRows; ++r) weight(r, k) = normal(random);
      for (int t = 0; t < kDenseTokens; ++t) activation(k, t) = normal(random);
    }
  }
  void fill_with(float value) {
    for (int32_t k = 0; k < n_cols; ++k) {
      for (int r = 0; r < kDenseRows; ++r) weight(r, k) = value;
      for (int t = 0; t < kDenseTokens; ++t) activation(k, t) = value;
    }
  }
  void put(const std::vector<float>& row, int r, const std::vector<float>& token, int t) {
    for (int32_t k = 0; k < n_cols; ++k) {
      weight(r, k) = row[static_cast<size_t>(k)];
      activation(k, t) = token[static_cast<size_t>(k)];
    }
  }
  void multiply() {
    Parallel one(1);
    one.run([&](Team&) { multiply_dense_tile(weights.data(), x.data(), n_cols, out.data()); });
  }
};

std::vector<float> random_row(int32_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST_CASE("dense tile: right within the bound of a sum in any order") {
  prepare_dense_tiles();
  for (int32_t n_cols : kWidths) {
    Tile tile(n_cols);
    tile.fill(1);
    tile.multiply();
    int n_wrong = 0;
    for (int r = 0; r < kDenseRows; ++r) {
      for (int t = 0; t < kDenseTokens; ++t) {
        double exact = 0, magnitude = 0;
        for (int32_t k = 0; k < n_cols; ++k) {
          const double product = static_cast<double>(tile.weight(r, k)) * tile.activation(k, t);
          exact += product;
          magnitude += std::fabs(product);
        }
        n_wrong += !(std::fabs(tile.result(r, t) - exact) <= magnitude * n_cols * 0x1p-24);
      }
    }
    CAPTURE(n_cols);
    CHECK(n_wrong == 0);
  }
}

TEST_CASE("dense tile: the same row and token give the same bits at every place") {
  for (int32_t n_cols : kWidths) {
    Tile tile(n_cols);
    const auto row = random_row(n_cols, 2), token = random_row(n_cols, 3);
    for (int r = 0; r < kDenseRows; ++r) tile.put(row, r, token, r % kDenseTokens);
    tile.multiply();
    int n_other = 0;
    for (int r = 0; r < kDenseRows; ++r) {
      for (int t = 0; t < kDenseTokens; ++t) {
        n_other += !same_bits(tile.result(r, t), tile.result(0, 0));
      }
    }
    CAPTURE(n_cols);
    CHECK(n_other == 0);
  }
}

TEST_CASE("dense tile: neighbours and padding do not touch a result") {
  std::mt19937 random(4);
  for (int32_t n_cols : kWidths) {
    const auto row = random_row(n_cols, 5), token = random_row(n_cols, 6);
    Tile alone(n_cols);
    alone.fill_with(0.0f);
    alone.put(row, 0, token, 0);
    alone.multiply();
    const float expected = alone.result(0, 0);
    CAPTURE(n_cols);
    for (int repeat = 0; repeat < 8; ++repeat) {
      const int r = static_cast<int>(random() % kDenseRows);
      const int t = static_cast<int>(random() % kDenseTokens);
      for (const float filling : {0.0f, 1e30f, std::numeric_limits<float>::quiet_NaN()}) {
        Tile tile(n_cols);
        tile.fill_with(filling);
        tile.put(row, r, token, t);
        tile.multiply();
        CHECK(same_bits(tile.result(r, t), expected));
      }
      Tile crowded(n_cols);
      crowded.fill(static_cast<uint32_t>(repeat));
      crowded.put(row, r, token, t);
      crowded.multiply();
      CHECK(same_bits(crowded.result(r, t), expected));
    }
  }
}

TEST_CASE("dense tile: the same bits at any address and in any team") {
  for (int32_t n_cols : {31, 257, 2048}) {
    Tile tile(n_cols);
    tile.fill(7);
    tile.multiply();
    for (int n_threads : {1, 2, 3}) {
      Parallel parallel(n_threads);
      std::vector<int> n_other(static_cast<size_t>(n_threads), 0);
      parallel.run([&](Team& team) {
        const auto shift = static_cast<size_t>(16 * (team.thread() + 1));
        AlignedArray<float> w(kDenseRows * dense_row_stride(n_cols) + shift);
        AlignedArray<float> x(static_cast<size_t>(n_cols) * kDenseTokens + shift);
        AlignedArray<float> out(kDenseRows * kDenseTokens + shift);
        std::memcpy(w.data() + shift, tile.weights.data(),
                    sizeof(float) * kDenseRows * dense_row_stride(n_cols));
        std::memcpy(x.data() + shift, tile.x.data(),
                    sizeof(float) * static_cast<size_t>(n_cols) * kDenseTokens);
        multiply_dense_tile(w.data() + shift, x.data() + shift, n_cols, out.data() + shift);
        for (size_t i = 0; i < kDenseRows * kDenseTokens; ++i) {
          n_other[static_cast<size_t>(team.thread())] += !same_bits(out[shift + i], tile.out[i]);
        }
      });
      for (int n : n_other) CHECK(n == 0);
    }
  }
}

}  // namespace
}  // namespace larder::quant

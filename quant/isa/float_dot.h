// Float dot products in the one order of sums: 16 lanes, then the tree of reduce_add.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/isa/lanes.h"
#include "quant/kernel_set.h"

namespace larder::quant {

struct NoStep {
  [[gnu::always_inline]] void operator()() const {}
};
constexpr NoStep kNoStep;

// out[i * out_stride + j] = a[i] . (b + j * b_stride) for i < n_a, j < n_b. Element is float,
// uint16_t (float16), Bf16 or BlockQ8_0; strides count these. n_a * n_b accumulators stay in
// registers; each load serves several products. step() goes before every 16
// elements.
template <class Isa, int n_a, int n_b, class Element, class Step = const NoStep>
[[gnu::always_inline]] inline void dot_tile(const float* const* a, const Element* b,
                                            size_t b_stride, int64_t n, float* out,
                                            size_t out_stride, Step& step = kNoStep) {
  using Floats = typename Isa::Floats;
  Floats sums[n_a][n_b];
  for (int i = 0; i < n_a; ++i) {
    for (int j = 0; j < n_b; ++j) sums[i][j] = Floats::zero();
  }
  const auto accumulate = [&](auto load_a, auto load_b) __attribute__((always_inline)) {
    Floats right[n_b];
    for (int j = 0; j < n_b; ++j) right[j] = load_b(b + static_cast<size_t>(j) * b_stride);
    for (int i = 0; i < n_a; ++i) {
      const Floats left = load_a(a[i]);
      for (int j = 0; j < n_b; ++j) sums[i][j] = fma(left, right[j], sums[i][j]);
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    step();
    const auto whole = [k](const auto* p) __attribute__((always_inline)) {
      return load_lanes_at<Isa>(p, k);
    };
    accumulate(whole, whole);
  }
  if (k < n) {
    const auto tail = [ k, n ](const auto* p) __attribute__((always_inline)) {
      return load_lanes_at<Isa>(p, k, n - k);
    };
    accumulate(tail, tail);
  }
  if constexpr (n_a == Isa::kTileSide && n_b == Isa::kTileSide) {
    float totals[n_a * n_b];  // all of the tile together: a third of the shuffles
    Isa::reduce_tile(sums[0], totals);
    for (int i = 0; i < n_a; ++i) {
      __builtin_memcpy(out + static_cast<size_t>(i) * out_stride, totals + i * n_b,
                       n_b * sizeof(float));
    }
  } else {
    for (int i = 0; i < n_a; ++i) {
      for (int j = 0; j < n_b; ++j) {
        out[static_cast<size_t>(i) * out_stride + static_cast<size_t>(j)] = reduce_add(sums[i][j]);
      }
    }
  }
}

// As dot_tile for any number n_b of right-hand rows.
template <class Isa, int n_a, class Element, class Step = const NoStep>
[[gnu::always_inline]] inline void dot_rows(const float* const* a, const Element* b,
                                            size_t b_stride, int n_b, int64_t n, float* out,
                                            size_t out_stride, Step& step = kNoStep) {
  constexpr int kSide = Isa::kTileSide;
  int j = 0;
  for (; j + kSide <= n_b; j += kSide) {
    dot_tile<Isa, n_a, kSide>(a, b + static_cast<size_t>(j) * b_stride, b_stride, n, out + j,
                              out_stride, step);
  }
  for (; j < n_b; ++j) {
    dot_tile<Isa, n_a, 1>(a, b + static_cast<size_t>(j) * b_stride, b_stride, n, out + j,
                          out_stride);
  }
}

template <class Isa>
float dot_f32(const float* a, const float* b, int64_t n) noexcept {
  float result;
  dot_tile<Isa, 1, 1>(&a, b, 0, n, &result, 1);
  return result;
}

// Weights are read once for every kTileSide tokens, again and again from cache where 16 rows fit.
template <class Isa>
void gemm_f32(const WeightRows& weights, const ActivationRows& x, const OutputRows& out) noexcept {
  constexpr int kRows = 16, kSide = Isa::kTileSide;
  const size_t stride = weights.row_bytes / sizeof(float);
  for (int32_t r = 0; r < weights.n_rows; r += kRows) {
    const int n_rows = weights.n_rows - r < kRows ? weights.n_rows - r : kRows;
    const float* const rows =
        reinterpret_cast<const float*>(weights.data) + static_cast<size_t>(r) * stride;
    int32_t t = 0;
    for (; t + kSide <= x.n_tokens; t += kSide) {
      const float* tokens[kSide];
      for (int i = 0; i < kSide; ++i) tokens[i] = static_cast<const float*>(x.rows[t + i]);
      dot_rows<Isa, kSide>(tokens, rows, stride, n_rows, weights.n_cols,
                           out.data + static_cast<size_t>(t) * out.stride + r, out.stride);
    }
    for (; t < x.n_tokens; ++t) {
      const float* const token = static_cast<const float*>(x.rows[t]);
      dot_rows<Isa, 1>(&token, rows, stride, n_rows, weights.n_cols,
                       out.data + static_cast<size_t>(t) * out.stride + r, out.stride);
    }
  }
}

}  // namespace larder::quant

// Float weights times few vectors, from native rows in the order of the file: a few rows at a time,
// each of them once for kTileSide vectors. In the order of sums of float_dot.h.
#pragma once

#include "quant/format.h"
#include "quant/isa/dot.h"
#include "quant/isa/float_dot.h"

namespace larder::quant {

template <class Isa, class Element>
class FloatGemv {
 public:
  static void run(const WeightRows& weights, const ActivationRows& x,
                  const OutputRows& out) noexcept {
    int32_t row = 0;
    for (; row + kSide <= weights.n_rows; row += kSide) multiply<kSide>(weights, row, x, out);
    for (; row < weights.n_rows; ++row) multiply<1>(weights, row, x, out);
  }

 private:
  static constexpr int kSide = Isa::kTileSide;
  // Between what is multiplied and what is asked for, in all rows together. Measured on Zen 5, F16,
  // one thread, as a share of the speed of reading alone: .55 with none, .76 with 4 KiB, .86 with
  // 8, .75 with 16.
  static constexpr size_t kAheadBytes = 8 << 10;

  template <int n_rows>
  static void multiply(const WeightRows& weights, int32_t row, const ActivationRows& x,
                       const OutputRows& out) noexcept {
    const uint8_t* const rows = weights.data + static_cast<size_t>(row) * weights.row_bytes;
    const auto* const elements = reinterpret_cast<const Element*>(rows);
    const size_t stride = weights.row_bytes / sizeof(Element);
    // Places that follow are those of these rows, then of the next ones.
    size_t then = kAheadBytes / n_rows;
    const auto ask = [&]() __attribute__((always_inline)) {
      if (then % 64 == 0) {
        const bool is_here = then < weights.row_bytes;
        const uint8_t* const line = rows + then + (is_here ? 0 : (n_rows - 1) * weights.row_bytes);
        for (int j = 0; j < n_rows; ++j)
          Isa::prefetch(line + static_cast<size_t>(j) * weights.row_bytes);
      }
      then += kLanes * sizeof(Element);
    };
    for (int32_t t = 0; t < x.n_tokens; t += kSide) {
      with_count<kSide>(
          x.n_tokens - t, [&](auto count) __attribute__((always_inline)) {
            constexpr int n_tokens = decltype(count)::value;
            const float* tokens[n_tokens];
            for (int i = 0; i < n_tokens; ++i) tokens[i] = static_cast<const float*>(x.rows[t + i]);
            float* const to = out.data + static_cast<size_t>(t) * out.stride + row;
            dot_tile<Isa, n_tokens, n_rows>(tokens, elements, stride, weights.n_cols, to,
                                            out.stride, ask);
          });
    }
  }
};

template <class Isa>
void gemv_float(Format format, const WeightRows& weights, const ActivationRows& x,
                const OutputRows& out) noexcept {
  switch (format) {
    case Format::f16:
      return FloatGemv<Isa, uint16_t>::run(weights, x, out);
    case Format::bf16:
      return FloatGemv<Isa, Bf16>::run(weights, x, out);
    default:
      return FloatGemv<Isa, float>::run(weights, x, out);
  }
}

}  // namespace larder::quant

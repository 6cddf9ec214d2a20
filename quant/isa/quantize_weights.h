// Rows of floats to blocks of any format. What a block becomes depends on its own weights and
// importances alone.
#pragma once

#include "quant/isa/elementwise.h"
#include "quant/isa/quantize_small_blocks.h"
#include "quant/isa/quantize_super_blocks_affine.h"

namespace larder::quant {

// To nearest, ties to even; NaN stays NaN.
[[gnu::always_inline]] inline uint16_t narrow_bf16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class Block, int n, class Quantize>
[[gnu::always_inline]] inline void quantize_in_runs(const QuantizeRows& rows, Quantize quantize) {
  constexpr int kElements = sizeof(Block) < 64 ? 32 : 256;
  constexpr int kBlocks = kLanes * n / kElements;
  const int64_t n_blocks = rows.n_rows * rows.n_cols / kElements;
  for (int64_t first = 0; first < n_blocks; first += kBlocks) {
    BlockRun<Block> run;
    run.x = rows.x + first * kElements;
    run.count = static_cast<int>(n_blocks - first < kBlocks ? n_blocks - first : kBlocks);
    run.out = reinterpret_cast<Block*>(rows.out) + first;
    for (int b = 0; b < run.count; ++b) {
      const int64_t column = (first + b) * kElements % rows.n_cols;
      run.importance[b] = rows.importance == nullptr ? nullptr : rows.importance + column;
    }
    quantize(run);
  }
}

template <class Isa, class Block>
void quantize_small(const QuantizeRows& rows) noexcept {
  quantize_in_runs<Block, 32>(rows, quantize_scaled<Isa, Block>);
}
template <class Isa, class Block>
void quantize_small_affine(const QuantizeRows& rows) noexcept {
  quantize_in_runs<Block, 32>(rows, quantize_affine<Isa, Block>);
}
template <class Isa, class Block>
void quantize_super(const QuantizeRows& rows) noexcept {
  quantize_in_runs<Block, SuperBlock<Block>::kLane>(rows, quantize_scaled_super<Isa, Block>);
}
template <class Isa, class Block>
void quantize_super_affine(const QuantizeRows& rows) noexcept {
  quantize_in_runs<Block, SuperBlock<Block>::kLane>(rows, quantize_affine_super<Isa, Block>);
}

template <class Isa>
void quantize(Format format, const QuantizeRows& rows) noexcept {
  const int64_t n = rows.n_rows * rows.n_cols;
  switch (format) {
    case Format::f32:
      __builtin_memcpy(rows.out, rows.x, static_cast<size_t>(n) * sizeof(float));
      return;
    case Format::f16:
      return to_f16<Isa>(rows.x, n, reinterpret_cast<uint16_t*>(rows.out));
    case Format::bf16: {
      auto* out = reinterpret_cast<uint16_t*>(rows.out);
      for (int64_t i = 0; i < n; ++i) out[i] = narrow_bf16(rows.x[i]);
      return;
    }
    case Format::q4_0:
      return quantize_small<Isa, BlockQ4_0>(rows);
    case Format::q4_1:
      return quantize_small_affine<Isa, BlockQ4_1>(rows);
    case Format::q5_0:
      return quantize_small<Isa, BlockQ5_0>(rows);
    case Format::q5_1:
      return quantize_small_affine<Isa, BlockQ5_1>(rows);
    case Format::q8_0:
      return quantize_small<Isa, BlockQ8_0>(rows);
    case Format::iq4_nl:
      return quantize_small<Isa, BlockIQ4_NL>(rows);
    case Format::mxfp4:
      return quantize_in_runs<BlockMXFP4, 32>(rows, quantize_mxfp4<Isa>);
    case Format::q2_k:
      return quantize_super_affine<Isa, BlockQ2_K>(rows);
    case Format::q3_k:
      return quantize_super<Isa, BlockQ3_K>(rows);
    case Format::q4_k:
      return quantize_super_affine<Isa, BlockQ4_K>(rows);
    case Format::q5_k:
      return quantize_super_affine<Isa, BlockQ5_K>(rows);
    case Format::q6_k:
      return quantize_super<Isa, BlockQ6_K>(rows);
    case Format::iq4_xs:
      return quantize_super<Isa, BlockIQ4_XS>(rows);
  }
}

}  // namespace larder::quant

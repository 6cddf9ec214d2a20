// Rounds rows of floats to int8 blocks: activations (activation_block.h), keys and values.
#pragma once

#include <cstdint>

#include "quant/activation_block.h"
#include "quant/block.h"
#include "quant/isa/lanes.h"

namespace larder::quant {

// What a block of activations is multiplied with to become int8, and what undoes it.
struct ActivationScale {
  float scale, inverse;
};

// A block too small for 127 / amax to be finite counts as zeros; one with infinity or NaN has
// quants 0 and scale NaN, so that every product with it is NaN.
template <class Isa>
[[gnu::always_inline]] inline ActivationScale activation_scale(const float* x, int n) {
  using Floats = typename Isa::Floats;
  Floats most = Floats::zero();
  auto special = is_nan(most);
  const Floats infinity = Floats::broadcast(__builtin_inff());
  for (int i = 0; i < n; i += kLanes) {
    const Floats magnitude = abs(load_lanes<Isa>(x + i));
    special = special | ~less(magnitude, infinity);
    most = max(most, magnitude);
  }
  if (lane_bits(special) != 0) return {__builtin_nanf(""), 0.0f};
  const float amax = reduce_max(most);
  if (amax < 127.0f / 0x1p127f) return {0.0f, 0.0f};
  return {amax / 127.0f, 127.0f / amax};
}

// Stores 16 quants and returns them.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Ints quantize_lanes(const float* x, float inverse,
                                                                int8_t* q) {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  // An infinity times 0 rounds to INT32_MIN; such blocks are NaN by their scale.
  const Ints rounded = round_to_int(load_lanes<Isa>(x) * Floats::broadcast(inverse));
  const Ints limited = inverse == 0.0f ? Ints::zero() : rounded;
  limited.store_int8(q);
  return limited;
}

template <class Isa>
void quantize_q8_32(const float* x, int64_t n, void* out) noexcept {
  auto* block = static_cast<ActivationBlock32*>(out);
  for (int64_t i = 0; i < n; i += 32, ++block) {
    const ActivationScale s = activation_scale<Isa>(x + i, 32);
    block->scale = s.scale;
    block->sum = reduce_add(quantize_lanes<Isa>(x + i, s.inverse, block->q) +
                            quantize_lanes<Isa>(x + i + kLanes, s.inverse, block->q + kLanes));
  }
}

template <class Isa>
void quantize_q8_256(const float* x, int64_t n, void* out) noexcept {
  auto* block = static_cast<ActivationBlock256*>(out);
  for (int64_t i = 0; i < n; i += 256, ++block) {
    const ActivationScale s = activation_scale<Isa>(x + i, 256);
    block->scale = s.scale;
    for (int g = 0; g < 16; ++g) {
      block->sums_16[g] = static_cast<int16_t>(
          reduce_add(quantize_lanes<Isa>(x + i + g * kLanes, s.inverse, block->q + g * kLanes)));
    }
    for (int g = 0; g < 8; ++g) {
      block->sums_32[g] = static_cast<int16_t>(block->sums_16[2 * g] + block->sums_16[2 * g + 1]);
    }
    for (uint32_t& word : block->unused) word = 0;
  }
}

// Quants belong to the scale as it is stored, so that its rounding costs nothing. What is too small
// for a float16 counts as zeros; a block with infinity or NaN has the scale NaN, one too large for
// a float16 the scale infinity: products with either are not finite.
template <class Isa>
void quantize_q8_0(const float* x, int64_t n, void* out) noexcept {
  using Floats = typename Isa::Floats;
  using Ints = typename Isa::Ints;
  auto* block = static_cast<BlockQ8_0*>(out);
  for (int64_t i = 0; i < n; i += 32, ++block) {
    uint16_t bits;
    Floats::broadcast(activation_scale<Isa>(x + i, 32).scale).to_f16_partial(&bits, 1);
    block->d = {static_cast<uint8_t>(bits & 0xff), static_cast<uint8_t>(bits >> 8)};
    const float d = Isa::widen_f16(bits);
    const float inverse = d > 0.0f ? 1.0f / d : 0.0f;  // NaN: 0
    for (int g = 0; g < 32; g += kLanes) {
      const Ints rounded = round_to_int(load_lanes<Isa>(x + i + g) * Floats::broadcast(inverse));
      // The least scales are so coarse that they may be too small for what they stand for.
      const Ints limited = min(max(rounded, Ints::broadcast(-127)), Ints::broadcast(127));
      (inverse == 0.0f ? Ints::zero() : limited).store_int8(block->qs + g);
    }
  }
}

}  // namespace larder::quant

// What every format means, in double precision and one element at a time: the oracle of the tests.
// Written from the layouts of block.h, never optimised. The quantisers round to nearest, without
// searching for better scales.
#pragma once

#include <cstdint>

#include "quant/format.h"

namespace larder::quant::reference {

// IEEE binary16 and bfloat16; narrow_f16 rounds to nearest even.
double widen_f16(uint16_t half) noexcept;
double widen_bf16(uint16_t half) noexcept;
uint16_t narrow_f16(double x) noexcept;

// One row of n weights. REQUIRES: n a multiple of the format's block, as everywhere below.
void dequantize(Format format, const uint8_t* row, int64_t n, double* out) noexcept;
void quantize(Format format, const float* x, int64_t n, uint8_t* row) noexcept;

// Activation rows in the layout of activation_block.h. REQUIRES: format is not f32.
void quantize_activations(ActivationFormat format, const float* x, int64_t n, void* row) noexcept;
void dequantize_activations(ActivationFormat format, const void* row, int64_t n,
                            double* out) noexcept;

// Sum of products, and of their magnitudes, by which errors are judged.
struct Dot {
  double value = 0;
  double magnitude = 0;
};
Dot dot(const double* a, const double* b, int64_t n) noexcept;

}  // namespace larder::quant::reference

// All vector kernels of one instruction set.
#pragma once

#include "quant/isa/activations.h"
#include "quant/isa/attention.h"
#include "quant/isa/convolve.h"
#include "quant/isa/delta_rule.h"
#include "quant/isa/dequantize.h"
#include "quant/isa/elementwise.h"
#include "quant/isa/float_dot.h"
#include "quant/isa/float_gemv.h"
#include "quant/isa/norms.h"
#include "quant/isa/quantize_activations.h"
#include "quant/isa/quantize_weights.h"
#include "quant/isa/rope.h"
#include "quant/isa/top_k.h"
#include "quant/kernel_set.h"

namespace larder::quant {

template <class Isa>
constexpr VectorKernels vector_kernels() {
  return {.dequantize = dequantize<Isa>,
          .quantize = quantize<Isa>,
          .quantize_q8_32 = quantize_q8_32<Isa>,
          .quantize_q8_256 = quantize_q8_256<Isa>,
          .quantize_q8_0 = quantize_q8_0<Isa>,
          .to_f16 = to_f16<Isa>,
          .from_f16 = from_f16<Isa>,
          .gemv_float = gemv_float<Isa>,
          .gemm_f32 = gemm_f32<Isa>,
          .dot_f32 = dot_f32<Isa>,
          .add = add<Isa>,
          .scale = scale<Isa>,
          .add_scaled = add_scaled<Isa>,
          .multiply = multiply<Isa>,
          .clamp = clamp<Isa>,
          .rms_norm = rms_norm<Isa>,
          .layer_norm = layer_norm<Isa>,
          .l2_norm = l2_norm<Isa>,
          .rope_adjacent = rope_adjacent<Isa>,
          .rope_halves = rope_halves<Isa>,
          .swiglu = swiglu<Isa>,
          .swiglu_clamped = swiglu_clamped<Isa>,
          .silu = silu<Isa>,
          .relu = relu<Isa>,
          .gelu_tanh = gelu_tanh<Isa>,
          .sigmoid = sigmoid<Isa>,
          .softmax = softmax<Isa>,
          .top_k = top_k<Isa>,
          .argmax = argmax<Isa>,
          .all_finite = all_finite<Isa>,
          .attend = attend<Isa>,
          .convolve = convolve<Isa>,
          .delta_rule = delta_rule<Isa>};
}

}  // namespace larder::quant

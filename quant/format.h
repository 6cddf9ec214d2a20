// Weight formats by meaning: which kernels exist, and what form of activations they multiply with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace larder::quant {

// Values are GGUF's tensor type ids, so that a file's id is a Format where kernels exist.
enum class Format : int32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
  mxfp4 = 39
};
inline constexpr int kFormatSlots = 40;  // largest id + 1, for tables indexed by id

// How activations are rounded before an integer dot product.
//   f32:    not at all (float weights, and every weight in exact mode)
//   q8_32:  int8 per 32 values with a float scale: formats with blocks of 32
//   q8_256: int8 per 256 values with a float scale: formats with super-blocks of 256
enum class ActivationFormat : uint8_t { f32, q8_32, q8_256 };
inline constexpr int kActivationFormats = 3;

struct FormatTraits {
  Format format;
  const char* name;  // as GGUF tools print it: "Q4_K"
  int block_elements;
  int block_bytes;
  ActivationFormat activation;
};

std::span<const FormatTraits> format_traits() noexcept;
// Null where there are no kernels for a type id.
const FormatTraits* find_format(int32_t id) noexcept;

// Bytes of one row of `n_cols` weights. REQUIRES: n_cols a multiple of the block.
size_t row_bytes(Format format, int64_t n_cols) noexcept;
// Bytes of one quantised activation row, a multiple of 64.
size_t activation_row_bytes(ActivationFormat format, int64_t n_cols) noexcept;

}  // namespace larder::quant

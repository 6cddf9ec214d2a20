// A part of one matmul, done by one thread: some weight rows times some or all tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/grouped_matmul.h"

namespace larder::quant {

// Weight rows [first_row, end_row) and tokens [first_token, end_token) of a job.
struct MatmulPart {
  int32_t first_row, end_row;
  int32_t first_token, end_token;
};

// From how many tokens on a panel is packed. Measured on Zen 5 with AVX-512, Qwen3-30B-A3B's shapes
// in Q4_K_M, 8 sequences decoded together: 119 tokens a second where it is 4, 152 where it is 9,
// and 150 where it is 17; with 16 sequences 168, 184 and 182. With AVX2 4 and 9: 97 and
// 115 (8 sequences), 125 and 135 (16).
inline constexpr int32_t kGemmTokens = 9;
inline constexpr int32_t kMaxPanels = 8;  // of a part that is packed

// The weights that a part packs, or no rows if it does not.
WeightRows packed_rows(const MatmulJob& job, const MatmulPart& part) noexcept;

// Integer arithmetic; hints.next is what this thread packs then. REQUIRES: from kGemmTokens on, at
// most kMaxPanels panels of rows.
void multiply_integer(const KernelSet& kernels, const MatmulJob& job, const MatmulPart& part,
                      const MemoryHints& hints, std::byte* scratch) noexcept;
size_t integer_scratch_bytes(const KernelSet& kernels, Format format, int32_t n_cols) noexcept;

// Float weights among integer ones: for few tokens from native rows; for many dequantised a panel
// at a time, then gemm_f32 of the kernels.
// Measured on Zen 5, F16, one thread: against oneDNN's tiles several times the speed at one token
// (no padding) and three quarters of it at 512; house rule 8 wants one of them for both.
void multiply_float(const KernelSet& kernels, const MatmulJob& job, const MatmulPart& part,
                    std::byte* scratch) noexcept;
size_t float_scratch_bytes(int32_t n_cols) noexcept;

// Exact arithmetic: float32 activations and dequantised weights in the tiles of dense_matmul.h.
class ExactMultiplier {
 public:
  ExactMultiplier(const KernelSet& kernels, std::byte* scratch) noexcept
      : kernels_(kernels), scratch_(scratch) {}

  // REQUIRES: at most max_tokens(n_cols) tokens and kDenseRows rows. Cheapest when the tokens are
  // those of the call before.
  void multiply(const MatmulJob& job, const MatmulPart& part) noexcept;

  static int32_t max_tokens(int32_t n_cols) noexcept;
  static size_t scratch_bytes(int32_t n_cols) noexcept;

 private:
  // Where things lie in the scratch, in floats.
  struct Layout {
    explicit Layout(int32_t n_cols) noexcept;
    size_t weights, tokens, out, end;
  };
  void pack_tokens(const MatmulJob& job, const MatmulPart& part, float* out) noexcept;

  const KernelSet& kernels_;
  std::byte* scratch_;
  const MatmulJob* packed_job_ = nullptr;  // whose tokens are in the scratch
  int32_t packed_token_ = 0;
};

}  // namespace larder::quant

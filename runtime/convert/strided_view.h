// Elements of a checkpoint's tensor in another order: four nested loops over its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "formats/safetensors/safetensors_header.h"

namespace larder::runtime {

inline constexpr size_t kViewDims = 4;

// Outermost first; the order of the loops is the order of the output. Counts and strides are in
// elements, which are blocks of 16 bytes where a tensor holds MXFP4.
struct StridedView {
  const formats::SafetensorsTensor* tensor = nullptr;
  const formats::SafetensorsTensor* scales = nullptr;  // of MXFP4 blocks; one byte each
  uint64_t first = 0;
  std::array<uint64_t, kViewDims> counts = {1, 1, 1, 1};
  std::array<uint64_t, kViewDims> strides = {0, 0, 0, 1};

  uint64_t size() const noexcept { return counts[0] * counts[1] * counts[2] * counts[3]; }
  // Loops from `dim` on take each element between two of the tensor's, one after the other.
  bool is_contiguous(size_t dim) const noexcept;
  // Elements from the first to the last that the loops from `dim` on touch.
  uint64_t span(size_t dim) const noexcept;
};

// Copies elements of `element_bytes` from `from`, the first of the span of `dim`, in the order of
// the loops from `dim` on. REQUIRES: `to` has room for them.
void gather(const StridedView& view, size_t dim, size_t element_bytes, const std::byte* from,
            std::byte* to) noexcept;

}  // namespace larder::runtime

#include "runtime/convert/strided_view.h"

#include <algorithm>
#include <cstring>

namespace larder::runtime {
namespace {

constexpr uint64_t kTile = 32;  // rows and columns that are turned together, within a first cache

struct Plane {
  uint64_t n_rows, n_columns, row_stride, column_stride;
};

template <size_t kBytes>
void copy_tiles(const Plane& plane, const std::byte* from, std::byte* to) noexcept {
  for (uint64_t r0 = 0; r0 < plane.n_rows; r0 += kTile)
    for (uint64_t c0 = 0; c0 < plane.n_columns; c0 += kTile)
      for (uint64_t r = r0; r < std::min(r0 + kTile, plane.n_rows); ++r)
        for (uint64_t c = c0; c < std::min(c0 + kTile, plane.n_columns); ++c)
          std::memcpy(to + (r * plane.n_columns + c) * kBytes,
                      from + (r * plane.row_stride + c * plane.column_stride) * kBytes, kBytes);
}

void copy_plane(const Plane& plane, size_t element_bytes, const std::byte* from,
                std::byte* to) noexcept {
  if (plane.column_stride == 1) {
    const size_t row_bytes = plane.n_columns * element_bytes;
    for (uint64_t r = 0; r < plane.n_rows; ++r)
      std::memcpy(to + r * row_bytes, from + r * plane.row_stride * element_bytes, row_bytes);
    return;
  }
  switch (element_bytes) {
    case 1:
      return copy_tiles<1>(plane, from, to);
    case 2:
      return copy_tiles<2>(plane, from, to);
    case 4:
      return copy_tiles<4>(plane, from, to);
    default:
      return copy_tiles<16>(plane, from, to);
  }
}

}  // namespace

bool StridedView::is_contiguous(size_t dim) const noexcept {
  uint64_t expected = 1;
  for (size_t d = kViewDims; d-- > dim;) {
    if (counts[d] != 1 && strides[d] != expected) return false;
    expected *= counts[d];
  }
  return true;
}

uint64_t StridedView::span(size_t dim) const noexcept {
  uint64_t last = 0;
  for (size_t d = dim; d < kViewDims; ++d) last += (counts[d] - 1) * strides[d];
  return last + 1;
}

void gather(const StridedView& view, size_t dim, size_t element_bytes, const std::byte* from,
            std::byte* to) noexcept {
  const uint64_t n_planes = dim < 2 ? (dim < 1 ? view.counts[0] : 1) * view.counts[1] : 1;
  const Plane plane = {dim <= 2 ? view.counts[2] : 1, view.counts[3], view.strides[2],
                       view.strides[3]};
  for (uint64_t p = 0; p < n_planes; ++p) {
    const uint64_t outer = p / view.counts[1], inner = p % view.counts[1];
    const uint64_t at =
        dim < 2 ? (dim < 1 ? outer * view.strides[0] : 0) + inner * view.strides[1] : 0;
    copy_plane(plane, element_bytes, from + at * element_bytes,
               to + p * plane.n_rows * plane.n_columns * element_bytes);
  }
}

}  // namespace larder::runtime

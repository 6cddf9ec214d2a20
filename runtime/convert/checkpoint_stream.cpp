#include "runtime/convert/checkpoint_stream.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "formats/gguf/printable_name.h"

namespace larder::runtime {
namespace {

using quant::Format;

constexpr uint64_t kPieceBytes = uint64_t{32} << 20;  // read or put at once
// Of a matrix that is turned, which has to be in memory: the largest experts have 170 MiB.
constexpr uint64_t kMostTurnedBytes = uint64_t{384} << 20;
constexpr uint64_t kHalfBlock = 16;  // bytes of an MXFP4 block without its scale

uint64_t element_bytes(Format format) { return quant::row_bytes(format, 1); }

// A checkpoint's byte holds neighbours, low nibble first; a file's byte j the elements j and
// j + 16. Layout of the file's block: the scale, then 16 bytes.
void relay_block(const std::byte* from, std::byte scale, std::byte* to) noexcept {
  *to++ = scale;
  const auto nibble = [from](uint64_t i) {
    return i % 2 == 0 ? from[i / 2] & std::byte{0xf} : from[i / 2] >> 4;
  };
  for (uint64_t j = 0; j < kHalfBlock; ++j) to[j] = nibble(j) | nibble(j + kHalfBlock) << 4;
}

void change_values(ValueChange change, std::span<float> values) noexcept {
  for (float& value : values)
    value = change == ValueChange::plus_one ? value + 1 : -std::exp(value);
}

}  // namespace

Status CheckpointStream::put(const CheckpointTensor& tensor, Format from,
                             std::span<std::byte> bytes, const Sink& sink) {
  const auto n_columns = static_cast<int64_t>(tensor.dims[0]);
  const uint64_t n_elements = bytes.size() / element_bytes(from);
  const auto to = static_cast<Format>(tensor.type->id);
  const auto n_rows = static_cast<int64_t>(n_elements) / n_columns;
  if (n_rows * n_columns != static_cast<int64_t>(n_elements))
    return Status(Cause::shape, "no whole rows", formats::tensor_subject(tensor.name));
  made_.resize(from == to ? 0 : quant::row_bytes(to, n_columns) * static_cast<size_t>(n_rows));
  auto* const out = from == to ? nullptr : reinterpret_cast<uint8_t*>(made_.data());
  const int64_t unfit =
      requantizer_.run({from, reinterpret_cast<const uint8_t*>(bytes.data()), n_rows, n_columns,
                        from == to ? Format::f32 : to, nullptr, out});
  if (unfit >= 0)
    return Status(
        Cause::numeric,
        "element " + std::to_string(n_put_ + static_cast<uint64_t>(unfit)) +
            (to == Format::f16 && from != to ? " is not finite, or too large for F16; BF16 holds it"
                                             : " is not finite"),
        formats::tensor_subject(tensor.name));
  n_put_ += n_elements;
  return from == to ? sink(bytes) : sink(made_);
}

Status CheckpointStream::write(const CheckpointTensor& tensor, const Sink& sink) {
  n_put_ = 0;
  if (!tensor.values.empty()) return write_values(tensor, sink);
  size_t n_asked = 0;  // of the views: their bytes may lie anywhere in several files
  for (size_t i = 0; i < tensor.views.size(); ++i) {
    n_asked = ask_ahead(tensor.views, i, std::max(n_asked, i));
    if (Status s = write_view(tensor, tensor.views[i], sink); !s.ok()) return s;
  }
  return {};
}

// Lets the disk read views behind `i` while that is written, until a piece's bytes are
// on their way; those before `from` are. Returns the first that is not.
size_t CheckpointStream::ask_ahead(std::span<const StridedView> views, size_t i, size_t from) {
  uint64_t n_ahead = 0;
  for (size_t v = i + 1; v < views.size() && n_ahead < kPieceBytes; ++v) {
    const uint64_t n = views[v].span(0) * traits_of(views[v].tensor->type).bytes;
    n_ahead += n;
    if (v < from || views[v].scales != nullptr) continue;
    reader_.will_read(*views[v].tensor, views[v].first, views[v].span(0));
    from = v + 1;
  }
  return from;
}

Status CheckpointStream::write_values(const CheckpointTensor& tensor, const Sink& sink) {
  std::vector<float> values = tensor.values;
  return put(tensor, Format::f32, std::as_writable_bytes(std::span(values)), sink);
}

Status CheckpointStream::write_view(const CheckpointTensor& tensor, const StridedView& view,
                                    const Sink& sink) {
  if (view.scales != nullptr) return write_blocks(view, sink);
  if (view.is_contiguous(0) && tensor.change == ValueChange::none)
    return write_contiguous(tensor, view, sink);
  const uint64_t n_bytes = traits_of(view.tensor->type).bytes;
  // As many loops in memory as fit; rows of a turned matrix need all of it.
  size_t dim = 0;
  while (dim < 2 && view.span(dim) * n_bytes > kPieceBytes) ++dim;
  if (view.span(dim) * n_bytes > kMostTurnedBytes)
    return Status(Cause::limit, "too large to be put in order in memory",
                  formats::tensor_subject(view.tensor->name));
  StridedView part = view;
  for (size_t d = 0; d < dim; ++d) part.counts[d] = 1;
  const uint64_t n_outer = (dim > 0 ? view.counts[0] : 1) * (dim > 1 ? view.counts[1] : 1);
  for (uint64_t i = 0; i < n_outer; ++i) {
    const uint64_t inner = dim > 1 ? i % view.counts[1] : 0;
    const uint64_t outer = dim > 1 ? i / view.counts[1] : i;
    part.first = view.first + (dim > 0 ? outer * view.strides[0] : 0) + inner * view.strides[1];
    if (Status s = write_part(tensor, part, dim, sink); !s.ok()) return s;
  }
  return {};
}

Status CheckpointStream::write_contiguous(const CheckpointTensor& tensor, const StridedView& view,
                                          const Sink& sink) {
  const Format from = ElementReader::format_of(*view.tensor);
  const uint64_t row = tensor.dims[0];
  const uint64_t n_rows = std::max<uint64_t>(1, kPieceBytes / (row * element_bytes(from)));
  for (uint64_t at = 0; at < view.size();) {
    const uint64_t n = std::min(n_rows * row, view.size() - at);
    if (Status s = reader_.read(*view.tensor, view.first + at, n, read_); !s.ok()) return s;
    reader_.will_read(*view.tensor, view.first + at + n, std::min(n, view.size() - at - n));
    if (Status s = put(tensor, from, read_, sink); !s.ok()) return s;
    at += n;
  }
  return {};
}

// The loops from `dim` on, in order, a few of their rows at a time.
Status CheckpointStream::write_part(const CheckpointTensor& tensor, const StridedView& part,
                                    size_t dim, const Sink& sink) {
  const Format from = ElementReader::format_of(*part.tensor);
  const uint64_t n_bytes = element_bytes(from);
  if (Status s = reader_.read(*part.tensor, part.first, part.span(dim), read_); !s.ok()) return s;
  const uint64_t row_bytes = part.counts[3] * n_bytes;
  const uint64_t n_rows =
      dim == 2 ? std::max<uint64_t>(1, kPieceBytes / row_bytes) : part.counts[2];
  for (uint64_t row = 0; row < part.counts[2]; row += n_rows) {
    StridedView rows = part;
    rows.counts[2] = std::min(n_rows, part.counts[2] - row);
    ordered_.resize(rows.size() * n_bytes);
    gather(rows, dim, n_bytes, read_.data() + row * part.strides[2] * n_bytes, ordered_.data());
    if (tensor.change == ValueChange::none) {
      if (Status s = put(tensor, from, ordered_, sink); !s.ok()) return s;
      continue;
    }
    std::vector<float> values(rows.size());
    kernels_.vector.dequantize(from, reinterpret_cast<const uint8_t*>(ordered_.data()),
                               static_cast<int64_t>(values.size()), values.data());
    change_values(tensor.change, values);
    if (Status s = put(tensor, Format::f32, std::as_writable_bytes(std::span(values)), sink);
        !s.ok())
      return s;
  }
  return {};
}

Status CheckpointStream::write_blocks(const StridedView& view, const Sink& sink) {
  const uint64_t n_blocks = view.counts[3], block_bytes = quant::row_bytes(Format::mxfp4, 32);
  std::vector<std::byte> scales;
  for (uint64_t e = 0; e < view.counts[1]; ++e) {
    for (uint64_t row = 0; row < view.counts[2];) {
      const uint64_t stride = view.strides[2];
      const uint64_t n_rows =
          std::clamp<uint64_t>(kPieceBytes / (stride * kHalfBlock), 1, view.counts[2] - row);
      const uint64_t first = view.first + e * view.strides[1] + row * stride;
      const uint64_t n = (n_rows - 1) * stride + n_blocks;
      if (Status s = reader_.read(*view.tensor, first * kHalfBlock, n * kHalfBlock, read_); !s.ok())
        return s;
      if (Status s = reader_.read(*view.scales, first, n, scales); !s.ok()) return s;
      made_.resize(n_rows * n_blocks * block_bytes);
      for (uint64_t i = 0; i < n_rows * n_blocks; ++i) {
        const uint64_t at = i / n_blocks * stride + i % n_blocks;
        relay_block(read_.data() + at * kHalfBlock, scales[at], made_.data() + i * block_bytes);
      }
      if (Status s = sink(made_); !s.ok()) return s;
      row += n_rows;
    }
  }
  return {};
}

}  // namespace larder::runtime

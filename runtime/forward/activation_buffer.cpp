#include "runtime/forward/activation_buffer.h"

#include <algorithm>

namespace larder::runtime {
namespace {

using quant::ActivationFormat;

constexpr ActivationFormat kRounded[] = {ActivationFormat::q8_32, ActivationFormat::q8_256};

// Widths of the forms' blocks; a row of another width is never asked for in that form.
constexpr int64_t block_of(ActivationFormat format) {
  return format == ActivationFormat::q8_32 ? 32 : 256;
}

}  // namespace

ActivationForms forms_for(std::initializer_list<quant::Matrix> weights,
                          quant::Arithmetic arithmetic) noexcept {
  ActivationForms forms = 0;
  for (const quant::Matrix& matrix : weights)
    if (matrix.data) forms |= form_bit(quant::activation_for(matrix.format, arithmetic));
  return forms;
}

void ActivationBuffer::lay_out(Arena& arena, size_t n_rows, int64_t max_width,
                               ActivationForms forms) noexcept {
  n_rows_ = n_rows;
  stride_ = aligned_stride(max_width);
  x_ = arena.take<float>(n_rows * stride_);
  rows_[static_cast<size_t>(ActivationFormat::f32)] = arena.take<const void*>(n_rows);
  for (const ActivationFormat format : kRounded) {
    if (!has_form(forms, format)) continue;
    const auto at = static_cast<size_t>(format);
    const int64_t width = (max_width + block_of(format) - 1) / block_of(format) * block_of(format);
    rounded_stride_[at] = quant::activation_row_bytes(format, width);
    rounded_[at] = arena.take<uint8_t>(n_rows * rounded_stride_[at]);
    rows_[at] = arena.take<const void*>(n_rows);
  }
}

void ActivationBuffer::connect() noexcept {
  for (size_t i = 0; i < n_rows_; ++i) {
    rows_[static_cast<size_t>(ActivationFormat::f32)][i] = x_ + i * stride_;
    for (const ActivationFormat format : kRounded) {
      const auto at = static_cast<size_t>(format);
      if (rounded_[at]) rows_[at][i] = rounded_[at] + i * rounded_stride_[at];
    }
  }
}

void ActivationBuffer::round(const quant::VectorKernels& kernels, int64_t index, int32_t width,
                             ActivationForms forms) const noexcept {
  const auto place = [&](ActivationFormat format) {
    const auto at = static_cast<size_t>(format);
    return rounded_[at] + static_cast<size_t>(index) * rounded_stride_[at];
  };
  if (has_form(forms, ActivationFormat::q8_32))
    kernels.quantize_q8_32(row(index), width, place(ActivationFormat::q8_32));
  if (has_form(forms, ActivationFormat::q8_256))
    kernels.quantize_q8_256(row(index), width, place(ActivationFormat::q8_256));
}

void ActivationBuffer::move_row(int64_t from, int64_t to) const noexcept {
  std::copy_n(row(from), stride_, row(to));
  for (const ActivationFormat format : kRounded) {
    const auto at = static_cast<size_t>(format);
    const size_t n_bytes = rounded_stride_[at];
    if (rounded_[at])
      std::copy_n(rounded_[at] + static_cast<size_t>(from) * n_bytes, n_bytes,
                  rounded_[at] + static_cast<size_t>(to) * n_bytes);
  }
}

}  // namespace larder::runtime

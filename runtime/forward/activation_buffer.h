// Rows of float activations and the rounded forms of them that matmuls read, with one pointer a row
// for each form. Rows keep their places whatever width is in use, so that the pointers are set
// once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "quant/grouped_matmul.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {

// A set of ActivationFormats, one bit each.
using ActivationForms = uint8_t;

constexpr ActivationForms form_bit(quant::ActivationFormat format) noexcept {
  return static_cast<ActivationForms>(1u << static_cast<unsigned>(format));
}
inline bool has_form(ActivationForms forms, quant::ActivationFormat format) noexcept {
  return (forms & form_bit(format)) != 0;
}

// The forms that matmuls with these weights read; matrices without data are skipped.
ActivationForms forms_for(std::initializer_list<quant::Matrix> weights,
                          quant::Arithmetic arithmetic) noexcept;

// The next multiple of 16 floats: rows that far apart stay 64-byte aligned.
constexpr size_t aligned_stride(int64_t width) noexcept {
  return (static_cast<size_t>(width) + 15) / 16 * 16;
}

class ActivationBuffer {
 public:
  // Room for n_rows rows of at most max_width values in the forms that may be needed.
  void lay_out(Arena& arena, size_t n_rows, int64_t max_width, ActivationForms forms) noexcept;
  // Sets the pointers. REQUIRES: laid out over memory.
  void connect() noexcept;

  float* row(int64_t index) const noexcept { return x_ + static_cast<size_t>(index) * stride_; }
  size_t stride() const noexcept { return stride_; }  // in floats
  // Brings the rounded forms of a row up to date with its first `width` floats.
  // REQUIRES: width fits the blocks of each form, as it does for weights of that form.
  void round(const quant::VectorKernels& kernels, int64_t index, int32_t width,
             ActivationForms forms) const noexcept;

  // The row and its rounded forms; what was at `to` is gone.
  void move_row(int64_t from, int64_t to) const noexcept;

  // One pointer a row.
  const void* const* pointers(quant::ActivationFormat format) const noexcept {
    return rows_[static_cast<size_t>(format)];
  }
  quant::ActivationRows rows(quant::ActivationFormat format, int32_t first,
                             int32_t n) const noexcept {
    return {pointers(format) + first, n};
  }

 private:
  float* x_ = nullptr;  // also the form f32
  uint8_t* rounded_[quant::kActivationFormats] = {};
  const void** rows_[quant::kActivationFormats] = {};
  size_t rounded_stride_[quant::kActivationFormats] = {};  // in bytes
  size_t stride_ = 0, n_rows_ = 0;
};

}  // namespace larder::runtime

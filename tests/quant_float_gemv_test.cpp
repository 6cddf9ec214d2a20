// Float weights from native rows, on every instruction set of this machine.
#include <doctest/doctest.h>

#include <vector>

#include "quant/reference.h"
#include "tests/kernel_rows.h"

namespace larder::quant {
namespace {

TEST_CASE("float gemv: the bits are those of widened weights, whatever the shape") {
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    const size_t element = row_bytes(format, 1);
    for (const int32_t n_cols : {1, 31, 64, 258, 2080}) {
      for (const int32_t n_rows : {1, 3, 4, 18}) {
        for (const int32_t n_tokens : {0, 1, 2, 3, 4, 8}) {
          const Row values = random_row(int64_t{n_rows} * n_cols, 3);
          std::vector<uint8_t> w(values.size() * element);  // nothing behind the last element
          for (int32_t r = 0; r < n_rows; ++r)
            reference::quantize(format, values.data() + int64_t{r} * n_cols, n_cols,
                                w.data() + static_cast<size_t>(r * n_cols) * element);
          const Row x = random_row(int64_t{n_tokens} * n_cols, 4);
          std::vector<const void*> rows;
          for (int32_t t = 0; t < n_tokens; ++t) rows.push_back(x.data() + int64_t{t} * n_cols);
          for (const KernelSet* set : supported_sets()) {
            const size_t stride = static_cast<size_t>(n_rows) + 5;
            Row out(static_cast<size_t>(n_tokens) * stride + 1, 7.0f), expected = out;
            set->vector.gemv_float(
                format, {w.data(), static_cast<size_t>(n_cols) * element, n_rows, n_cols},
                {rows.data(), n_tokens}, {out.data(), stride});
            Row widened(static_cast<size_t>(n_cols));
            for (int32_t r = 0; r < n_rows; ++r) {
              set->vector.dequantize(format, w.data() + static_cast<size_t>(r * n_cols) * element,
                                     n_cols, widened.data());
              for (size_t t = 0; t < rows.size(); ++t)
                expected[t * stride + static_cast<size_t>(r)] =
                    set->vector.dot_f32(widened.data(), static_cast<const float*>(rows[t]), n_cols);
            }
            CHECK(out == expected);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace larder::quant

#include "runtime/budget/weight_rounding.h"

#include <algorithm>
#include <string>

#include "runtime/convert/column_importance.h"

namespace larder::runtime {
namespace {

using formats::GgufTensor;
using quant::Format;

constexpr int64_t kPieceRows = 1024;

// How much of a tensor's errors count for one of its matrices: rows that met it.
double use_of(const Importance* importance, const GgufTensor& tensor, uint64_t matrix) {
  if (!importance) return 1;
  const auto found = importance->tensors.find(tensor.name);
  if (found == importance->tensors.end() || !found->second.is_known()) return 1;
  const std::vector<double>& counts = found->second.counts;
  return counts.size() == 1 ? 1 : counts[matrix];
}

}  // namespace

WeightRounding::Sums WeightRounding::add_rows(Format source, const uint8_t* rows, Format format,
                                              int64_t n, int64_t n_cols, const float* importance) {
  const size_t source_bytes = quant::row_bytes(source, n_cols);
  const size_t bytes = quant::row_bytes(format, n_cols);
  parallel_.run([&](quant::Team& team) {
    float* const was = floats_.data() + static_cast<int64_t>(team.thread()) * 2 * n_cols;
    float* const is = was + n_cols;
    team.for_each(n, [&](int64_t r) {
      kernels_.vector.dequantize(source, rows + static_cast<size_t>(r) * source_bytes, n_cols, was);
      kernels_.vector.dequantize(format, quantized_.data() + static_cast<size_t>(r) * bytes, n_cols,
                                 is);
      Sums sums;
      for (int64_t c = 0; c < n_cols; ++c) {
        const double a = importance ? static_cast<double>(importance[c]) : 1;
        const double x = static_cast<double>(was[c]), e = static_cast<double>(is[c]) - x;
        sums.error += a * e * e;
        sums.weight += a * x * x;
      }
      row_sums_[static_cast<size_t>(r)] = sums;
    });
  });
  Sums sums;
  for (int64_t r = 0; r < n; ++r) {
    sums.error += row_sums_[static_cast<size_t>(r)].error;
    sums.weight += row_sums_[static_cast<size_t>(r)].weight;
  }
  return sums;
}

Result<double> WeightRounding::error(const formats::GgufFile& file, const GgufTensor& tensor,
                                     Format format, std::vector<std::byte>* rounded) {
  auto importance = ColumnImportance::create(importance_, tensor);
  if (!importance) return importance.status();
  const auto source = static_cast<Format>(tensor.type->id);
  const auto n_cols = static_cast<int64_t>(tensor.dims[0]);
  const auto n_matrix_rows = static_cast<int64_t>(tensor.dims[1]);
  const auto* const data = reinterpret_cast<const uint8_t*>(file.data(tensor).data());
  const size_t source_bytes = quant::row_bytes(source, n_cols);
  quantized_.resize(static_cast<size_t>(kPieceRows) * quant::row_bytes(format, n_cols));
  floats_.resize(static_cast<size_t>(parallel_.n_threads() * 2 * n_cols));
  row_sums_.resize(static_cast<size_t>(kPieceRows));
  if (rounded) rounded->resize(tensor.size_bytes);
  Sums all;
  for (uint64_t matrix = 0; matrix < tensor.n_rows() / tensor.dims[1]; ++matrix) {
    const double use = use_of(importance_, tensor, matrix);
    for (int64_t row = 0; row < n_matrix_rows; row += kPieceRows) {
      const int64_t n = std::min(kPieceRows, n_matrix_rows - row);
      const size_t offset = (matrix * tensor.dims[1] + static_cast<uint64_t>(row)) * source_bytes;
      const float* columns = importance->of(matrix);
      if (requantizer_.run(
              {source, data + offset, n, n_cols, format, columns, quantized_.data()}) >= 0)
        return Status(Cause::numeric, "has a weight that is not finite",
                      "tensor " + std::string(tensor.name));
      const Sums sums = add_rows(source, data + offset, format, n, n_cols, columns);
      all.error += use * sums.error;
      all.weight += use * sums.weight;
      if (rounded)
        requantizer_.run({format, quantized_.data(), n, n_cols, source, nullptr,
                          reinterpret_cast<uint8_t*>(rounded->data()) + offset});
    }
  }
  return all.weight > 0 ? all.error / all.weight : 0.0;
}

}  // namespace larder::runtime

#include "runtime/convert/column_importance.h"

#include <string>

namespace larder::runtime {
namespace {

Status wrong_shape(const formats::GgufTensor& tensor, const TensorImportance& found) {
  return Status(Cause::shape,
                "the importance file has " + std::to_string(found.n_matrices()) + " x " +
                    std::to_string(found.n_columns) + " columns, the tensor " +
                    std::to_string(tensor.dims[2] * tensor.dims[3]) + " x " +
                    std::to_string(tensor.dims[0]) + "; it is of another model",
                "tensor " + std::string(tensor.name));
}

}  // namespace

Result<ColumnImportance> ColumnImportance::create(const Importance* importance,
                                                  const formats::GgufTensor& tensor) {
  ColumnImportance columns;
  if (importance == nullptr) return columns;
  const auto found = importance->tensors.find(tensor.name);
  if (found == importance->tensors.end() || !found->second.is_known()) return columns;
  const TensorImportance& figures = found->second;
  const size_t n_matrices = figures.n_matrices();
  const bool is_alike = n_matrices == 1 || n_matrices == tensor.dims[2] * tensor.dims[3];
  if (!is_alike || figures.n_columns != static_cast<int64_t>(tensor.dims[0])) {
    return wrong_shape(tensor, figures);
  }
  columns.n_cols_ = tensor.dims[0];
  columns.means_.resize(figures.sums.size());
  columns.is_met_.resize(n_matrices);
  for (size_t m = 0; m < n_matrices; ++m) {
    columns.is_met_[m] = figures.counts[m] > 0;
    for (size_t c = m * columns.n_cols_; columns.is_met_[m] && c < (m + 1) * columns.n_cols_; ++c) {
      columns.means_[c] = static_cast<float>(figures.sums[c] / figures.counts[m]);
    }
  }
  return columns;
}

const float* ColumnImportance::of(uint64_t matrix) const noexcept {
  if (means_.empty()) return nullptr;
  const size_t m = is_met_.size() == 1 ? 0 : matrix;
  return is_met_[m] ? means_.data() + m * n_cols_ : nullptr;
}

}  // namespace larder::runtime

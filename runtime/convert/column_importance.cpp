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
  const size_t n_cols = tensor.dims[0], n_matrices = figures.sums.size() / n_cols;
  const bool is_alike = n_matrices == 1 || n_matrices == tensor.dims[2] * tensor.dims[3];
  // Files of the old kind have one count for all matrices of a stack.
  const bool is_counted = figures.n_matrices() == n_matrices || figures.n_matrices() == 1;
  if (!is_alike || !is_counted || n_matrices * n_cols != figures.sums.size()) {
    return wrong_shape(tensor, figures);
  }
  columns.n_cols_ = n_cols;
  columns.means_.resize(figures.sums.size());
  columns.is_met_.resize(n_matrices);
  for (size_t m = 0; m < n_matrices; ++m) {
    const double count = figures.counts[figures.n_matrices() == 1 ? 0 : m];
    columns.is_met_[m] = count > 0;
    for (size_t c = m * n_cols; count > 0 && c < (m + 1) * n_cols; ++c) {
      columns.means_[c] = static_cast<float>(figures.sums[c] / count);
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

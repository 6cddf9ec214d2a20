#include "runtime/compare/tensor_comparison.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <span>

#include "quant/dispatch.h"
#include "quant/parallel.h"

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;

// Rows whose sums are kept apart, so that sums have one order.
constexpr uint64_t kPieceRows = 64;
// Pieces of one parallel region: enough for every thread to have several.
constexpr uint64_t kPiecesTogether = 64;

struct PieceSums {
  double error = 0, base = 0;
  int64_t base_not_finite = 0, other_not_finite = 0;

  void add(const PieceSums& more) noexcept {
    error += more.error;
    base += more.base;
    base_not_finite += more.base_not_finite;
    other_not_finite += more.other_not_finite;
  }
};

// A tensor's weights as floats, row by row; of a type that cannot be read there are none.
class FloatRows {
 public:
  FloatRows(const GgufFile& file, const GgufTensor& tensor)
      : format_(quant::find_format(tensor.type->id)),
        data_(reinterpret_cast<const uint8_t*>(file.data(tensor).data())),
        row_bytes_(tensor.row_bytes()),
        n_cols_(static_cast<int64_t>(tensor.dims[0])) {}

  bool is_readable() const noexcept { return format_ != nullptr; }
  void read(uint64_t row, float* out) const noexcept {
    quant::best_kernels().vector.dequantize(format_->format, data_ + row * row_bytes_, n_cols_,
                                            out);
  }

 private:
  const quant::FormatTraits* format_;
  const uint8_t* data_;
  uint64_t row_bytes_;
  int64_t n_cols_;
};

void add_row(const float* base, const float* other, uint64_t n, PieceSums& sums) noexcept {
  for (uint64_t i = 0; i < n; ++i) {
    const double x = base ? static_cast<double>(base[i]) : 0;
    const double y = other ? static_cast<double>(other[i]) : 0;
    const bool has_x = std::isfinite(x), has_y = std::isfinite(y);
    sums.base_not_finite += has_x ? 0 : 1;
    sums.other_not_finite += has_y ? 0 : 1;
    if (!has_x || !has_y) continue;
    sums.error += (y - x) * (y - x);
    sums.base += x * x;
  }
}

struct TensorPair {
  FloatRows base, other;
  uint64_t n_cols, n_rows;

  // Two rows of scratch.
  PieceSums piece(uint64_t index, float* scratch) const noexcept {
    PieceSums sums;
    float* const other_row = scratch + n_cols;
    const uint64_t end = std::min(n_rows, (index + 1) * kPieceRows);
    for (uint64_t row = index * kPieceRows; row < end; ++row) {
      if (base.is_readable()) base.read(row, scratch);
      if (other.is_readable()) other.read(row, other_row);
      add_row(base.is_readable() ? scratch : nullptr, other.is_readable() ? other_row : nullptr,
              n_cols, sums);
    }
    return sums;
  }
};

class Comparer {
 public:
  Comparer(const GgufFile& base, const GgufFile& other, int n_threads,
           const CompareProgress& progress)
      : base_(base), other_(other), progress_(progress), parallel_(n_threads) {
    for (const GgufTensor& tensor : base.tensors()) n_weights_ += weights_of(tensor);
  }

  Result<std::vector<TensorDifference>> run() {
    std::vector<TensorDifference> differences;
    for (const GgufTensor& tensor : base_.tensors()) {
      Result<TensorDifference> one = compare(tensor, *other_.find_tensor(tensor.name));
      if (!one) return one.status();
      differences.push_back(std::move(*one));
    }
    return differences;
  }

 private:
  static uint64_t weights_of(const GgufTensor& tensor) noexcept {
    return tensor.dims[0] * tensor.n_rows();
  }

  static TensorSide side_of(const GgufTensor& tensor, bool is_readable, int64_t n_not_finite) {
    const auto n = static_cast<double>(weights_of(tensor));
    return {tensor.type, 8.0 * static_cast<double>(tensor.size_bytes) / n,
            is_readable ? n_not_finite : -1};
  }

  Result<TensorDifference> compare(const GgufTensor& base, const GgufTensor& other) {
    const TensorPair pair = {{base_, base}, {other_, other}, base.dims[0], base.n_rows()};
    PieceSums sums;
    if (Status s = add_pieces(pair, sums); !s.ok()) return s;
    TensorDifference difference;
    difference.name = base.name;
    difference.n_weights = weights_of(base);
    const bool has_base = pair.base.is_readable(), has_other = pair.other.is_readable();
    difference.base = side_of(base, has_base, sums.base_not_finite);
    difference.other = side_of(other, has_other, sums.other_not_finite);
    if (has_base && has_other && (sums.base > 0 || sums.error == 0))
      difference.relative_error = sums.error == 0 ? 0 : std::sqrt(sums.error / sums.base);
    return difference;
  }

  Status add_pieces(const TensorPair& pair, PieceSums& sums) {
    const uint64_t n_pieces = (pair.n_rows + kPieceRows - 1) / kPieceRows;
    scratch_.resize(static_cast<size_t>(parallel_.n_threads()) * 2 * pair.n_cols);
    for (uint64_t first = 0; first < n_pieces; first += kPiecesTogether) {
      const uint64_t n = std::min(kPiecesTogether, n_pieces - first);
      PieceSums pieces[kPiecesTogether];
      parallel_.run([&](quant::Team& team) {
        float* const scratch =
            scratch_.data() + static_cast<size_t>(team.thread()) * 2 * pair.n_cols;
        team.for_each(static_cast<int64_t>(n), [&](int64_t i) {
          pieces[i] = pair.piece(first + static_cast<uint64_t>(i), scratch);
        });
      });
      for (uint64_t i = 0; i < n; ++i) sums.add(pieces[i]);
      n_done_ += std::min(n * kPieceRows, pair.n_rows - first * kPieceRows) * pair.n_cols;
      if (progress_ && !progress_(n_done_, n_weights_))
        return Status(Cause::cancelled, "interrupted");
    }
    return {};
  }

  const GgufFile& base_;
  const GgufFile& other_;
  const CompareProgress& progress_;
  quant::Parallel parallel_;
  std::vector<float> scratch_;  // [n_threads][2][n_cols]
  uint64_t n_done_ = 0, n_weights_ = 0;
};

std::string shape_text(const GgufTensor& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.n_dims; ++i)
    text += (i > 0 ? ", " : "") + std::to_string(tensor.dims[static_cast<size_t>(i)]);
  return text + "]";
}

Status check_tensors(const GgufFile& base, const GgufFile& other) {
  for (const GgufTensor& tensor : base.tensors()) {
    const std::string subject = "tensor " + std::string(tensor.name);
    const GgufTensor* twin = other.find_tensor(tensor.name);
    if (!twin) return Status(Cause::missing, "is only in the first model", subject);
    if (twin->dims != tensor.dims)
      return Status(Cause::shape, shape_text(tensor) + " in the first model, " + shape_text(*twin),
                    subject);
  }
  for (const GgufTensor& tensor : other.tensors())
    if (!base.find_tensor(tensor.name))
      return Status(Cause::missing, "is only in the second model",
                    "tensor " + std::string(tensor.name));
  return {};
}

// Byte for byte; absent in both is the same.
bool is_same_value(const GgufFile& a, const GgufFile& b, std::string_view key) {
  const formats::GgufValue *x = a.find(key), *y = b.find(key);
  if (!x || !y) return x == y;
  const auto x_bytes = x->raw(), y_bytes = y->raw();
  return x->type() == y->type() &&
         std::equal(x_bytes.begin(), x_bytes.end(), y_bytes.begin(), y_bytes.end());
}

}  // namespace

Status check_same_model(const GgufFile& base, const GgufFile& other) {
  const Result<std::string_view> architecture = base.string("general.architecture");
  if (!architecture) return architecture.status().with_file(base.path());
  const Result<std::string_view> other_architecture = other.string("general.architecture");
  if (!other_architecture) return other_architecture.status().with_file(other.path());
  if (*architecture != *other_architecture)
    return Status(Cause::architecture, std::string(*other_architecture) +
                                           " cannot be compared with " + std::string(*architecture))
        .with_file(other.path());
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"})
    if (!is_same_value(base, other, key))
      return Status(Cause::vocabulary, "is not the first model's; tokens would not be the same",
                    std::string("key ") + key)
          .with_file(other.path());
  return check_tensors(base, other).with_file(other.path());
}

Result<std::vector<TensorDifference>> compare_tensors(const GgufFile& base, const GgufFile& other,
                                                      int n_threads,
                                                      const CompareProgress& progress) try {
  return Comparer(base, other, n_threads, progress).run();
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime

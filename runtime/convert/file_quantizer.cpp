#include "runtime/convert/file_quantizer.h"

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>

#include "formats/gguf/gguf_split_writer.h"
#include "quant/parallel.h"
#include "quant/quantize.h"
#include "runtime/convert/column_importance.h"
#include "runtime/session/session_options.h"

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufSplitWriter;
using formats::GgufTensor;
using formats::GgufType;
using formats::GgufWriter;

// Of a tensor, read and written at once: enough for every thread to have several items.
constexpr uint64_t kPieceBytes = uint64_t{32} << 20;

std::string subject(const GgufTensor& tensor) { return "tensor " + std::string(tensor.name); }

class FileQuantizer {
 public:
  FileQuantizer(const GgufFile& in, const QuantizePlan& plan, const FileQuantizerOptions& options)
      : in_(in),
        plan_(plan),
        options_(options),
        parallel_(options.n_threads),
        requantizer_(*options.kernels, parallel_, most_columns(plan)),
        writer_(options.most_shard_bytes) {}

  Result<QuantizedFile> run(const std::string& out);

 private:
  static int64_t most_columns(const QuantizePlan& plan);
  void set_metadata();
  Status check_paths() const;
  Status write_tensor(const TensorPlan& tensor);
  Status write_rows(const TensorPlan& tensor, uint64_t first, uint64_t n, const float* importance);
  Status check_or_quantize(const TensorPlan& tensor, uint64_t first, uint64_t n,
                           const float* importance);
  Status read(const TensorPlan& tensor, uint64_t first, uint64_t n);

  const GgufFile& in_;
  const QuantizePlan& plan_;
  const FileQuantizerOptions& options_;
  quant::Parallel parallel_;
  quant::Requantizer requantizer_;
  GgufSplitWriter writer_;
  QuantizedFile done_;
  std::vector<std::byte> read_, written_;
  uint64_t n_read_ = 0;
};

int64_t FileQuantizer::most_columns(const QuantizePlan& plan) {
  uint64_t most = 1;
  for (const TensorPlan& tensor : plan.tensors) most = std::max(most, tensor.source->dims[0]);
  return static_cast<int64_t>(most);
}

void FileQuantizer::set_metadata() {
  GgufWriter& writer = writer_.metadata();
  for (const formats::GgufEntry& entry : in_.entries()) {
    if (!entry.key.starts_with("split.")) writer.copy(entry.key, entry.value);
  }
  writer.set_integer("general.file_type", GgufType::u32, options_.file_type);
  // Source: GGUF specification, the version of ggml's block layouts.
  writer.set_integer("general.quantization_version", GgufType::u32, 2);
  if (options_.predicted_divergence)
    writer.set_float(kPredictedDivergenceKey, GgufType::f64, *options_.predicted_divergence);
  if (options_.importance == nullptr) return;
  const Importance& importance = *options_.importance;
  writer.set_string("quantize.imatrix.file", options_.importance_path);
  if (!importance.datasets.empty()) {
    writer.set_string("quantize.imatrix.dataset", importance.datasets.front());
  }
  writer.set_integer("quantize.imatrix.entries_count", GgufType::u32,
                     static_cast<int64_t>(importance.tensors.size()));
  writer.set_integer("quantize.imatrix.chunks_count", GgufType::u32,
                     std::min<int64_t>(importance.n_chunks, UINT32_MAX));
}

Result<QuantizedFile> FileQuantizer::run(const std::string& out) {
  set_metadata();
  for (const TensorPlan& tensor : plan_.tensors) {
    writer_.add_tensor(
        tensor.source->name, *tensor.type,
        std::span(tensor.source->dims).first(static_cast<size_t>(tensor.source->n_dims)));
  }
  if (Status s = writer_.begin(out); !s.ok()) return s;
  if (Status s = check_paths(); !s.ok()) return s;
  for (const TensorPlan& tensor : plan_.tensors) {
    if (Status s = write_tensor(tensor); !s.ok()) return s;
  }
  if (Status s = writer_.finish(); !s.ok()) return s;
  done_.paths = writer_.paths();
  return std::move(done_);
}

// No shard takes the place of a file that is read, under whatever name.
Status FileQuantizer::check_paths() const {
  std::error_code is_absent;
  for (const std::string& path : writer_.paths()) {
    for (int i = 0; i < in_.n_shards(); ++i) {
      const formats::MappedFile* const shard = in_.shard(i);
      if (shard == nullptr || !std::filesystem::equivalent(path, shard->path(), is_absent))
        continue;
      return Status(Cause::invalid_argument, "cannot be written: it is read").with_file(path);
    }
  }
  return {};
}

// Matrix after matrix of a stack where each has an importance of its own.
Status FileQuantizer::write_tensor(const TensorPlan& tensor) {
  const GgufTensor& source = *tensor.source;
  ColumnImportance importance;
  if (!tensor.is_copied() && options_.importance != nullptr) {
    auto created = ColumnImportance::create(options_.importance, source);
    if (!created) return created.status();
    importance = std::move(*created);
    if (!importance.is_known()) done_.without_importance.emplace_back(source.name);
  }
  const uint64_t n_rows = source.n_rows();
  const uint64_t rows_alike = importance.is_known() ? source.dims[1] : n_rows;
  const uint64_t row_bytes = std::max<uint64_t>(source.row_bytes(), 1);
  const uint64_t most_rows = std::max<uint64_t>(1, kPieceBytes / row_bytes);
  for (uint64_t first = 0; first < n_rows;) {
    const uint64_t matrix = first / rows_alike;
    const uint64_t n = std::min({most_rows, (matrix + 1) * rows_alike - first});
    if (Status s = write_rows(tensor, first, n, importance.of(matrix)); !s.ok()) return s;
    first += n;
    n_read_ += n * source.row_bytes();
    if (options_.progress && !options_.progress(n_read_, plan_.source_bytes)) {
      return Status(Cause::cancelled, "interrupted");
    }
  }
  return {};
}

Status FileQuantizer::read(const TensorPlan& tensor, uint64_t first, uint64_t n) {
  const GgufTensor& source = *tensor.source;
  const uint64_t row_bytes = source.row_bytes(), n_bytes = n * row_bytes;
  const uint64_t offset = source.file_offset + first * row_bytes;
  read_.resize(n_bytes);
  const formats::MappedFile* const file = in_.shard(source.shard);
  if (file == nullptr) {
    const auto bytes = in_.data(source).subspan(first * row_bytes, n_bytes);
    std::copy(bytes.begin(), bytes.end(), read_.begin());
    return {};
  }
  if (Status s = file->read_at(offset, read_); !s.ok()) return s;
  file->will_read(offset + n_bytes, kPieceBytes);
  return {};
}

Status FileQuantizer::check_or_quantize(const TensorPlan& tensor, uint64_t first, uint64_t n,
                                        const float* importance) {
  const GgufTensor& source = *tensor.source;
  if (quant::find_format(source.type->id) == nullptr) return {};  // copied unread
  const auto n_cols = static_cast<int64_t>(source.dims[0]);
  const auto to = static_cast<quant::Format>(tensor.type->id);
  uint8_t* out = nullptr;
  if (!tensor.is_copied()) {
    written_.resize(quant::row_bytes(to, n_cols) * n);
    out = reinterpret_cast<uint8_t*>(written_.data());
  }
  const int64_t unfit =
      requantizer_.run({static_cast<quant::Format>(source.type->id),
                        reinterpret_cast<const uint8_t*>(read_.data()), static_cast<int64_t>(n),
                        n_cols, tensor.is_copied() ? quant::Format::f32 : to, importance, out});
  if (unfit < 0) return {};
  const uint64_t element = first * source.dims[0] + static_cast<uint64_t>(unfit);
  return Status(Cause::numeric,
                "element " + std::to_string(element) +
                    (to == quant::Format::f16 ? " is not finite, or too large for a float16"
                                              : " is not finite"),
                subject(source))
      .with_file(in_.path());
}

Status FileQuantizer::write_rows(const TensorPlan& tensor, uint64_t first, uint64_t n,
                                 const float* importance) {
  if (Status s = read(tensor, first, n); !s.ok()) return s;
  if (Status s = check_or_quantize(tensor, first, n, importance); !s.ok()) return s;
  return writer_.append(tensor.is_copied() ? read_ : written_);
}

}  // namespace

Result<QuantizedFile> quantize_file(const GgufFile& in, const QuantizePlan& plan,
                                    const std::string& out,
                                    const FileQuantizerOptions& options) try {
  if (Status s = check_threads(options.n_threads); !s.ok()) return s;
  return FileQuantizer(in, plan, options).run(out);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime

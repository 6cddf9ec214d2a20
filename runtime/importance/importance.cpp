#include "runtime/importance/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string_view>

#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/gguf_writer.h"
#include "formats/gguf/mapped_file.h"
#include "formats/imatrix/old_imatrix.h"
#include "quant/format.h"

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;
using formats::GgufType;

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
constexpr int32_t kF32 = static_cast<int32_t>(quant::Format::f32);

std::string subject_of(std::string_view name) { return "tensor " + std::string(name); }

Status check_figures(const GgufTensor& tensor, const std::vector<double>& figures) {
  for (const double figure : figures)
    if (!std::isfinite(figure) || figure < 0)
      return Status(Cause::numeric, "has a figure that is negative or not finite",
                    subject_of(tensor.name));
  return {};
}

Result<std::vector<double>> read_figures(const GgufFile& file, const GgufTensor& tensor) {
  if (tensor.type->id != kF32)
    return Status(Cause::tensor_type, "is not of float32", subject_of(tensor.name));
  const std::span<const std::byte> bytes = file.data(tensor);
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  std::vector<double> figures(floats.begin(), floats.end());
  if (Status s = check_figures(tensor, figures); !s.ok()) return s;
  return figures;
}

Result<TensorImportance> read_tensor(const GgufFile& file, const GgufTensor& sums,
                                     const std::string& name) {
  const GgufTensor* counts = file.find_tensor(name + std::string(kCounts));
  if (!counts) return Status(Cause::missing, "has no counts", subject_of(sums.name));
  if (counts->n_rows() * counts->dims[0] != sums.n_rows())
    return Status(Cause::shape,
                  "counts are " + std::to_string(counts->n_rows() * counts->dims[0]) +
                      ", for sums of " + std::to_string(sums.n_rows()) + " matrices",
                  subject_of(counts->name));
  Result<std::vector<double>> sum_figures = read_figures(file, sums);
  if (!sum_figures) return sum_figures.status();
  Result<std::vector<double>> count_figures = read_figures(file, *counts);
  if (!count_figures) return count_figures.status();
  return TensorImportance{static_cast<int64_t>(sums.dims[0]), std::move(*sum_figures),
                          std::move(*count_figures)};
}

Status check_kind(const GgufFile& file) {
  const Result<std::string_view> kind = file.string("general.type");
  if (kind && *kind == "imatrix") return {};
  return Status(Cause::magic, "is no importance file; general.type is not imatrix");
}

Result<Importance> read_header(const GgufFile& file) {
  Importance importance;
  const Result<int64_t> n_chunks = file.integer("imatrix.chunk_count");
  if (!n_chunks) return n_chunks.status();
  const Result<int64_t> chunk_tokens = file.integer("imatrix.chunk_size");
  if (!chunk_tokens) return chunk_tokens.status();
  importance.n_chunks = *n_chunks;
  importance.chunk_tokens = *chunk_tokens;
  const Result<formats::GgufArray> datasets = file.array("imatrix.datasets");
  if (!datasets) return datasets.status();
  const auto names = datasets->to_strings();
  if (!names) return names.status();
  importance.datasets.assign(names->begin(), names->end());
  return importance;
}

Result<Importance> read_file(const GgufFile& file) {
  if (Status s = check_kind(file); !s.ok()) return s;
  Result<Importance> importance = read_header(file);
  if (!importance) return importance;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(kSums)) continue;
    const std::string name(tensor.name.substr(0, tensor.name.size() - kSums.size()));
    Result<TensorImportance> read = read_tensor(file, tensor, name);
    if (!read) return read.status();
    importance->tensors.emplace(name, std::move(*read));
  }
  return importance;
}

// Files of the old kind do not say how many matrices a stack has: all are one here.
Result<Importance> read_old_file(const formats::MappedFile& file) {
  auto old = formats::parse_old_imatrix(file.bytes());
  if (!old) return old.status();
  Importance importance;
  importance.n_chunks = old->n_chunks;
  if (!old->dataset.empty()) importance.datasets = {old->dataset};
  for (const formats::OldImatrix::Entry& entry : old->entries) {
    importance.tensors[entry.tensor] = {static_cast<int64_t>(entry.values.size()),
                                        {entry.values.begin(), entry.values.end()},
                                        {static_cast<double>(entry.n_calls)}};
  }
  return importance;
}

bool is_gguf(const formats::MappedFile& file) {
  const auto bytes = file.bytes();
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
}

bool has_rows(double count) noexcept { return count > 0; }

Status append_figures(formats::GgufWriter& writer, const std::vector<double>& figures) {
  const std::vector<float> floats(figures.begin(), figures.end());
  return writer.append(std::as_bytes(std::span(floats)));
}

}  // namespace

bool TensorImportance::is_known() const noexcept {
  return std::any_of(counts.begin(), counts.end(), has_rows);
}

Result<Importance> read_importance(const std::string& path) {
  if (path.ends_with(".dat") || path.ends_with(".imatrix")) {
    const auto old = formats::MappedFile::open(path);
    if (!old) return old.status();
    if (!is_gguf(*old)) {
      const Result<Importance> importance = read_old_file(*old);
      return importance ? importance : importance.status().with_file(path);
    }
  }
  const auto file = GgufFile::open(path);
  if (!file) return file.status();
  Result<Importance> importance = read_file(**file);
  if (!importance) return importance.status().with_file(path);
  return importance;
}

Status write_importance(const Importance& importance, const std::string& path) {
  formats::GgufWriter writer;
  writer.set_string("general.type", "imatrix");
  const std::vector<std::string_view> datasets(importance.datasets.begin(),
                                               importance.datasets.end());
  writer.set_strings("imatrix.datasets", datasets);
  writer.set_integer("imatrix.chunk_count", GgufType::u32, importance.n_chunks);
  writer.set_integer("imatrix.chunk_size", GgufType::u32, importance.chunk_tokens);
  const formats::TensorType& f32 = *formats::find_tensor_type(kF32);
  for (const auto& [name, tensor] : importance.tensors) {
    if (!tensor.is_known()) continue;
    const uint64_t n = tensor.n_matrices();
    const uint64_t sums[] = {static_cast<uint64_t>(tensor.n_columns), n}, counts[] = {1, n};
    writer.add_tensor(name + std::string(kSums), f32, sums);
    writer.add_tensor(name + std::string(kCounts), f32, counts);
  }
  if (Status s = writer.begin(path); !s.ok()) return s;
  for (const auto& [name, tensor] : importance.tensors) {
    if (!tensor.is_known()) continue;
    if (Status s = append_figures(writer, tensor.sums); !s.ok()) return s;
    if (Status s = append_figures(writer, tensor.counts); !s.ok()) return s;
  }
  return writer.finish();
}

Status merge(Importance& into, const Importance& from) {
  for (const auto& [name, tensor] : from.tensors) {
    const auto own = into.tensors.find(name);
    if (own != into.tensors.end() && (own->second.n_columns != tensor.n_columns ||
                                      own->second.n_matrices() != tensor.n_matrices()))
      return Status(Cause::shape, "is of another shape than in the other importance file",
                    subject_of(name));
  }
  for (const auto& [name, tensor] : from.tensors) {
    const auto [own, is_new] = into.tensors.emplace(name, tensor);
    if (is_new) continue;
    const auto add = [](std::vector<double>& to, const std::vector<double>& more) {
      std::transform(to.begin(), to.end(), more.begin(), to.begin(), std::plus<>());
    };
    add(own->second.sums, tensor.sums);
    add(own->second.counts, tensor.counts);
  }
  into.datasets.insert(into.datasets.end(), from.datasets.begin(), from.datasets.end());
  into.n_chunks += from.n_chunks;
  if (into.chunk_tokens == 0) into.chunk_tokens = from.chunk_tokens;
  return {};
}

}  // namespace larder::runtime

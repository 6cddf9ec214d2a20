#include "formats/gguf/gguf_split_writer.h"

#include <unistd.h>

#include <algorithm>

#include "formats/gguf/gguf_split.h"
#include "formats/gguf/output_file.h"

namespace larder::formats {
namespace {

constexpr std::string_view kExtension = ".gguf";
constexpr size_t kMaxShards = 65535;  // split.count has 16 bits, names have five digits

std::vector<std::string> shard_paths(const std::string& path, size_t n_shards) {
  if (n_shards == 1) return {path};
  ShardName name{path, 1, static_cast<int64_t>(n_shards)};
  if (path.ends_with(kExtension)) name.prefix.resize(path.size() - kExtension.size());
  std::vector<std::string> paths;
  for (int64_t i = 1; i <= name.count; ++i) paths.push_back(name.sibling(i));
  return paths;
}

}  // namespace

void GgufSplitWriter::add_tensor(std::string_view name, const TensorType& type,
                                 std::span<const uint64_t> dims) {
  uint64_t n_elements = 1;  // an overflow is found by GgufWriter
  for (const uint64_t dim : dims) n_elements *= dim;
  tensors_.push_back({std::string(name),
                      &type,
                      {dims.begin(), dims.end()},
                      n_elements / type.block_elements * type.block_bytes,
                      0});
}

// In order, each shard as full as may be.
size_t GgufSplitWriter::assign_shards() {
  size_t shard = 0;
  uint64_t used = 0;
  for (Tensor& tensor : tensors_) {
    if (most_bytes_ > 0 && used > 0 &&
        tensor.size_bytes > most_bytes_ - std::min(used, most_bytes_)) {
      ++shard;
      used = 0;
    }
    tensor.shard = shard;
    used += tensor.size_bytes;
  }
  return shard + 1;
}

void GgufSplitWriter::set_split_keys(GgufWriter& writer, size_t number) {
  writer.set_integer("split.no", GgufType::u16, static_cast<int64_t>(number));
  writer.set_integer("split.count", GgufType::u16, static_cast<int64_t>(paths_.size()));
  writer.set_integer("split.tensors.count", GgufType::i32, static_cast<int64_t>(tensors_.size()));
}

Status GgufSplitWriter::begin(const std::string& path) {
  const size_t n_shards = assign_shards();
  if (n_shards > kMaxShards) {
    return Status(Cause::limit,
                  "more than " + std::to_string(kMaxShards) + " shards; allow larger ones")
        .with_file(path);
  }
  paths_ = shard_paths(path, n_shards);
  others_.resize(n_shards - 1);
  for (const Tensor& tensor : tensors_) {
    writer(tensor.shard).add_tensor(tensor.name, *tensor.type, tensor.dims);
  }
  for (size_t i = 0; i < n_shards; ++i) {
    if (n_shards > 1) set_split_keys(writer(i), i);
    OutputFile::remove_abandoned(paths_[i]);
    if (Status s = writer(i).begin(paths_[i]); !s.ok()) return s;
  }
  return {};
}

Status GgufSplitWriter::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    if (current_ == tensors_.size()) return first_.append(data);  // says that it is too much
    const Tensor& tensor = tensors_[current_];
    const auto piece = data.first(std::min<uint64_t>(tensor.size_bytes - n_written_, data.size()));
    if (Status s = writer(tensor.shard).append(piece); !s.ok()) return s;
    data = data.subspan(piece.size());
    n_written_ += piece.size();
    if (n_written_ < tensor.size_bytes) continue;
    ++current_;
    n_written_ = 0;
  }
  return {};
}

Status GgufSplitWriter::finish() {
  for (size_t i = paths_.size(); i-- > 0;) {
    Status status = writer(i).finish();
    if (status.ok()) continue;
    // Shards without a first one are of no use.
    for (size_t named = i + 1; named < paths_.size(); ++named) ::unlink(paths_[named].c_str());
    return status;
  }
  return {};
}

}  // namespace larder::formats

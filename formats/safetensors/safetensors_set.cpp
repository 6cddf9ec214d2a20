#include "formats/safetensors/safetensors_set.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <new>
#include <set>
#include <utility>

#include "formats/gguf/printable_name.h"
#include "formats/json/json.h"

namespace larder::formats {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = kMaxSafetensorsHeaderBytes;

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Status no_checkpoint(const std::string& folder) {
  if (!is_there(folder)) return Status(Cause::io, "there is no such folder").with_file(folder);
  return Status(Cause::io, std::string("expected a folder with ") + kSingleFile + " or " +
                               kIndexFile + " in it")
      .with_file(folder);
}

using ShardOfTensor = std::map<std::string, std::string>;

// A file's name in the folder, and nothing that leads out of it.
bool is_plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Result<ShardOfTensor> read_index(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.status();
  const uint64_t size = file->identity().size_bytes;
  if (size > kMaxIndexBytes) return Status(Cause::limit, "too large for an index").with_file(path);
  std::string text(size, '\0');
  if (Status s = file->read_at(0, std::as_writable_bytes(std::span(text))); !s.ok()) return s;
  const Result<DataValue> root = parse_json(text);
  if (!root) return root.status().with_file(path);
  const DataValue* const map = root->find("weight_map");
  if (map == nullptr || map->kind != DataValue::Kind::dict)
    return Status(Cause::value_type, "expected an object", "key weight_map").with_file(path);
  ShardOfTensor shards;
  for (const auto& [tensor, shard] : map->dict) {
    if (shard.kind != DataValue::Kind::string || !is_plain(shard.string))
      return Status(Cause::split, "its shard is no file's name", tensor_subject(tensor))
          .with_file(path);
    shards.emplace(tensor, shard.string);
  }
  return shards;
}

}  // namespace

Result<SafetensorsSet> SafetensorsSet::open(const std::string& folder) try {
  SafetensorsSet set;
  const std::string index_path = folder + "/" + kIndexFile;
  if (!is_there(index_path)) {
    const std::string single_path = folder + "/" + kSingleFile;
    if (!is_there(single_path)) return no_checkpoint(folder);
    if (Status s = set.add_shard(single_path); !s.ok()) return s;
    if (Status s = set.index_names(); !s.ok()) return s;
    return set;
  }
  const Result<ShardOfTensor> wanted = read_index(index_path);
  if (!wanted) return wanted.status();
  std::set<std::string> names;
  for (const auto& [tensor, shard] : *wanted) names.insert(shard);
  for (const std::string& name : names)
    if (Status s = set.add_shard(folder + "/" + name); !s.ok()) return s;
  if (Status s = set.index_names(); !s.ok()) return s;
  for (const auto& [name, shard] : *wanted) {
    const SafetensorsTensor* const tensor = set.find(name);
    if (tensor == nullptr || set.path_of(*tensor) != folder + "/" + shard)
      return Status(Cause::split, "the index says that it is in " + printable_name(shard),
                    tensor_subject(name))
          .with_file(index_path);
  }
  for (const SafetensorsTensor& tensor : set.tensors_)
    if (!wanted->contains(tensor.name))
      return Status(Cause::split, "the index does not list it", tensor_subject(tensor.name))
          .with_file(set.path_of(tensor));
  return set;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status SafetensorsSet::add_shard(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.status();
  const uint64_t file_bytes = file->identity().size_bytes;
  std::array<std::byte, kSafetensorsLengthBytes> length = {};
  if (Status s = file->read_at(0, length); !s.ok()) return s;
  const Result<uint64_t> n_bytes = safetensors_header_bytes(length, file_bytes);
  if (!n_bytes) return n_bytes.status().with_file(path);
  std::string header(*n_bytes, '\0');
  const auto bytes = std::as_writable_bytes(std::span(header));
  if (Status s = file->read_at(kSafetensorsLengthBytes, bytes); !s.ok()) return s;
  Result<std::vector<SafetensorsTensor>> tensors = parse_safetensors_header(header, file_bytes);
  if (!tensors) return tensors.status().with_file(path);
  for (SafetensorsTensor& tensor : *tensors) {
    tensor.shard = static_cast<int>(shards_.size());
    tensors_.push_back(std::move(tensor));
  }
  shards_.push_back(std::move(*file));
  return {};
}

Status SafetensorsSet::index_names() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (positions_.emplace(tensors_[i].name, i).second) continue;
    return Status(Cause::duplicate_tensor, "is in another shard, too",
                  tensor_subject(tensors_[i].name))
        .with_file(path_of(tensors_[i]));
  }
  return {};
}

const SafetensorsTensor* SafetensorsSet::find(std::string_view name) const noexcept {
  const auto found = positions_.find(name);
  return found == positions_.end() ? nullptr : &tensors_[found->second];
}

uint64_t SafetensorsSet::size_bytes() const noexcept {
  uint64_t total = 0;
  for (const SafetensorsTensor& tensor : tensors_) total += tensor.size_bytes;
  return total;
}

const std::string& SafetensorsSet::path_of(const SafetensorsTensor& tensor) const noexcept {
  return shards_[static_cast<size_t>(tensor.shard)].path();
}

Status SafetensorsSet::read(const SafetensorsTensor& tensor, uint64_t offset,
                            std::span<std::byte> out) const {
  assert(offset <= tensor.size_bytes && out.size() <= tensor.size_bytes - offset);
  const MappedFile& file = shards_[static_cast<size_t>(tensor.shard)];
  Status status = file.read_at(tensor.file_offset + offset, out);
  if (status.ok()) return status;
  const ErrorDetail& detail = status.detail();
  return Status(detail.cause, detail.message, tensor_subject(tensor.name), detail.offset)
      .with_file(file.path());
}

void SafetensorsSet::will_read(const SafetensorsTensor& tensor, uint64_t offset,
                               uint64_t n_bytes) const noexcept {
  if (offset >= tensor.size_bytes) return;
  shards_[static_cast<size_t>(tensor.shard)].will_read(
      tensor.file_offset + offset, std::min(n_bytes, tensor.size_bytes - offset));
}

}  // namespace larder::formats

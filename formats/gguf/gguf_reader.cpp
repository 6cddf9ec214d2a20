#include "formats/gguf/gguf_reader.h"

#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "formats/gguf/gguf_header.h"
#include "formats/gguf/gguf_split.h"
#include "formats/gguf/header_bytes.h"
#include "formats/gguf/name_index.h"
#include "formats/gguf/printable_name.h"

namespace larder::formats {
namespace {

struct Shard {
  std::string path;
  std::optional<MappedFile> file;    // absent for memory
  std::span<const std::byte> bytes;  // the whole file
  HeaderBytes header_bytes;
  GgufHeader header;
};

Result<std::unique_ptr<Shard>> open_shard(const std::string& path) {
  auto file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  auto bytes = HeaderBytes::reserve(*file);
  if (!bytes.ok()) return bytes.status().with_file(path);
  auto header = read_header(*bytes);
  if (!header.ok()) return header.status().with_file(path);
  const auto mapping = file->bytes();
  return std::make_unique<Shard>(
      Shard{path, std::move(*file), mapping, std::move(*bytes), std::move(*header)});
}

}  // namespace

uint64_t GgufTensor::row_bytes() const noexcept {
  return dims[0] / type->block_elements * type->block_bytes;
}

struct GgufFile::Impl {
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<GgufTensor> tensors;
  NameIndex tensor_index;
  std::vector<std::string> warnings;
  uint64_t size_bytes = 0;

  const GgufMetadata& metadata() const noexcept { return shards.front()->header.metadata; }

  Status add_shard(std::unique_ptr<Shard> shard);
  Status add_siblings(const SplitPlan& plan);
};

// Moves the shard's tensors into the one table.
Status GgufFile::Impl::add_shard(std::unique_ptr<Shard> shard) {
  Shard& added = *shards.emplace_back(std::move(shard));
  size_bytes += added.bytes.size();
  tensors.reserve(tensors.size() + added.header.tensors.size());
  for (GgufTensor& tensor : added.header.tensors) {
    const auto index = static_cast<uint32_t>(tensors.size());
    if (!tensor_index.insert(tensor.name, index)) {
      const auto* name = reinterpret_cast<const std::byte*>(tensor.name.data());
      const auto* header = added.header_bytes.available().data();
      return Status(Cause::duplicate_tensor, "the name occurs twice", tensor_subject(tensor.name),
                    static_cast<uint64_t>(name - header) - sizeof(uint64_t))
          .with_file(added.path);
    }
    tensor.shard = static_cast<int>(shards.size()) - 1;
    tensors.push_back(tensor);
  }
  std::vector<GgufTensor>().swap(added.header.tensors);
  for (std::string& warning : added.header.warnings) {
    warnings.push_back(added.path + ": " + std::move(warning));
  }
  return {};
}

Status GgufFile::Impl::add_siblings(const SplitPlan& plan) {
  for (int64_t index = 1; index < plan.n_shards; ++index) {
    const std::string path = plan.name.sibling(index + 1);
    auto shard = open_shard(path);
    if (!shard.ok()) return shard.status();
    Status fits = check_shard(metadata(), (*shard)->header.metadata, index, plan.n_shards);
    if (!fits.ok()) return fits.with_file(path);
    if (Status status = add_shard(std::move(*shard)); !status.ok()) return status;
  }
  if (!plan.n_tensors || *plan.n_tensors == static_cast<int64_t>(tensors.size())) return {};
  return Status(Cause::split,
                "expected " + std::to_string(*plan.n_tensors) + " tensors, the shards have " +
                    std::to_string(tensors.size()),
                "key split.tensors.count")
      .with_file(shards.front()->path);
}

Result<std::shared_ptr<const GgufFile>> GgufFile::open(const std::string& path) try {
  auto first = open_shard(path);
  if (!first.ok()) return first.status();
  const auto plan = plan_split((*first)->header.metadata, path);
  if (!plan.ok()) return plan.status().with_file(path);
  auto impl = std::make_unique<Impl>();
  if (Status status = impl->add_shard(std::move(*first)); !status.ok()) return status;
  if (Status status = impl->add_siblings(*plan); !status.ok()) return status;
  return std::shared_ptr<const GgufFile>(new GgufFile(std::move(impl)));
} catch (const std::bad_alloc&) {
  return Status(Cause::out_of_memory, "no memory for the header's tables").with_file(path);
}

Result<std::shared_ptr<const GgufFile>> GgufFile::parse(std::span<const std::byte> bytes,
                                                        std::string name) try {
  HeaderBytes header_bytes(bytes);
  auto header = read_header(header_bytes);
  if (!header.ok()) return header.status().with_file(name);
  const auto plan = plan_split(header->metadata, name);
  if (!plan.ok()) return plan.status().with_file(name);
  if (plan->n_shards > 1) {
    return Status(Cause::split, "a shard in memory has no siblings", "key split.count")
        .with_file(name);
  }
  auto impl = std::make_unique<Impl>();
  Status status = impl->add_shard(std::make_unique<Shard>(
      Shard{std::move(name), std::nullopt, bytes, std::move(header_bytes), std::move(*header)}));
  if (!status.ok()) return status;
  if (status = impl->add_siblings(*plan); !status.ok()) return status;
  return std::shared_ptr<const GgufFile>(new GgufFile(std::move(impl)));
} catch (const std::bad_alloc&) {
  return Status(Cause::out_of_memory, "no memory for the header's tables");
}

GgufFile::GgufFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufFile::~GgufFile() = default;

const std::string& GgufFile::path() const noexcept { return impl_->shards.front()->path; }
uint32_t GgufFile::version() const noexcept { return impl_->shards.front()->header.version; }
uint64_t GgufFile::alignment_bytes() const noexcept {
  return impl_->shards.front()->header.alignment_bytes;
}
uint64_t GgufFile::size_bytes() const noexcept { return impl_->size_bytes; }
int GgufFile::n_shards() const noexcept { return static_cast<int>(impl_->shards.size()); }

const MappedFile* GgufFile::shard(int index) const noexcept {
  const auto& file = impl_->shards[static_cast<size_t>(index)]->file;
  return file ? &*file : nullptr;
}

std::span<const GgufEntry> GgufFile::entries() const noexcept {
  return impl_->metadata().entries();
}
std::span<const GgufTensor> GgufFile::tensors() const noexcept { return impl_->tensors; }
std::span<const std::string> GgufFile::warnings() const noexcept { return impl_->warnings; }

const GgufValue* GgufFile::find(std::string_view key) const noexcept {
  return impl_->metadata().find(key);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const noexcept {
  const uint32_t position = impl_->tensor_index.find(name);
  return position == NameIndex::kAbsent ? nullptr : &impl_->tensors[position];
}

std::span<const std::byte> GgufFile::data(const GgufTensor& tensor) const noexcept {
  return impl_->shards[static_cast<size_t>(tensor.shard)]->bytes.subspan(tensor.file_offset,
                                                                         tensor.size_bytes);
}

namespace {

// Finds a required key and converts its value; an error names the key and the file.
template <class T>
Result<T> required(const GgufFile& file, std::string_view key,
                   Result<T> (GgufValue::*convert)() const) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) {
    return Status(Cause::missing, "the key is required and absent", key_subject(key))
        .with_file(file.path());
  }
  Result<T> converted = (value->*convert)();
  if (converted.ok()) return converted;
  const Status status = converted.status();
  return Status(status.cause(), status.detail().message, key_subject(key), value->offset())
      .with_file(file.path());
}

}  // namespace

Result<int64_t> GgufFile::integer(std::string_view key) const {
  return required(*this, key, &GgufValue::to_integer);
}
Result<double> GgufFile::real(std::string_view key) const {
  return required(*this, key, &GgufValue::to_float);
}
Result<bool> GgufFile::boolean(std::string_view key) const {
  return required(*this, key, &GgufValue::to_bool);
}
Result<std::string_view> GgufFile::string(std::string_view key) const {
  return required(*this, key, &GgufValue::to_string);
}
Result<GgufArray> GgufFile::array(std::string_view key) const {
  return required(*this, key, &GgufValue::to_array);
}

}  // namespace larder::formats

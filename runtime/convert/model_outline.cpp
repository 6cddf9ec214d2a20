#include "runtime/convert/model_outline.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

namespace larder::runtime {
namespace {

// Room of that many bytes that take memory once they are touched; null where there is none.
void* reserve(size_t n_bytes) noexcept {
  void* const memory = ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

uint64_t padded_bytes(const CheckpointTensor& tensor) {
  uint64_t n = tensor.dims[0] / tensor.type->block_elements * tensor.type->block_bytes;
  for (size_t i = 1; i < tensor.dims.size(); ++i) n *= tensor.dims[i];
  return (n + 31) / 32 * 32;  // source: GGUF's alignment
}

}  // namespace

ModelOutline::~ModelOutline() {
  model_.reset();
  if (memory_ != nullptr) ::munmap(memory_, n_bytes_);
}

Result<std::unique_ptr<ModelOutline>> ModelOutline::create(
    const formats::GgufWriter& metadata, std::span<const CheckpointTensor> tensors) {
  constexpr const char* kName = "the file to be";
  const std::vector<std::byte> keys = metadata.header();
  const auto keys_alone = formats::GgufFile::parse(keys, kName);
  if (!keys_alone) return keys_alone.status();
  formats::GgufWriter writer;
  for (const formats::GgufEntry& entry : (*keys_alone)->entries())
    writer.copy(entry.key, entry.value);
  uint64_t n_data_bytes = 0;
  for (const CheckpointTensor& tensor : tensors) {
    writer.add_tensor(tensor.name, *tensor.type, tensor.dims);
    n_data_bytes += padded_bytes(tensor);
  }
  const std::vector<std::byte> header = writer.header();

  std::unique_ptr<ModelOutline> outline(new ModelOutline);
  outline->n_bytes_ = header.size() + n_data_bytes;
  outline->memory_ = reserve(outline->n_bytes_);
  if (outline->memory_ == nullptr) return Status::out_of_memory();
  auto* at = static_cast<std::byte*>(outline->memory_);
  std::memcpy(at, header.data(), header.size());
  at += header.size();
  for (const CheckpointTensor& tensor : tensors) {  // opening a model reads rope's factors
    const auto values = std::as_bytes(std::span(tensor.values));
    if (!values.empty()) std::memcpy(at, values.data(), values.size());
    at += padded_bytes(tensor);
  }
  const std::span bytes(static_cast<const std::byte*>(outline->memory_), outline->n_bytes_);
  auto file = formats::GgufFile::parse(bytes, kName);
  if (!file) return file.status();
  auto model = Model::create(std::move(*file));
  if (!model) return model.status();
  outline->model_ = std::move(*model);
  if (!outline->warnings().empty()) return Status(Cause::name, outline->warnings().front());
  return outline;
}

}  // namespace larder::runtime

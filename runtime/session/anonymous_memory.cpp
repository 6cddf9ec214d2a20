#include "runtime/session/anonymous_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>

namespace larder::runtime {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

Status cannot_have(size_t bytes, const char* purpose) {
  return Status(Cause::out_of_memory,
                std::to_string(bytes) + " bytes for " + purpose + " cannot be had");
}

}  // namespace

Result<AnonymousMemory> AnonymousMemory::allocate(size_t bytes, const char* purpose) {
  AnonymousMemory memory;
  if (bytes == 0) return memory;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return cannot_have(bytes, purpose);
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

size_t AnonymousMemory::huge_bytes(size_t bytes) noexcept {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

Result<AnonymousMemory> AnonymousMemory::allocate_huge(size_t bytes, const char* purpose) {
  if (bytes == 0) return AnonymousMemory();
  if (bytes > SIZE_MAX - 2 * kHugePage) return cannot_have(bytes, purpose);
  const size_t size = huge_bytes(bytes);
  Result<AnonymousMemory> memory = allocate(size + kHugePage, purpose);
  if (!memory) return memory;
  const auto begin = reinterpret_cast<uintptr_t>(memory->data_);
  const size_t head = (kHugePage - begin % kHugePage) % kHugePage;
  if (head > 0) munmap(memory->data_, head);
  if (head < kHugePage) munmap(memory->data_ + head + size, kHugePage - head);
  memory->data_ += head;
  memory->size_ = size;
  madvise(memory->data_, size, MADV_HUGEPAGE);  // where refused, pages are small
  madvise(memory->data_, size, MADV_DONTDUMP);
  return memory;
}

Status AnonymousMemory::populate(const char* purpose, const std::function<bool()>& goes_on) {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE. Source: Linux 5.14
  constexpr size_t kPage = 4096;
  constexpr size_t kStep = size_t{32} << 20;  // a few hundredths of a second
  for (size_t begin = 0; begin < size_; begin += kStep) {
    if (goes_on && !goes_on()) return Status(Cause::cancelled, "taking memory was interrupted");
    const size_t end = std::min(size_, begin + kStep);
    if (madvise(data_ + begin, end - begin, kPopulateWrite) == 0) continue;
    if (errno != EINVAL) return cannot_have(size_, purpose);
    for (size_t at = begin; at < end; at += kPage) data_[at] = std::byte{0};
  }
  return {};
}

AnonymousMemory::~AnonymousMemory() {
  if (data_) munmap(data_, size_);
}

}  // namespace larder::runtime

#include "runtime/session/anonymous_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include "quant/parallel.h"

namespace larder::runtime {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

Status cannot_have(size_t bytes, const char* purpose) {
  return Status(Cause::out_of_memory,
                std::to_string(bytes) + " bytes for " + purpose + " cannot be had");
}

// Whether the system has the pages.
bool touch(std::byte* data, size_t bytes) noexcept {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE. Source: Linux 5.14
  constexpr size_t kPage = 4096;
  if (madvise(data, bytes, kPopulateWrite) == 0) return true;
  if (errno != EINVAL) return false;
  for (size_t at = 0; at < bytes; at += kPage) data[at] = std::byte{0};
  return true;
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
  constexpr size_t kStep = size_t{32} << 20;  // a few hundredths of a second
  const auto n_steps = static_cast<int64_t>((size_ + kStep - 1) / kStep);
  std::atomic<bool> is_cancelled{false}, is_refused{false};
  // The system clears a page for whoever touches it, one core about 5 GB/s.
  quant::Parallel parallel(
      static_cast<int>(std::clamp<int64_t>(n_steps, 1, quant::default_threads())));
  parallel.run([&](quant::Team& team) {
    team.for_each(n_steps, [&](int64_t step) {
      if (is_cancelled.load(std::memory_order_relaxed) ||
          is_refused.load(std::memory_order_relaxed))
        return;
      if (team.thread() == 0 && goes_on && !goes_on()) {
        is_cancelled.store(true, std::memory_order_relaxed);
        return;
      }
      const size_t begin = static_cast<size_t>(step) * kStep;
      if (!touch(data_ + begin, std::min(kStep, size_ - begin)))
        is_refused.store(true, std::memory_order_relaxed);
    });
  });
  if (is_cancelled.load(std::memory_order_relaxed))
    return Status(Cause::cancelled, "taking memory was interrupted");
  return is_refused.load(std::memory_order_relaxed) ? cannot_have(size_, purpose) : Status();
}

AnonymousMemory::~AnonymousMemory() {
  if (data_) munmap(data_, size_);
}

}  // namespace larder::runtime

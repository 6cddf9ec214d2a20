// Zeroed memory straight from the operating system: pages cost nothing before they are touched.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "formats/status.h"

namespace larder::runtime {

class AnonymousMemory {
 public:
  AnonymousMemory() noexcept = default;
  // Page aligned. Error: `out_of_memory` saying for what.
  static Result<AnonymousMemory> allocate(size_t bytes, const char* purpose);
  // In huge pages where the system has them: 2 MiB aligned, and so many bytes that none is shared
  // with others. Left out of core dumps. Error: as allocate().
  static Result<AnonymousMemory> allocate_huge(size_t bytes, const char* purpose);
  static size_t huge_bytes(size_t bytes) noexcept;  // what allocate_huge() takes
  // Takes the pages now instead of when they are touched. Errors: `out_of_memory`, `cancelled`
  // where goes_on, which may be empty, answers false: it is asked before every 32 MiB.
  Status populate(const char* purpose, const std::function<bool()>& goes_on = {});
  AnonymousMemory(AnonymousMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AnonymousMemory();

  std::byte* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Lays arrays out behind one another, each 64-byte aligned. Over no memory it only counts, so that
// what is accounted and what is allocated are the same code.
class Arena {
 public:
  explicit Arena(std::byte* base = nullptr) noexcept : base_(base) {}

  template <class T>
  T* take(size_t n) noexcept {
    constexpr size_t kAlignment = 64;
    size_t size = 0, end = 0;
    if (__builtin_mul_overflow(n, sizeof(T), &size) || size > kMost ||
        __builtin_add_overflow(used_, (size + kAlignment - 1) / kAlignment * kAlignment, &end) ||
        end > kMost) {
      overflows_ = true;
      return nullptr;
    }
    T* at = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ = end;
    return at;
  }
  size_t bytes() const noexcept { return used_; }
  bool overflows() const noexcept { return overflows_; }

 private:
  static constexpr size_t kMost = size_t{1} << 46;  // half of an x86-64 address space
  std::byte* base_;
  size_t used_ = 0;
  bool overflows_ = false;
};

}  // namespace larder::runtime

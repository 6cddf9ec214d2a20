// Makes the Nth allocation fail. Replaces the program's operator new, so that one source of a
// program includes this.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace larder::tests {

enum class Exhaustion { none, once, for_good };
inline std::atomic<Exhaustion> exhaustion = Exhaustion::none;
inline std::atomic<int64_t> n_left = 0;  // allocations until the failure

inline bool allocation_fails() noexcept {
  const Exhaustion mode = exhaustion.load(std::memory_order_relaxed);
  if (mode == Exhaustion::none) return false;
  const int64_t before = n_left.fetch_sub(1, std::memory_order_relaxed);
  return before == 0 || (before < 0 && mode == Exhaustion::for_good);
}

}  // namespace larder::tests

[[gnu::noinline]] void* operator new(size_t size) {
  if (!larder::tests::allocation_fails()) {
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return larder::tests::allocation_fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(size_t size, std::align_val_t alignment) {
  const auto step = static_cast<size_t>(alignment);
  if (!larder::tests::allocation_fails()) {
    if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

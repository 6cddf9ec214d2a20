// Byte counts and file offsets from outside. Arithmetic never wraps: a result that no file offset
// can be is remembered as such, and everything computed from it stays so.
#pragma once

#include <cassert>
#include <cstdint>

namespace larder::formats {

class CheckedSize {
 public:
  static constexpr uint64_t kMax = INT64_MAX;  // off_t is signed

  constexpr CheckedSize(uint64_t value) noexcept : value_(value), ok_(value <= kMax) {}

  constexpr bool ok() const noexcept { return ok_; }
  // REQUIRES: ok()
  constexpr uint64_t value() const noexcept {
    assert(ok_);
    return value_;
  }

  friend constexpr CheckedSize operator+(CheckedSize a, CheckedSize b) noexcept {
    uint64_t sum = 0;
    const bool wraps = __builtin_add_overflow(a.value_, b.value_, &sum);
    return CheckedSize(sum, a.ok_ && b.ok_ && !wraps);
  }
  friend constexpr CheckedSize operator*(CheckedSize a, CheckedSize b) noexcept {
    uint64_t product = 0;
    const bool wraps = __builtin_mul_overflow(a.value_, b.value_, &product);
    return CheckedSize(product, a.ok_ && b.ok_ && !wraps);
  }
  // REQUIRES: divisor != 0
  friend constexpr CheckedSize operator/(CheckedSize a, uint64_t divisor) noexcept {
    assert(divisor != 0);
    return CheckedSize(a.value_ / divisor, a.ok_);
  }

  // The next multiple. REQUIRES: a power of two
  constexpr CheckedSize aligned_to(uint64_t alignment) const noexcept {
    assert(alignment != 0 && (alignment & (alignment - 1)) == 0);
    const CheckedSize sum = *this + CheckedSize(alignment - 1);
    return CheckedSize(sum.value_ & ~(alignment - 1), sum.ok_);
  }

 private:
  constexpr CheckedSize(uint64_t value, bool ok) noexcept
      : value_(value), ok_(ok && value <= kMax) {}

  uint64_t value_;
  bool ok_;
};

}  // namespace larder::formats

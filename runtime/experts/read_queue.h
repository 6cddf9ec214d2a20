// Reads that wait to begin: urgent ones first, else in the order they came. Fixed room.
#pragma once

#include <algorithm>
#include <vector>

#include "runtime/experts/read_backend.h"

namespace larder::runtime {

class ReadQueue {
 public:
  explicit ReadQueue(size_t capacity) : urgent_(capacity), other_(capacity) {}

  bool is_empty() const noexcept { return urgent_.n == 0 && other_.n == 0; }
  bool has_urgent() const noexcept { return urgent_.n > 0; }
  void push(const RawRead& read) noexcept { (read.is_urgent ? urgent_ : other_).push(read); }
  RawRead pop() noexcept { return urgent_.n > 0 ? urgent_.pop() : other_.pop(); }

  // Whether the read was still here.
  bool hurry(uint32_t id) noexcept {
    for (size_t i = 0; i < other_.n; ++i) {
      if (other_.at(i).id != id) continue;
      RawRead read = other_.at(i);
      for (; i + 1 < other_.n; ++i) other_.at(i) = other_.at(i + 1);
      --other_.n;
      read.is_urgent = true;
      urgent_.push(read);
      return true;
    }
    return false;
  }

 private:
  struct Ring {
    explicit Ring(size_t capacity) : reads(std::max<size_t>(capacity, 1)) {}
    RawRead& at(size_t i) noexcept { return reads[(first + i) % reads.size()]; }
    void push(const RawRead& read) noexcept { at(n++) = read; }
    RawRead pop() noexcept {
      const RawRead read = at(0);
      first = (first + 1) % reads.size();
      --n;
      return read;
    }
    std::vector<RawRead> reads;
    size_t first = 0, n = 0;
  };
  Ring urgent_, other_;
};

}  // namespace larder::runtime

// Reads that wait to begin: urgent ones first, else in the order they came. Fixed room.
#pragma once

#include <algorithm>
#include <span>
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
    const size_t i = other_.find(id);
    if (i == other_.n) return false;
    RawRead read = other_.at(i);
    other_.remove(i);
    read.is_urgent = true;
    urgent_.push(read);
    return true;
  }

  // Removes all of these reads, or none, where one is no longer here.
  bool take_back(std::span<const uint32_t> ids) noexcept {
    const auto has = [this](uint32_t id) {
      return urgent_.find(id) < urgent_.n || other_.find(id) < other_.n;
    };
    if (!std::all_of(ids.begin(), ids.end(), has)) return false;
    for (const uint32_t id : ids) {
      Ring& ring = urgent_.find(id) < urgent_.n ? urgent_ : other_;
      ring.remove(ring.find(id));
    }
    return true;
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
    // n: nowhere. From behind: many are taken back the last first.
    size_t find(uint32_t id) noexcept {
      for (size_t i = n; i-- > 0;)
        if (at(i).id == id) return i;
      return n;
    }
    void remove(size_t i) noexcept {
      for (; i + 1 < n; ++i) at(i) = at(i + 1);
      --n;
    }
    std::vector<RawRead> reads;
    size_t first = 0, n = 0;
  };
  Ring urgent_, other_;
};

}  // namespace larder::runtime

// Where a kernel that reads tiles of 16 rows comes next.
#pragma once

#include "quant/isa/dot.h"

namespace larder::quant {

// Walks over the runs of a matrix: of a tile, the first blocks of each row in turn, then the next
// ones; then the next tile. Rows of one run are read in the order of the file.
template <class Block>
class RunWalk {
 public:
  RunWalk(const WeightRows& weights, int32_t n_blocks, int32_t run_blocks)
      : tile_(weights.data),
        row_bytes_(weights.row_bytes),
        n_blocks_(n_blocks),
        run_blocks_(run_blocks) {}

  const uint8_t* run() const {
    return tile_ + static_cast<size_t>(row_) * row_bytes_ +
           static_cast<size_t>(block_) * sizeof(Block);
  }
  void next() {
    if (++row_ < kPanelRows) return;
    row_ = 0;
    block_ += run_blocks_;
    if (block_ < n_blocks_) return;
    block_ = 0;
    tile_ += row_bytes_ * kPanelRows;
  }
  void skip(size_t n_bytes) {
    const size_t run_bytes = static_cast<size_t>(run_blocks_) * sizeof(Block);
    for (size_t bytes = 0; bytes < n_bytes; bytes += run_bytes) next();
  }

 private:
  const uint8_t* tile_;
  size_t row_bytes_;
  int32_t n_blocks_, run_blocks_, row_ = 0, block_ = 0;
};

// How far ahead of its use memory is asked for. What the hardware reads ahead by itself ends with
// every page; half of this is a memory's latency at its speed. Measured on Zen 5, Q6_K, one thread,
// as a share of the speed of reading alone: 0.85 with none, 0.92 with 6 KiB, 0.96 with 8, 0.97 with
// 12.
constexpr size_t kReadAheadBytes = 8 << 10;

// From there on one line a run is asked for, so that the tables that lead to its page, which come
// from memory themselves, are at hand when the run is. Measured on Zen 5 in a virtual machine,
// pages of 4 KiB: 5 to 15 % more tokens a second with one thread.
constexpr size_t kWalkAheadBytes = 16 << 10;

template <class Isa>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p, size_t n_bytes) {
  for (size_t line = 0; line < n_bytes; line += 64) Isa::prefetch(p + line);
}

}  // namespace larder::quant

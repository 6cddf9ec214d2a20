// Which way of reading suits a disk: tries some for a moment each.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "formats/status.h"
#include "runtime/experts/read_backend.h"
#include "runtime/experts/weight_files.h"
#include "runtime/model/weights.h"

namespace larder::runtime {

struct ProbedReads {
  std::unique_ptr<ReadBackend> backend;
  double bytes_per_s = 0;  // 0: nothing was measured
};

// Reads `samples` one after another, around and around, into `memory`. Takes the fewest lanes that
// come near the best rate, and threads unless io_uring is clearly better. A sample that cannot be
// read is no error here. Without samples it chooses without measuring.
// Asks goes_on, where it is not empty, before each way; false: `cancelled`.
// REQUIRES: memory is aligned and holds a span of each of the samples.
Result<ProbedReads> choose_reads(const WeightFiles& files, std::span<const FileRange> samples,
                                 std::span<std::byte> memory, size_t capacity,
                                 const std::function<bool()>& goes_on);

// What a disk of unknown speed is read with: most are saturated by two to four.
inline constexpr int kDefaultLanes = 4;

}  // namespace larder::runtime

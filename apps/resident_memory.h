// What of this process is in RAM.
#pragma once

#include <algorithm>
#include <cstdint>

namespace larder::apps {

struct ResidentMemory {
  uint64_t anonymous_bytes = 0;  // allocated
  uint64_t file_bytes = 0;       // mapped files, program and libraries included
};

// The most of each kind, which need not have been there together.
inline ResidentMemory larger(ResidentMemory a, ResidentMemory b) noexcept {
  return {std::max(a.anonymous_bytes, b.anonymous_bytes), std::max(a.file_bytes, b.file_bytes)};
}

// Now. Zeros if the system does not say.
ResidentMemory resident_memory();

// How often this process stood still for a page that had to be read: of its program, of libraries,
// of mapped files, or what was swapped out.
uint64_t major_faults() noexcept;

}  // namespace larder::apps

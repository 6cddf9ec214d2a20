// What of this process is in RAM.
#pragma once

#include <cstdint>

namespace larder::apps {

struct ResidentMemory {
  uint64_t anonymous_bytes = 0;  // allocated
  uint64_t file_bytes = 0;       // mapped files, program and libraries included

  uint64_t bytes() const noexcept { return anonymous_bytes + file_bytes; }
};

inline ResidentMemory larger(ResidentMemory a, ResidentMemory b) noexcept {
  return a.bytes() < b.bytes() ? b : a;
}

// Now. Zeros if the system does not say.
ResidentMemory resident_memory();

// How often this process stood still for a page that had to be read: of its program, of libraries,
// of mapped files, or what was swapped out.
uint64_t major_faults() noexcept;

}  // namespace larder::apps

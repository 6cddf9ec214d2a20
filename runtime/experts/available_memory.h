// How much memory this process may take, as the system tells it.
#pragma once

#include <cstdint>
#include <string>

namespace larder::runtime {

struct AvailableMemory {
  uint64_t machine_bytes = 0;         // all of it; 0: not known
  uint64_t available_bytes = 0;       // without hurting others; 0: not known
  uint64_t limit_bytes = UINT64_MAX;  // of the process's control groups, the least of the way up
};

// `root` stands for the root directory, for tests.
AvailableMemory available_memory(const std::string& root = {});

// What `--ram auto` takes: what is available, less headroom for the rest of the computer, and less
// of a group's limit, which is for this process's like alone. 0 if the system tells nothing.
uint64_t comfortable_bytes(const AvailableMemory& memory) noexcept;

}  // namespace larder::runtime

#include "apps/resident_memory.h"

#include <sys/resource.h>

#include <cstdio>

namespace larder::apps {

// RssAnon and RssFile of proc(5).
ResidentMemory resident_memory() {
  ResidentMemory memory;
  std::FILE* const status = std::fopen("/proc/self/status", "re");
  if (status == nullptr) return memory;
  char line[256];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof line, status) != nullptr) {
    if (std::sscanf(line, "RssAnon: %llu kB", &kib) == 1)
      memory.anonymous_bytes = uint64_t{kib} << 10;
    if (std::sscanf(line, "RssFile: %llu kB", &kib) == 1) memory.file_bytes = uint64_t{kib} << 10;
  }
  std::fclose(status);
  return memory;
}

uint64_t major_faults() noexcept {
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<uint64_t>(usage.ru_majflt) : 0;
}

}  // namespace larder::apps

// How many cores the operating system grants this process, and when it does not.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace larder::quant {

// "0-3,8" -> 0 1 2 3 8; what cannot be read is left out.
std::vector<int> parse_cpu_list(std::string_view text);

// Physical cores among the logical processors `allowed` (SMT siblings count once), but at most the
// CPU quota of this process' cgroups (v1 and v2, the tightest level counts, fractions dropped); at
// least 1. Reads <root>/proc/self/cgroup and below <root>/sys; what is missing there limits
// nothing.
int usable_cores(std::span<const int> allowed, const std::string& root);

// Logical processors of this thread's affinity mask, ascending.
std::vector<int> allowed_processors();

// How long the calling thread has been ready to run and waited for a processor, all its life; 0
// where the system does not tell.
int64_t waited_for_processor_ns() noexcept;

}  // namespace larder::quant

#include "runtime/experts/available_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>

namespace larder::runtime {
namespace {

// Of a computer that is used for other things as well. Source: facts of eight engines, which fell
// to a third of their speed where less was left (2026-08).
constexpr uint64_t kMinHeadroomBytes = uint64_t{3} << 29;  // 1.5 GiB
constexpr uint64_t kHeadroomShare = 8;
// Of a control group: what the system counts to it beside the process's own pages.
constexpr uint64_t kGroupHeadroomShare = 32;

uint64_t number_in(std::string_view text) noexcept {
  uint64_t value = 0;
  const size_t begin = std::min(text.find_first_of("0123456789"), text.size());
  std::from_chars(text.data() + begin, text.data() + text.size(), value);
  return value;
}

// The limit in a group's file; "max" and what cannot be read are none.
uint64_t limit_in(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  if (!(in >> text) || text.find_first_not_of("0123456789") != std::string::npos) return UINT64_MAX;
  return number_in(text);
}

// The least limit from a group up to the root of its hierarchy. In a container the path may be that
// of the host, and the container's own group is the root that is seen.
uint64_t least_limit(const std::string& hierarchy, std::string group, const char* file) {
  uint64_t least = UINT64_MAX;
  while (true) {
    least = std::min(least, limit_in(hierarchy + group + "/" + file));
    if (group.empty() || group == "/") return least;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

AvailableMemory available_memory(const std::string& root) {
  AvailableMemory memory;
  std::ifstream info(root + "/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("MemTotal:")) memory.machine_bytes = number_in(line) << 10;
    if (line.starts_with("MemAvailable:")) memory.available_bytes = number_in(line) << 10;
  }
  // Lines are number:controllers:path; version 2 has no controllers.
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers(1, ',');
    controllers.append(line, first + 1, second - first - 1);
    controllers += ',';
    const std::string group = line.substr(second + 1);
    const std::string mount = root + "/sys/fs/cgroup";
    if (controllers == ",,") {
      memory.limit_bytes = std::min(memory.limit_bytes, least_limit(mount, group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      memory.limit_bytes = std::min(memory.limit_bytes,
                                    least_limit(mount + "/memory", group, "memory.limit_in_bytes"));
    }
  }
  return memory;
}

uint64_t comfortable_bytes(const AvailableMemory& memory) noexcept {
  if (memory.available_bytes == 0) return 0;
  const uint64_t headroom = std::max(kMinHeadroomBytes, memory.machine_bytes / kHeadroomShare);
  // A computer with little left still does something: half of it.
  const uint64_t of_machine =
      std::max(memory.available_bytes / 2,
               memory.available_bytes - std::min(memory.available_bytes, headroom));
  const uint64_t of_group = memory.limit_bytes - memory.limit_bytes / kGroupHeadroomShare;
  return std::min(of_machine, of_group);
}

}  // namespace larder::runtime

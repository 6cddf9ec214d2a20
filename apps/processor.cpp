#include "apps/processor.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <system_error>

namespace larder::apps {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string name_in(const fs::path& cpuinfo) {
  constexpr std::string_view kKey = "model name";
  std::ifstream file(cpuinfo);
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(": ");
    if (line.starts_with(kKey) && at != std::string::npos) return line.substr(at + 2);
  }
  return {};
}

// "32768K". Source: Documentation/ABI/testing/sysfs-devices-system-cpu.
uint64_t cache_size(const std::string& text) {
  char* end = nullptr;
  const uint64_t n = std::strtoull(text.c_str(), &end, 10);
  return *end == 'K' ? n << 10 : *end == 'M' ? n << 20 : n;
}

// Each cache of the highest level once, by the processors that share it.
uint64_t last_level_in(const fs::path& processors) {
  std::map<std::string, uint64_t> caches;
  int last_level = 0;
  std::error_code failed;
  for (const auto& cpu : fs::directory_iterator(processors, failed)) {
    if (!cpu.path().filename().string().starts_with("cpu")) continue;
    std::error_code has_none;
    for (const auto& cache : fs::directory_iterator(cpu.path() / "cache", has_none)) {
      const int level = std::atoi(first_line(cache.path() / "level").c_str());
      if (level < last_level || level < 1) continue;
      if (first_line(cache.path() / "type") == "Instruction") continue;
      if (level > last_level) caches.clear();
      last_level = level;
      caches[first_line(cache.path() / "shared_cpu_list")] =
          cache_size(first_line(cache.path() / "size"));
    }
  }
  uint64_t sum = 0;
  for (const auto& [sharers, bytes] : caches) sum += bytes;
  return sum;
}

}  // namespace

Processor processor(const std::string& root) {
  return {name_in(root + "/proc/cpuinfo"), last_level_in(root + "/sys/devices/system/cpu")};
}

}  // namespace larder::apps

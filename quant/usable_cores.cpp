#include "quant/usable_cores.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

namespace larder::quant {
namespace {

std::optional<std::string> read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<long long> parse_number(std::string_view text) {
  long long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// Processors granted by a quota of `quota_us` each `period_us`.
std::optional<int> whole_processors(std::optional<long long> quota_us,
                                    std::optional<long long> period_us) {
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return std::nullopt;
  return static_cast<int>(std::clamp(*quota_us / *period_us, 1LL, 1LL << 20));
}

// v2: one file, "max 100000" or "150000 100000" (quota and period in us).
std::optional<int> quota_v2(const std::string& directory) {
  const auto line = read_line(directory + "/cpu.max");
  if (!line) return std::nullopt;
  const size_t space = line->find(' ');
  if (space == std::string::npos) return std::nullopt;
  return whole_processors(parse_number(std::string_view(*line).substr(0, space)),
                          parse_number(std::string_view(*line).substr(space + 1)));
}

// v1: two files; a quota of -1 means none.
std::optional<int> quota_v1(const std::string& directory) {
  const auto quota = read_line(directory + "/cpu.cfs_quota_us");
  const auto period = read_line(directory + "/cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  return whole_processors(parse_number(*quota), parse_number(*period));
}

bool names_cpu_controller(std::string_view controllers) {
  while (!controllers.empty()) {
    const size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

// The tightest quota from `path` up to the mount's root. A container may see its group's path while
// only the root is mounted, so the root is always asked.
template <class ReadQuota>
int tightest(const std::string& mount, std::string path, int limit, ReadQuota read_quota) {
  for (;;) {
    if (path == "/") path.clear();
    if (const auto quota = read_quota(mount + path)) limit = std::min(limit, *quota);
    if (path.empty()) return limit;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

// Lines of /proc/self/cgroup: "hierarchy:controllers:path"; v2 is hierarchy 0 without controllers.
int cgroup_limit(const std::string& root, int limit) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      limit = tightest(root + "/sys/fs/cgroup", path, limit, quota_v2);
      limit = tightest(root + "/sys/fs/cgroup/unified", path, limit, quota_v2);
    } else if (names_cpu_controller(controllers)) {
      limit = tightest(root + "/sys/fs/cgroup/" + controllers, path, limit, quota_v1);
      limit = tightest(root + "/sys/fs/cgroup/cpu", path, limit, quota_v1);
    }
  }
  return limit;
}

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  constexpr long long kMaxProcessor = 1 << 16;  // far above Linux's NR_CPUS
  std::vector<int> processors;
  std::istringstream stream{std::string(text)};
  for (std::string item; std::getline(stream, item, ',');) {
    const auto first = parse_number(item);
    if (!first || *first < 0) continue;
    const size_t dash = item.find('-');
    const auto last =
        dash == std::string::npos ? first : parse_number(std::string_view(item).substr(dash + 1));
    if (!last || *last > kMaxProcessor) continue;
    for (long long i = *first; i <= *last; ++i) processors.push_back(static_cast<int>(i));
  }
  return processors;
}

int usable_cores(std::span<const int> allowed, const std::string& root) {
  std::set<int> cores;  // each core named by its first SMT sibling
  for (const int processor : allowed) {
    const auto line = read_line(root + "/sys/devices/system/cpu/cpu" + std::to_string(processor) +
                                "/topology/thread_siblings_list");
    const std::vector<int> siblings = line ? parse_cpu_list(*line) : std::vector<int>();
    cores.insert(siblings.empty() ? processor
                                  : *std::min_element(siblings.begin(), siblings.end()));
  }
  return std::max(1, cgroup_limit(root, static_cast<int>(cores.size())));
}

std::vector<int> allowed_processors() {
  // The kernel refuses a mask shorter than its own, so the mask grows until it is accepted.
  for (int n_bits = 1024; n_bits <= 1 << 16; n_bits *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(n_bits), [](cpu_set_t* held) { CPU_FREE(held); });
    if (mask == nullptr) break;
    const size_t n_bytes = CPU_ALLOC_SIZE(n_bits);
    std::vector<int> processors;
    if (sched_getaffinity(0, n_bytes, mask.get()) == 0) {
      for (int i = 0; i < n_bits; ++i) {
        if (CPU_ISSET_S(i, n_bytes, mask.get())) processors.push_back(i);
      }
    }
    if (!processors.empty()) return processors;
  }
  std::vector<int> processors(std::max(1U, std::thread::hardware_concurrency()));
  for (size_t i = 0; i < processors.size(); ++i) processors[i] = static_cast<int>(i);
  return processors;
}

// "85960306 281326288 26": on a processor (ns), waiting for one (ns), turns. Source: Linux,
// Documentation/scheduler/sched-stats.rst.
int64_t waited_for_processor_ns() noexcept {
  const int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[96];
  const ssize_t n = read(file, text, sizeof text);
  close(file);
  const char* const end = text + std::max<ssize_t>(n, 0);
  const char* const space = std::find(static_cast<const char*>(text), end, ' ');
  int64_t waited_ns = 0;
  if (space != end) std::from_chars(space + 1, end, waited_ns);
  return waited_ns;
}

}  // namespace larder::quant

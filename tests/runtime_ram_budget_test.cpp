// The account of memory: what a limit leaves for experts, the floor, and what the system says.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/experts/available_memory.h"
#include "runtime/experts/ram_budget.h"
#include "runtime/session/session.h"
#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

RamNeeds some_needs() {
  RamNeeds needs;
  needs.program_bytes = 40 * kMib;
  needs.dense_bytes = 500 * kMib;
  needs.cache_bytes = 200 * kMib;
  needs.buffer_bytes = 100 * kMib;
  needs.all_expert_bytes = 4000 * kMib;
  needs.least_slab_bytes = 21 * kMib;
  needs.table_bytes = [](uint64_t slab_bytes) { return kMib + slab_bytes / 1000; };
  return needs;
}

SessionOptions small_session(uint64_t ram_bytes) {
  SessionOptions options;
  options.n_ctx = 64;
  options.batch_size = 16;
  options.n_threads = 1;
  options.ram_bytes = ram_bytes;
  return options;
}

std::vector<float> logits_of(Session& session) {
  std::vector<formats::TokenId> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back(i * 37 % 256);
  const Status status = session.append(tokens);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  const auto logits = session.logits();
  return {logits.begin(), logits.end()};
}

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

}  // namespace

TEST_CASE("ram budget: parts never exceed the limit, from the floor up to all") {
  const RamNeeds needs = some_needs();
  const auto all = divide_ram(needs, UINT64_MAX);
  REQUIRE(all.ok());
  CHECK(!all->is_paged);
  CHECK(all->total_bytes() == needs.fixed_bytes() + needs.all_expert_bytes);
  const uint64_t whole = all->total_bytes(), floor = all->floor_bytes;
  CHECK(floor > needs.fixed_bytes() + needs.least_slab_bytes);
  CHECK(floor < needs.fixed_bytes() + needs.least_slab_bytes + 5 * kMib);
  for (uint64_t limit = floor; limit < whole; limit += 777'777) {
    const auto budget = divide_ram(needs, limit);
    REQUIRE(budget.ok());
    REQUIRE(budget->is_paged);
    REQUIRE(budget->total_bytes() <= limit);
    REQUIRE(budget->expert_bytes >= needs.least_slab_bytes);
    // What is left over is less than a huge page and what tables were overestimated by.
    REQUIRE(limit - budget->total_bytes() < 4 * kMib + needs.least_slab_bytes);
  }
  CHECK(divide_ram(needs, whole)->is_paged == false);
  CHECK(divide_ram(needs, whole - 1)->is_paged);
}

TEST_CASE("ram budget: below the floor the error says how much, and what would lower it") {
  const RamNeeds needs = some_needs();
  const uint64_t floor = divide_ram(needs, UINT64_MAX)->floor_bytes;
  CHECK(divide_ram(needs, floor).ok());
  const auto below = divide_ram(needs, floor - 1);
  REQUIRE(!below.ok());
  CHECK(below.status().cause() == Cause::budget);
  for (const char* part : {"--ctx-size", "--batch-size"})
    CHECK(below.status().to_string().find(part) != std::string::npos);
  const std::string least = std::to_string((floor + (1 << 20) - 1) >> 20) + "M, the limit is ";
  CHECK(below.status().to_string().find(least) != std::string::npos);
}

TEST_CASE("ram budget: a model without routed experts fits whole or not at all") {
  RamNeeds needs = some_needs();
  needs.all_expert_bytes = needs.least_slab_bytes = 0;
  CHECK(divide_ram(needs, needs.fixed_bytes())->is_paged == false);
  CHECK(divide_ram(needs, needs.fixed_bytes() - 1).status().cause() == Cause::budget);
}

TEST_CASE("session: at the floor it answers with the mapped bits, a byte below it refuses") {
  const TinyFile file(kManyExperts);
  auto mapped = Session::create(file.model, small_session(kUnlimitedRam));
  REQUIRE(mapped.ok());
  CHECK(!(*mapped)->expert_statistics());
  const std::vector<float> expected = logits_of(**mapped);
  const uint64_t floor = (*mapped)->ram().floor_bytes;
  REQUIRE(floor < (*mapped)->ram().total_bytes());

  auto paged = Session::create(file.model, small_session(floor));
  REQUIRE_MESSAGE(paged.ok(), paged.status().to_string());
  REQUIRE((*paged)->expert_statistics());
  CHECK((*paged)->ram().total_bytes() <= floor);
  CHECK(logits_of(**paged) == expected);
  CHECK((*paged)->expert_statistics()->counters.n_misses > 0);

  const auto refused = Session::create(file.model, small_session(floor - 1));
  REQUIRE(!refused.ok());
  CHECK(refused.status().cause() == Cause::budget);
  CHECK(refused.status().to_string().find(file.path) != std::string::npos);
}

TEST_CASE("session: loading within a budget can be stopped") {
  const TinyFile file(kManyExperts);
  const uint64_t floor = Session::plan(*file.model, small_session(kUnlimitedRam))->floor_bytes;
  const auto stopped =
      Session::create(file.model, small_session(floor), [](uint64_t, uint64_t) { return false; });
  REQUIRE(!stopped.ok());
  CHECK(stopped.status().cause() == Cause::cancelled);
}

TEST_CASE("available memory: meminfo, and the least limit on the way up of either cgroup version") {
  const TemporaryDirectory root;
  CHECK(available_memory(root.path("nothing")).available_bytes == 0);
  CHECK(comfortable_bytes(available_memory(root.path("nothing"))) == 0);
  const std::string at = root.path("sys");
  write(at + "/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable:   8388608 kB\n");
  AvailableMemory memory = available_memory(at);
  CHECK(memory.machine_bytes == 16384 * kMib);
  CHECK(memory.available_bytes == 8192 * kMib);
  CHECK(memory.limit_bytes == UINT64_MAX);
  CHECK(comfortable_bytes(memory) == 6144 * kMib);  // less an eighth of the machine

  SUBCASE("version 2") {
    write(at + "/proc/self/cgroup", "0::/a/b\n");
    write(at + "/sys/fs/cgroup/a/memory.max", "3221225472\n");
    write(at + "/sys/fs/cgroup/a/b/memory.max", "max\n");
    CHECK(available_memory(at).limit_bytes == 3072 * kMib);
  }
  SUBCASE("version 1") {
    write(at + "/proc/self/cgroup", "7:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n");
    write(at + "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write(at + "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "3221225472\n");
    memory = available_memory(at);
    CHECK(memory.limit_bytes == 3072 * kMib);
    CHECK(comfortable_bytes(memory) == 2976 * kMib);
  }
  SUBCASE("a container that sees the host's path") {
    write(at + "/proc/self/cgroup", "0::/docker/0123\n");
    write(at + "/sys/fs/cgroup/memory.max", "3221225472\n");
    CHECK(available_memory(at).limit_bytes == 3072 * kMib);
  }
}

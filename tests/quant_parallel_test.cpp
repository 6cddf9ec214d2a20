#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "quant/parallel.h"
#include "quant/usable_cores.h"

namespace larder::quant {
namespace {

TEST_CASE("team: every thread of a region runs once, and run waits for all of them") {
  for (int n_threads : {1, 2, 3, 5}) {
    Parallel parallel(n_threads);
    std::vector<int> runs(static_cast<size_t>(n_threads), 0);  // plain: run() must publish them
    for (int repeat = 0; repeat < 50; ++repeat) {
      parallel.run([&](Team& team) {
        CHECK(team.n_threads() == n_threads);
        ++runs[static_cast<size_t>(team.thread())];
      });
      CHECK(std::all_of(runs.begin(), runs.end(), [&](int n) { return n == repeat + 1; }));
    }
  }
}

TEST_CASE("team: for_each gives each item to exactly one thread") {
  Parallel parallel(3);
  std::vector<int> done(1000);
  parallel.run([&](Team& team) {
    for (int64_t n : {0, 1, 2, 3, 1000, 7, 0, 999}) {
      team.once([&] { std::fill(done.begin(), done.end(), 0); });
      team.for_each(n, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
      team.once([&] {
        for (int64_t i = 0; i < 1000; ++i) CHECK(done[static_cast<size_t>(i)] == (i < n ? 1 : 0));
      });
    }
  });
}

TEST_CASE("team: a barrier shows every thread what all others wrote before it") {
  constexpr int kThreads = 3, kRounds = 2000;
  Parallel parallel(kThreads);
  std::vector<int> written(kThreads, -1);
  std::atomic<int> n_wrong{0};
  parallel.run([&](Team& team) {
    for (int round = 0; round < kRounds; ++round) {
      written[static_cast<size_t>(team.thread())] = round;
      team.barrier();
      for (int w : written) n_wrong += w != round;
      team.barrier();
    }
  });
  CHECK(n_wrong == 0);
}

TEST_CASE("team: for_each_stretch gives each item once, in order, and says which comes then") {
  for (const int n_threads : {1, 2, 3}) {
    for (const int64_t n : {0, 1, 5, 13, 1000}) {
      for (const int64_t n_at_once : {1, 16}) {
        std::vector<std::atomic<int>> done(static_cast<size_t>(n));
        std::atomic<int64_t> n_announced = 0, n_wrong = 0;
        Parallel parallel(n_threads);
        parallel.run([&](Team& team) {
          // the first thread has a tenth
          const auto first_of = [&](int thread) {
            if (thread == 0 || thread == n_threads) return thread == 0 ? 0 : n;
            return n / 10 + (n - n / 10) * (thread - 1) / (n_threads - 1);
          };
          int64_t last_end = 0;
          const auto visit = [&](ItemRange items, int64_t next) {
            if (items.n() < 1 || items.n() > n_at_once) ++n_wrong;
            if (next != items.end && next != n) ++n_wrong;
            if (n_threads == 1 && items.first != std::exchange(last_end, items.end)) ++n_wrong;
            if (next < n) ++n_announced;
            for (int64_t i = items.first; i < items.end; ++i) ++done[static_cast<size_t>(i)];
          };
          team.for_each_stretch(n, n_at_once, first_of, visit);
        });
        for (const auto& times : done) CHECK(times == 1);
        CHECK(n_wrong == 0);
        if (n == 1000) CHECK(n_announced > 1000 / n_at_once / 2);
      }
    }
  }
}

TEST_CASE("team: others do the work of a thread that does not come") {
  Parallel parallel(3);
  std::atomic<int> n_done = 0;
  std::vector<int> by_thread(3, 0);
  parallel.run([&](Team& team) {
    for (int round = 0; round < 3; ++round) {
      if (team.thread() == 1) {
        while (n_done < 100 * (round + 1)) std::this_thread::yield();
      }
      team.for_each(100, [&](int64_t) {
        ++by_thread[static_cast<size_t>(team.thread())];
        ++n_done;
      });
    }
  });
  CHECK(n_done == 300);
  CHECK(by_thread[1] == 0);
  CHECK(by_thread[0] + by_thread[2] == 300);
}

TEST_CASE("work range: what is left is known by the phase, and half of it can be taken") {
  WorkRange range;
  const auto whole = [] { return ItemRange{10, 20}; };
  int64_t end = 0;
  for (uint32_t phase = 1; phase < 600; ++phase) {
    CHECK(range.n_left(phase, whole) == 10);
    const ItemRange taken = range.take_half(phase, whole);  // before the owner has begun
    CHECK(taken.first == 15);
    CHECK(taken.end == 20);
    ItemRange own = range.take_first(phase, whole, 16, end);
    CHECK(own.first == 10);
    CHECK(own.end == 11);
    CHECK(end == 15);
    CHECK(range.n_left(phase, whole) == 4);
    CHECK(range.take_half(phase, whole).n() == 2);
    CHECK(range.take_half(phase, whole).n() == 1);
    CHECK(range.take_half(phase, whole).first == 11);
    CHECK(range.take_half(phase, whole).n() == 0);
    CHECK(range.take_first(phase, whole, 16, end).n() == 0);
    range.set(phase, {100, 300});
    own = range.take_first(phase, whole, 16, end);
    CHECK(own.first == 100);
    CHECK(own.n() == 16);
    CHECK(end == 300);
    while (range.take_first(phase, whole, 1000, end).n() > 0) continue;
  }
}

TEST_CASE("team: a thread that arrives late wakes those that fell asleep") {
  Parallel parallel(2);
  int late = 0;
  parallel.run([&](Team& team) {
    for (int round = 0; round < 3; ++round) {
      if (team.thread() == round % 2) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        late = round;
      }
      team.barrier();
      CHECK(late == round);
      team.barrier();
    }
  });
}

TEST_CASE("team: once runs on one thread and the others see its work") {
  Parallel parallel(3);
  int counter = 0;
  parallel.run([&](Team& team) {
    for (int i = 1; i <= 100; ++i) {
      team.once([&] { ++counter; });
      CHECK(counter == i);
      team.barrier();
    }
  });
}

TEST_CASE("parallel: sessions of several application threads do not disturb each other") {
  constexpr int kSessions = 4;
  std::vector<int64_t> sums(kSessions, 0);
  std::vector<std::thread> sessions;
  for (int s = 0; s < kSessions; ++s) {
    sessions.emplace_back([&sums, s] {
      Parallel parallel(1 + s % 3);
      std::vector<int64_t> partial(static_cast<size_t>(parallel.n_threads()));
      for (int region = 0; region < 100; ++region) {
        parallel.run([&](Team& team) {
          auto& mine = partial[static_cast<size_t>(team.thread())];
          team.for_each(20, [&](int64_t i) { mine += i; });
          team.for_each(s, [&](int64_t) { ++mine; });
        });
      }
      for (int64_t p : partial) sums[static_cast<size_t>(s)] += p;
    });
  }
  for (std::thread& t : sessions) t.join();
  for (int s = 0; s < kSessions; ++s) CHECK(sums[static_cast<size_t>(s)] == 100 * (190 + s));
}

TEST_CASE("parallel: a region inside a region is right whatever team it is given") {
  Parallel outer(2);
  std::vector<int64_t> sums(2, 0);
  outer.run([&](Team& team) {
    Parallel inner(3);
    std::atomic<int64_t> sum{0};
    std::atomic<int> members{0}, told{0};
    inner.run([&](Team& nested) {
      ++members;
      told = nested.n_threads();
      nested.for_each(50, [&](int64_t i) { sum += i; });
    });
    CHECK(members == told);
    sums[static_cast<size_t>(team.thread())] = sum;
  });
  CHECK(sums == std::vector<int64_t>{1225, 1225});
}

// A machine's files below a temporary directory.
class FakeMachine {
 public:
  FakeMachine() : root_(std::filesystem::temp_directory_path() / "larder_usable_cores_test") {
    std::filesystem::remove_all(root_);
  }
  ~FakeMachine() { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  void siblings(int processor, const std::string& list) const {
    write(
        "sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list",
        list);
  }
  int cores(const std::vector<int>& allowed) const { return usable_cores(allowed, root_.string()); }

 private:
  std::filesystem::path root_;
};

TEST_CASE("usable cores: SMT siblings count once, affinity limits") {
  FakeMachine machine;
  for (int i = 0; i < 4; ++i) {
    machine.siblings(i, std::to_string(i) + "," + std::to_string(i + 4));
    machine.siblings(i + 4, std::to_string(i) + "," + std::to_string(i + 4));
  }
  CHECK(machine.cores({0, 1, 2, 3, 4, 5, 6, 7}) == 4);
  CHECK(machine.cores({0, 4}) == 1);
  CHECK(machine.cores({5, 6}) == 2);
  CHECK(machine.cores({100, 101, 102}) == 3);  // no topology known
  CHECK(machine.cores({}) == 1);
}

TEST_CASE("usable cores: the tightest cgroup quota limits, v2") {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/user/app");
  const std::vector<int> eight{0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(machine.cores(eight) == 8);
  machine.write("sys/fs/cgroup/user/app/cpu.max", "max 100000");
  CHECK(machine.cores(eight) == 8);
  machine.write("sys/fs/cgroup/user/cpu.max", "350000 100000");
  CHECK(machine.cores(eight) == 3);
  machine.write("sys/fs/cgroup/user/app/cpu.max", "50000 100000");
  CHECK(machine.cores(eight) == 1);
}

TEST_CASE("usable cores: a container that sees only the root of its cgroup") {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/kubepods/pod1234");
  machine.write("sys/fs/cgroup/cpu.max", "200000 100000");
  CHECK(machine.cores({0, 1, 2, 3}) == 2);
}

TEST_CASE("usable cores: cgroup v1 quota, and nonsense limits nothing") {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "12:cpuset:/x\n4:cpu,cpuacct:/docker/abc\nbroken line\n1::");
  machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1");
  machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000");
  CHECK(machine.cores({0, 1, 2, 3}) == 4);
  machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "200000");
  CHECK(machine.cores({0, 1, 2, 3}) == 2);
  machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "lots");
  CHECK(machine.cores({0, 1, 2, 3}) == 4);
}

TEST_CASE("usable cores: processor lists") {
  CHECK(parse_cpu_list("0-3,8") == std::vector<int>{0, 1, 2, 3, 8});
  CHECK(parse_cpu_list("7") == std::vector<int>{7});
  CHECK(parse_cpu_list("").empty());
  CHECK(parse_cpu_list("x,2-,-3,4-99999999999").empty());
}

TEST_CASE("usable cores: this machine has between one and all of its allowed processors") {
  const std::vector<int> allowed = allowed_processors();
  CHECK(default_threads() >= 1);
  CHECK(default_threads() <= static_cast<int>(allowed.size()));
}

}  // namespace
}  // namespace larder::quant

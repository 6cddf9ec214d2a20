#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "quant/parallel.h"
#include "quant/team_size.h"

namespace larder::quant {
namespace {

constexpr int64_t kMs = 1'000'000;

// A region of 20 ms in which so many threads' worth was done, and as much delayed.
RegionUse region(int n_threads, double n_useful, double n_delayed) {
  const auto ns = [](double n) { return static_cast<int64_t>(n * 20 * kMs); };
  return {n_threads, 20 * kMs, ns(n_useful), ns(n_delayed)};
}

// A machine of n processors with one busy neighbour: the thread beside it has half a processor, and
// all others wait for it.
RegionUse beside_neighbour(int n_threads, int n_processors) {
  const bool shares = n_threads == n_processors;
  return region(n_threads, shares ? n_threads / 2.0 : n_threads, shares ? 0.5 : 0.01);
}

TEST_CASE("team size: all threads run where they wait for work or a disk alone") {
  TeamSize size(4);
  for (int i = 0; i < 200; ++i) {
    CHECK(size.next() == 4);
    size.learn(region(4, i % 7 == 0 ? 3.9 : 0.5, 0.05));
  }
}

TEST_CASE("team size: delays are asked for where they decide") {
  TeamSize size(2);
  CHECK_FALSE(size.asks_for_delays());
  size.learn(region(2, 1.9, 0));
  CHECK_FALSE(size.asks_for_delays());
  size.learn(region(2, 1.0, 0));
  CHECK(size.asks_for_delays());
  size.learn(region(2, 1.0, 0.5));
  CHECK(size.next() == 1);
  for (int i = 0; size.next() == 1 && i < 100; ++i) {
    CHECK_FALSE(size.asks_for_delays());
    size.learn(region(1, 1.0, 0));
  }
  CHECK(size.next() == 2);
  CHECK(size.asks_for_delays());
}

TEST_CASE("team size: beside a busy neighbour one thread is left out, and seldom tried") {
  for (const int n : {2, 8}) {
    TeamSize size(n);
    int n_full = 0;
    for (int i = 0; i < 1000; ++i) {
      n_full += size.next() == n;
      CHECK(size.next() >= n - 1);
      size.learn(beside_neighbour(size.next(), n));
    }
    CHECK(n_full >= 10);
    CHECK(n_full <= 30);
  }
}

TEST_CASE("team size: all threads run again when the neighbours are gone") {
  TeamSize size(4);
  for (int i = 0; i < 500; ++i) size.learn(region(size.next(), 0.3 * size.next(), 1));
  CHECK(size.next() <= 2);
  for (int i = 0; i < 200; ++i) size.learn(region(size.next(), 0.97 * size.next(), 0));
  for (int i = 0; i < 200; ++i) {
    CHECK(size.next() == 4);
    size.learn(region(size.next(), 3.9, 0.1));
  }
}

TEST_CASE("team size: one bad region, work that is divided well and short regions change nothing") {
  TeamSize size(2);
  for (int i = 0; i < 100; ++i) {
    size.learn(region(2, 0.9, 0.5));
    size.learn(region(2, 1.9, 0.1));
    size.learn(region(2, 1.2, 0.6));
    size.learn({2, kMs / 2, kMs / 10, kMs / 4});
    CHECK(size.next() == 2);
  }
  TeamSize one(1);
  for (int i = 0; i < 100; ++i) one.learn(region(1, 0.3, 0.6));
  CHECK(one.next() == 1);
}

// More threads than processors, so that some are taken off theirs.
TEST_CASE("team size: an adapting team does every item once, whatever its size") {
  constexpr int kThreads = 6, kItems = 500, kRegions = 60, kSteps = 4;
  std::vector<int> done(kItems);
  std::atomic<int> n_wrong{0};
  Parallel adapting(kThreads, TeamSizing::adapting);
  for (int repeat = 0; repeat < kRegions; ++repeat) {
    adapting.run([&](Team& team) {
      n_wrong += team.thread() >= team.n_threads() || team.n_threads() > kThreads;
      for (int step = 0; step < kSteps; ++step) {
        team.for_each(kItems, [&](int64_t i) {
          volatile int64_t work = 0;
          for (int k = 0; k < 500; ++k) work = work + k;
          ++done[static_cast<size_t>(i)];
        });
      }
    });
  }
  CHECK(n_wrong == 0);
  CHECK(std::all_of(done.begin(), done.end(), [](int n) { return n == kRegions * kSteps; }));
}

}  // namespace
}  // namespace larder::quant

// Reads that nobody wants any more, and ways to read that are taken away: nothing waits for them.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/experts/read_queue.h"
#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

struct ReadLog {
  int n_done = 0;
  size_t n_waiting = 0;  // submitted, and neither done nor taken back
  std::function<void()> on_read;
};

// A disk that reads when it is waited for, one read after another.
class LazyReads final : public ReadBackend {
 public:
  LazyReads(size_t capacity, ReadLog& log) : queue_(capacity), log_(log) {}
  const char* name() const noexcept override { return "lazy"; }
  int n_lanes() const noexcept override { return 1; }
  void submit(std::span<const RawRead> reads) noexcept override {
    for (const RawRead& read : reads) queue_.push(read);
    log_.n_waiting += reads.size();
  }
  void hurry(uint32_t id) noexcept override { queue_.hurry(id); }
  bool take_back(std::span<const uint32_t> ids) noexcept override {
    if (!queue_.take_back(ids)) return false;
    log_.n_waiting -= ids.size();
    return true;
  }
  size_t collect(std::span<RawResult> results, bool waits) noexcept override {
    if (!waits || queue_.is_empty()) return 0;
    const RawRead read = queue_.pop();
    const ssize_t n =
        pread(read.descriptor, read.to, read.n_bytes, static_cast<off_t>(read.offset));
    ++log_.n_done;
    --log_.n_waiting;
    if (log_.on_read) log_.on_read();
    results[0] = {read.id, n < 0 ? -errno : n, read_clock_us()};
    return 1;
  }

 private:
  ReadQueue queue_;
  ReadLog& log_;
};

MakeBackend lazy(ReadLog& log) {
  return [&log](size_t capacity) -> Result<std::unique_ptr<ReadBackend>> {
    return std::unique_ptr<ReadBackend>(std::make_unique<LazyReads>(capacity, log));
  };
}

// A disk that has read before anybody looks.
class EagerReads final : public ReadBackend {
 public:
  const char* name() const noexcept override { return "eager"; }
  int n_lanes() const noexcept override { return 1; }
  void submit(std::span<const RawRead> reads) noexcept override {
    for (const RawRead& read : reads) {
      const ssize_t n =
          pread(read.descriptor, read.to, read.n_bytes, static_cast<off_t>(read.offset));
      answers_.push_back({read.id, n < 0 ? -errno : n, read_clock_us()});
    }
  }
  void hurry(uint32_t) noexcept override {}
  bool take_back(std::span<const uint32_t>) noexcept override { return false; }
  size_t collect(std::span<RawResult> results, bool) noexcept override {
    const size_t n = std::min(results.size(), answers_.size());
    std::copy_n(answers_.begin(), n, results.begin());
    answers_.erase(answers_.begin(), answers_.begin() + static_cast<long>(n));
    return n;
  }

 private:
  std::vector<RawResult> answers_;
};

MakeBackend eager() {
  return [](size_t) -> Result<std::unique_ptr<ReadBackend>> {
    return std::unique_ptr<ReadBackend>(std::make_unique<EagerReads>());
  };
}

constexpr int kReadsOfExpert = 3;  // gate, up, down

// Another file takes the place of the youngest descriptor whose link begins so.
bool take_away(const std::string& link) {
  int youngest = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string to = std::filesystem::read_symlink(entry, ignored);
    if (to.starts_with(link)) youngest = std::max(youngest, std::stoi(entry.path().filename()));
  }
  const int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const bool is_taken = youngest >= 0 && dup2(empty, youngest) == youngest;
  close(empty);
  return is_taken;
}

}  // namespace

TEST_CASE(
    "paged experts: behind a cancellation no read begins, and the next request waits for none") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  ReadLog log;
  Runner runner(page(file.model, all_of(*file.model) / 2, lazy(log)));
  std::vector<TokenRow> rows;
  for (int32_t i = 0; i < 8; ++i) rows.push_back({i * 29 % 256, i, 0, true});
  SequenceState* sequences[] = {runner.state.get()};
  std::atomic<bool> cancel{false};
  size_t n_wanted = 0;
  log.on_read = [&] {
    n_wanted = log.n_waiting;
    cancel = true;
  };
  CHECK(runner.forward->run(rows, sequences, &cancel).cause() == Cause::cancelled);
  CHECK(n_wanted > 2 * kReadsOfExpert);   // much was under way
  CHECK(log.n_done <= kReadsOfExpert);    // the expert that was waited for
  CHECK(log.n_waiting < kReadsOfExpert);  // of no other
  log.on_read = {};

  const int n_before = log.n_done;
  REQUIRE(runner.step(1).ok());
  CHECK(log.n_done - n_before <= 2 * 2 * kReadsOfExpert);  // layers, experts of a token
  for (int i = 0; i < 3; ++i) {
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
  }
}

TEST_CASE("paged experts: what was to be read ahead and is not chosen is not read") {
  const TinyFile file(kManyExperts);
  ReadLog log;
  const Paged paged = page(file.model, all_of(*file.model) / 2, lazy(log));
  ExpertStore& store = *paged.store;
  const auto use = [&](int layer, const std::vector<int32_t>& experts) {
    std::vector<ExpertPin> pins(experts.size());
    REQUIRE(store.request(layer, experts, pins).ok());
    ExpertWeights weights;
    for (const ExpertPin& pin : pins) REQUIRE(store.wait(pin, weights).ok());
    store.release(pins);
  };
  const auto choose = [&](int layer, const std::vector<int32_t>& experts) {
    store.observe({layer, experts, static_cast<int32_t>(experts.size()), 1});
  };
  const auto counters = [&] { return store.statistics()->counters; };
  const auto ahead = [&] { return counters().n_ahead; };
  // Experts that are not there, and predictions that are right until they are believed.
  int32_t next = 0;
  const auto two = [&] { return std::vector<int32_t>{next++ % 64, next++ % 64}; };
  for (int i = 0; i < 60; ++i) {
    choose(0, {0, 1});
    use(0, {0, 1});
    const std::vector<int32_t> named = two();
    if (store.wants_predictions()) store.predict(1, named);
    choose(1, named);
    use(1, named);
  }
  const uint64_t n_ahead = ahead();
  REQUIRE(n_ahead > 0);
  REQUIRE(log.n_waiting == 0);

  choose(0, {0, 1});
  use(0, {0, 1});
  REQUIRE(store.wants_predictions());
  const std::vector<int32_t> unchosen = two(), chosen = two();
  const int n_done = log.n_done;
  const ExpertCounters before = counters();
  store.predict(1, unchosen);
  CHECK(log.n_waiting == 2 * kReadsOfExpert);
  const ExpertCounters between = counters();
  choose(1, chosen);
  CHECK(log.n_waiting == 0);
  CHECK(ahead() == n_ahead);
  // No snapshot is above a later one.
  for (const ExpertCounters& earlier : {before, between}) {
    ExpertCounters difference = counters();
    difference -= earlier;
    CHECK(difference.n_ahead == 0);
    CHECK(difference.bytes_ahead == 0);
    CHECK(difference.n_reads == 0);
  }
  use(1, chosen);
  CHECK(log.n_done - n_done == 2 * kReadsOfExpert);
  use(1, unchosen);
  CHECK(log.n_done - n_done == 4 * kReadsOfExpert);

  choose(0, {0, 1});
  use(0, {0, 1});
  const std::vector<int32_t> half = two();
  store.predict(1, half);
  choose(1, {half[1], 63});  // one of them is chosen
  CHECK(log.n_waiting == kReadsOfExpert);
  CHECK(ahead() == n_ahead + 1);
  use(1, {half[1], 63});
  CHECK(log.n_waiting == 0);
}

namespace {

// Uses a token of 64 experts in each of two layers: layer 1's are used more than layer 0's, and
// higher ones more than lower ones; expert 0 never.
std::vector<float> rising_use() {
  std::vector<float> use(128);
  for (size_t i = 0; i < use.size(); ++i)
    use[i] = static_cast<float>(i % 64) * (i < 64 ? 0.001f : 0.002f);
  return use;
}

}  // namespace

TEST_CASE("paged experts: what earlier runs used most is read before anything is asked for") {
  const TinyFile file(kManyExperts);
  const std::vector<float> expected = mapped_logits(file.model);
  const uint64_t half = all_of(*file.model) / 2;
  const auto counters = [](const Paged& paged) { return paged.store->statistics()->counters; };
  const Paged cold = page(file.model, half, eager()), warm = page(file.model, half, eager());
  warm.store->import_use(rising_use(), 1000);
  CHECK(counters(warm).bytes_read == 0);
  CHECK(warm.store->has(1, 63));
  CHECK(warm.store->has(1, 32));
  CHECK(!warm.store->has(1, 0));
  Runner one(cold), other(warm);
  REQUIRE((one.step().ok() && other.step().ok()));
  CHECK(one.logits() == expected);
  CHECK(other.logits() == expected);
  CHECK(counters(cold).bytes_warmed == 0);
  CHECK(counters(warm).bytes_warmed > half * 9 / 10);
  CHECK(counters(warm).n_hits > 0);
  CHECK(counters(warm).bytes_read < counters(cold).bytes_read);
  CHECK(counters(warm).n_reads == kReadsOfExpert * counters(warm).n_misses);
  // Not again, and not where something was used already.
  warm.store->import_use(rising_use(), 1000);
  cold.store->import_use(rising_use(), 1000);
  CHECK(!cold.store->has(1, 63) + !cold.store->has(0, 63) > 0);
}

TEST_CASE("paged experts: the first request ends the reading of what earlier runs used") {
  const TinyFile file(kManyExperts);
  const std::vector<float> expected = mapped_logits(file.model);
  ReadLog log;
  const Paged paged = page(file.model, all_of(*file.model) / 2, lazy(log));
  paged.store->import_use(rising_use(), 1000);
  const size_t n_warming = log.n_waiting;
  CHECK(n_warming >= kReadsOfExpert * size_t{50});
  Runner runner(paged);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
    CHECK(log.n_waiting == 0);
  }
  const ExpertCounters counters = paged.store->statistics()->counters;
  CHECK(counters.bytes_warmed == 0);
  CHECK(static_cast<size_t>(log.n_done) < n_warming);
}

TEST_CASE("paged experts: one read that fails keeps nobody waiting for the others") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  ReadLog log;
  bool fails = false;
  const MakeBackend inner = lazy(log);
  const MakeBackend failing = [&](size_t capacity) -> Result<std::unique_ptr<ReadBackend>> {
    const auto fate = [&](const RawRead&) { return ReadFate{fails ? -EIO : 0, 0}; };
    return std::unique_ptr<ReadBackend>(
        std::make_unique<FaultReads>(std::move(*inner(capacity)), fate, false));
  };
  Runner runner(page(file.model, floor_of(*file.model), failing));
  for (int i = 0; i < 3; ++i) {
    fails = true;
    CHECK(runner.step().cause() == Cause::io);
    fails = false;
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
    CHECK(log.n_waiting == 0);
  }
}

namespace {

constexpr size_t kReads = 2000, kBytesOfRead = size_t{1} << 20;

// Closes reads when many were submitted. Whether the last of them was not begun: it was, if this
// thread stood still for as long as all of them take.
bool closes_before_last(ReadBackend& reads, int descriptor, const std::function<void()>& close) {
  std::vector<char> bytes(kBytesOfRead), behind(1);
  std::vector<RawRead> wanted;
  for (uint32_t i = 0; i < kReads; ++i)
    wanted.push_back({descriptor, i, kBytesOfRead, i + 1 < kReads, 0,
                      reinterpret_cast<std::byte*>(bytes.data())});
  wanted.back().n_bytes = 1;
  wanted.back().to = reinterpret_cast<std::byte*>(behind.data());
  reads.submit(wanted);
  close();
  std::fill(bytes.begin(), bytes.end(), 'y');  // nobody writes any more
  CHECK(std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 'y'; }));
  return behind[0] == 0;
}

}  // namespace

TEST_CASE("reads: closing waits for those under way, and begins no other") {
  constexpr int kTries = 10;
  const TemporaryDirectory folder;
  const std::string path = folder.write("data", std::string(kBytesOfRead, 'x'));
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(descriptor >= 0);
  for (const bool is_uring : {false, true}) {
    bool is_last_left = false;
    for (int i = 0; i < kTries && !is_last_left; ++i) {
      auto reads = is_uring ? make_uring_reads(2, kReads) : make_thread_reads(2, kReads);
      is_last_left =
          !reads.ok() || closes_before_last(**reads, descriptor, [&] { reads->reset(); });
      if (!reads.ok()) MESSAGE("skipped: " << reads.status().to_string());
    }
    CHECK(is_last_left);
  }
  close(descriptor);
}

TEST_CASE("paged experts: a ring that is taken away is an error, and nothing hangs") {
  if (!make_uring_reads(4, 1).ok()) {
    MESSAGE("skipped: no io_uring here");
    return;
  }
  const TinyFile file;
  Runner runner(page(file.model, floor_of(*file.model), uring(4)));
  REQUIRE(runner.step().ok());
  REQUIRE(take_away("anon_inode:[io_uring]"));
  for (int i = 0; i < 2; ++i) CHECK(runner.step().cause() == Cause::io);
}

TEST_CASE("paged experts: descriptors that are taken away while a pass runs fail that pass") {
  const TinyFile file;
  ReadLog log;
  Runner runner(page(file.model, floor_of(*file.model), lazy(log)));
  REQUIRE(runner.step().ok());
  bool is_taken = false;
  log.on_read = [&] { is_taken = is_taken || take_away(file.path); };
  const Status status = runner.step();
  CHECK(is_taken);
  CHECK((status.cause() == Cause::io || status.cause() == Cause::truncated ||
         status.cause() == Cause::changed));
}

// What goes wrong with a read is an error of that request alone; the next one is right.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

size_t n_descriptors() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

// The last that was opened of a file; -1: none is.
int youngest_descriptor(const std::string& path) {
  int youngest = -1;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry, ignored) == path)
      youngest = std::max(youngest, std::stoi(entry.path().filename()));
  }
  return youngest;
}

}  // namespace

TEST_CASE("paged experts: interrupted, short and once failing reads are gone on with") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  int n = 0;
  std::set<uint64_t> failed, cut;
  const std::vector<FaultReads::Fate> fates = {
      [&n](const RawRead&) {
        return ReadFate{++n % 2 ? -EINTR : 0, 0};
      },
      [&n](const RawRead&) {
        return ReadFate{++n % 2 ? -EAGAIN : 0, 0};
      },
      [&failed](const RawRead& read) {
        return ReadFate{failed.insert(read.offset).second ? -EIO : 0, 0};
      },
      [](const RawRead&) {
        return ReadFate{0, 4096};
      },
      [&cut](const RawRead& read) {
        return ReadFate{0, cut.insert(read.offset).second ? 1000U : 0U};
      }};
  for (const FaultReads::Fate& fate : fates) {
    n = 0;
    Runner runner(page(file.model, floor_of(*file.model), faulty(fate, false)));
    for (int i = 0; i < 3; ++i) {
      const Status status = runner.step();
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      CHECK(runner.logits() == expected);
    }
  }
  CHECK(!failed.empty());
  CHECK(!cut.empty());
}

TEST_CASE("paged experts: any read that fails is that request's error, and the next one is right") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  const size_t n_open = n_descriptors();
  for (const bool reorders : {false, true}) {
    for (int n_th = 0; n_th < 60; ++n_th) {
      CAPTURE(n_th);
      int n = 0;
      bool is_broken = true;
      uint64_t bad_offset = 0;
      // The disk has one bad place: it fails as often as it is read.
      const auto fate = [&](const RawRead& read) {
        if (n++ == n_th) bad_offset = read.offset;
        const bool is_bad = is_broken && bad_offset != 0 && read.offset == bad_offset;
        return ReadFate{is_bad ? -EIO : 0, 0};
      };
      Runner runner(page(file.model, floor_of(*file.model), faulty(fate, reorders)), 1);
      const Status status = runner.step();
      if (bad_offset == 0) break;  // fewer reads than that
      CHECK(status.cause() == Cause::io);
      CHECK(status.to_string().find("expert") != std::string::npos);
      CHECK(status.to_string().find(file.path) != std::string::npos);
      is_broken = false;
      for (int i = 0; i < 2; ++i) {
        REQUIRE(runner.step().ok());
        CHECK(runner.logits() == expected);
      }
    }
  }
  CHECK(n_descriptors() == n_open);
}

TEST_CASE("paged experts: a file that ends is truncated, one rewritten is changed") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  const Paged paged = page(file.model, floor_of(*file.model), threads(2));
  Runner runner(paged);
  REQUIRE(runner.step().ok());
  const auto size = std::filesystem::file_size(file.path);

  SUBCASE("cut short") {
    std::filesystem::resize_file(file.path, size / 2);
    CHECK(runner.step().cause() == Cause::truncated);
    CHECK(runner.step().cause() == Cause::truncated);
  }
  SUBCASE("written to") {
    std::fstream out(file.path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<long>(size) - 100);
    out << "other weights";
    out.close();
    CHECK(runner.step().cause() == Cause::changed);
  }
  SUBCASE("replaced: the file that was opened is still there") {
    file.folder.write("other.gguf", "something else");
    std::filesystem::rename(file.folder.path("other.gguf"), file.path);
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
    // Who comes now would get another file.
    const auto store =
        make_paged_expert_store(*file.model, {floor_of(*file.model), threads(2), {}});
    REQUIRE(!store.ok());
    CHECK((store.status().cause() == Cause::truncated || store.status().cause() == Cause::changed));
  }
}

TEST_CASE("paged experts: a read that is put off for ever is an error") {
  const TinyFile file;
  bool is_busy = true;
  const auto fate = [&is_busy](const RawRead&) { return ReadFate{is_busy ? -EAGAIN : 0, 0}; };
  Runner runner(page(file.model, floor_of(*file.model), faulty(fate, false)));
  CHECK(runner.step().cause() == Cause::io);
  is_busy = false;
  REQUIRE(runner.step().ok());
  CHECK(runner.logits() == mapped_logits(file.model));
}

TEST_CASE("paged experts: a descriptor that is taken away is an error, no crash") {
  const TinyFile file;
  int pipe_ends[2] = {};
  REQUIRE(pipe(pipe_ends) == 0);
  REQUIRE(write(pipe_ends[1], "x", 1) == 1);
  const int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (const MakeBackend& backend : {threads(2), uring(4)}) {
    if (!backend(1).ok()) {
      MESSAGE("skipped: no io_uring here");
      continue;
    }
    for (const int other : {empty, pipe_ends[0]}) {
      Runner runner(page(file.model, floor_of(*file.model), backend));
      REQUIRE(runner.step().ok());
      const int ours = youngest_descriptor(file.path);
      REQUIRE(ours >= 0);
      REQUIRE(dup2(other, ours) == ours);
      const Status status = runner.step();
      CHECK((status.cause() == Cause::io || status.cause() == Cause::truncated ||
             status.cause() == Cause::changed));
    }
  }
  // What somebody else waits for is still there.
  char byte = 0;
  CHECK(read(pipe_ends[0], &byte, 1) == 1);
  for (const int end : {empty, pipe_ends[0], pipe_ends[1]}) close(end);
}

TEST_CASE("paged experts: cancelling between arrivals leaves everything usable") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  std::atomic<bool> cancel{false};
  int n = 0;
  const auto fate = [&](const RawRead&) {
    if (++n == 7) cancel = true;
    return ReadFate{};
  };
  Runner runner(page(file.model, floor_of(*file.model), faulty(fate, true)));
  std::vector<TokenRow> rows;
  for (int32_t i = 0; i < 8; ++i) rows.push_back({i * 29 % 256, i, 0, true});
  SequenceState* sequences[] = {runner.state.get()};
  CHECK(runner.forward->run(rows, sequences, &cancel).cause() == Cause::cancelled);
  REQUIRE(runner.step().ok());
  CHECK(runner.logits() == expected);
}

// Every allocation from a file to its first tokens fails once, or with all that follow it: an
// error, never an exception, and never the end of the program.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/chat.h"
#include "runtime/session/generation.h"
#include "runtime/session/session.h"
#include "tests/failing_allocations.h"
#include "tests/paged_model.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

using runtime::Chat;
using runtime::ChatOptions;
using runtime::Model;
using runtime::Session;
using runtime::SessionOptions;
using runtime::TokenRow;

constexpr int kMostAllocations = 200'000;

// Calls `attempt` with the first, second, ... allocation failing, until none is reached. Answers
// how many there were.
template <class Attempt>
int each_failure(Exhaustion mode, const Attempt& attempt) {
  for (int n = 0; n < kMostAllocations; ++n) {
    n_left = n;
    exhaustion = mode;
    Status status;
    bool has_thrown = false;
    try {
      status = attempt();
    } catch (...) {
      has_thrown = true;
    }
    exhaustion = Exhaustion::none;
    const bool was_reached = n_left < 0;
    CAPTURE(n);
    REQUIRE(!has_thrown);
    if (!was_reached) {
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      return n;
    }
    // What is only a convenience may be gone without without an error.
    if (!status.ok()) REQUIRE_MESSAGE(status.cause() == Cause::out_of_memory, status.to_string());
  }
  FAIL("too many allocations");
  return 0;
}

SessionOptions small_session() {
  SessionOptions options;
  options.n_ctx = 16;
  options.n_threads = 2;
  return options;
}

Status open_and_append(const std::string& path) {
  const auto model = Model::open(path);
  if (!model) return model.status();
  const auto session = Session::create(*model, small_session());
  if (!session) return session.status();
  const formats::TokenId tokens[] = {1, 2, 3, 4, 5, 6, 7, 8};
  return (*session)->append(tokens);
}

void check_path(const std::string& path) {
  for (const Exhaustion mode : {Exhaustion::once, Exhaustion::for_good}) {
    CHECK(each_failure(mode, [&path] { return open_and_append(path); }) > 100);
  }
}

// Reads that all fail while `fails`, without taking memory.
class BrokenReads final : public runtime::ReadBackend {
 public:
  BrokenReads(std::unique_ptr<ReadBackend> inner, size_t capacity, const bool& fails)
      : inner_(std::move(inner)), failed_(capacity), fails_(fails) {}
  const char* name() const noexcept override { return "broken"; }
  int n_lanes() const noexcept override { return inner_->n_lanes(); }
  void submit(std::span<const runtime::RawRead> reads) noexcept override {
    if (!fails_) return inner_->submit(reads);
    for (const runtime::RawRead& read : reads) failed_[n_failed_++] = read.id;
  }
  void hurry(uint32_t id) noexcept override { inner_->hurry(id); }
  bool take_back(std::span<const uint32_t>) noexcept override { return false; }
  size_t collect(std::span<runtime::RawResult> results, bool waits) noexcept override {
    if (n_failed_ == 0) return inner_->collect(results, waits);
    results[0] = {failed_[--n_failed_], -EIO, 0};
    return 1;
  }

 private:
  std::unique_ptr<ReadBackend> inner_;
  std::vector<uint32_t> failed_;  // the first n_failed_
  size_t n_failed_ = 0;
  const bool& fails_;
};

}  // namespace

TEST_CASE("memory: an expert that cannot be read is an error, also where it cannot be told") {
  const TinyFile file;
  bool fails = false;
  const MakeBackend broken =
      [&fails](size_t capacity) -> Result<std::unique_ptr<runtime::ReadBackend>> {
    auto inner = runtime::make_thread_reads(2, capacity);
    if (!inner) return inner.status();
    return std::unique_ptr<runtime::ReadBackend>(
        std::make_unique<BrokenReads>(std::move(*inner), capacity, fails));
  };
  const std::vector<float> expected = mapped_logits(file.model);
  Runner runner(page(file.model, floor_of(*file.model), broken));
  std::vector<TokenRow> rows;
  for (int32_t i = 0; i < 8; ++i) rows.push_back({i * 29 % 256, i, 0, true});
  runtime::SequenceState* sequences[] = {runner.state.get()};
  bool is_told = false;
  for (int n = 0; n < 1000 && !is_told; ++n) {
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
    runner.state->truncate(0);
    fails = true;
    n_left = n;
    exhaustion = Exhaustion::for_good;
    const Status status = runner.forward->run(rows, sequences);
    exhaustion = Exhaustion::none;
    fails = false;
    CHECK((status.cause() == Cause::io || status.cause() == Cause::out_of_memory));
    is_told = n_left > 0;
  }
  CHECK(is_told);
}

TEST_CASE("memory: each allocation from a golden's file to its logits may fail") {
  const std::string path = std::string(LARDER_SHARED_DIR) + "/goldens/gpt-oss-mxfp4/model.gguf";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no ", path);
    return;
  }
  check_path(path);
}

TEST_CASE("memory: each allocation of a small model may fail") {
  const OpenedModel opened = open_model(tiny_model());
  REQUIRE(opened.model.ok());
  const formats::TokenId tokens[] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const Exhaustion mode : {Exhaustion::once, Exhaustion::for_good}) {
    const int n = each_failure(mode, [&]() -> Status {
      const auto session = Session::create(*opened.model, small_session());
      if (!session) return session.status();
      return (*session)->append(tokens);
    });
    CHECK(n > 10);
  }
}

TEST_CASE("memory: a step allocates nothing") {
  const OpenedModel opened = open_model(tiny_model());
  REQUIRE(opened.model.ok());
  const auto session = Session::create(*opened.model, small_session());
  REQUIRE(session.ok());
  const formats::TokenId tokens[] = {1, 2, 3};
  REQUIRE((*session)->append(tokens).ok());
  n_left = 0;
  exhaustion = Exhaustion::for_good;
  const Status status = (*session)->append(tokens);
  exhaustion = Exhaustion::none;
  CHECK(status.ok());
  CHECK(n_left == 0);
}

TEST_CASE("memory: each allocation of a conversation may fail, and the next one answers") {
  const auto model =
      Model::open(std::string(LARDER_SOURCE_DIR) + "/apps/models/storyteller-q4.gguf");
  REQUIRE(model.ok());
  SessionOptions options;
  options.n_ctx = 128;
  options.n_threads = 1;
  const auto session = Session::create(*model, options);
  REQUIRE(session.ok());
  ChatOptions chat_options;
  chat_options.sampler.temperature = 0;
  chat_options.generation.max_tokens = 4;
  for (const Exhaustion mode : {Exhaustion::once, Exhaustion::for_good}) {
    const int n = each_failure(mode, [&]() -> Status {
      const auto chat = Chat::create(**session, chat_options);
      if (!chat) return chat.status();
      return (*chat)->say("Hello!", {}, {}).status();
    });
    CHECK(n > 50);
  }
}

}  // namespace larder::tests

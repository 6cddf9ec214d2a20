// Every allocation from a file to its first tokens fails once, or with all that follow it: an
// error, never an exception, and never the end of the program.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/session/chat.h"
#include "runtime/session/generation.h"
#include "runtime/session/session.h"
#include "tests/tiny_model.h"

namespace {

enum class Exhaustion { none, once, for_good };
std::atomic<Exhaustion> exhaustion = Exhaustion::none;
std::atomic<int64_t> n_left = 0;  // allocations until the failure

bool fails() noexcept {
  const Exhaustion mode = exhaustion.load(std::memory_order_relaxed);
  if (mode == Exhaustion::none) return false;
  const int64_t before = n_left.fetch_sub(1, std::memory_order_relaxed);
  return before == 0 || (before < 0 && mode == Exhaustion::for_good);
}

}  // namespace

void* operator new(size_t size) {
  if (!fails()) {
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  }
  throw std::bad_alloc();
}
void* operator new(size_t size, std::align_val_t alignment) {
  const auto step = static_cast<size_t>(alignment);
  if (!fails()) {
    if (void* memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace larder::tests {
namespace {

using runtime::Chat;
using runtime::ChatOptions;
using runtime::Model;
using runtime::Session;
using runtime::SessionOptions;

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

}  // namespace

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

// Every call of the system from opening a model to 32 tokens fails, once or with all behind it: a
// status each, no descriptor is left, and afterwards sessions have the right bits.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/api_attempt.h"
#include "tests/api_objects.h"
#include "tests/failing_calls.h"
#include "tests/paged_api_model.h"
#include "tests/paged_model.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

constexpr int kMostCalls = 20'000;
constexpr int32_t kTokens[] = {1, 2, 3};

size_t n_entries(const std::string& folder) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

// Fails the call of each number in `attempt`, which answers a status with its error in `opened`.
// Answers how many calls there were.
template <class Attempt, class Check>
int each_failure(Breakdown mode, const Attempt& attempt, const Check& check_use) {
  const size_t n_descriptors = n_entries("/proc/self/fd");
  for (int n = 0; n < kMostCalls; ++n) {
    bool was_reached = false;
    {
      Opened opened;
      n_calls_left = n;
      breakdown = mode;
      const larder_status status = attempt(opened);
      breakdown = Breakdown::none;
      was_reached = n_calls_left < 0;
      CAPTURE(n);
      CAPTURE(std::string(larder_error_message(opened.error)));
      REQUIRE(larder_error_status(opened.error) == status);
      if (!was_reached) REQUIRE(status == LARDER_OK);
      // What is read ahead, or looked up for convenience, may be gone without.
      REQUIRE((status == LARDER_OK || status == LARDER_IO || status == LARDER_OUT_OF_MEMORY));
      check_use(opened);
    }
    REQUIRE(n_entries("/proc/self/fd") == n_descriptors);
    if (!was_reached) return n;
  }
  FAIL("too many calls");
  return 0;
}

std::vector<float> logits_of_tokens(larder_session* session) {
  larder_error* raw = nullptr;
  const larder_status status = larder_session_continue_as(session, kTokens, 3, nullptr, &raw);
  const ApiError error(raw);
  REQUIRE_MESSAGE(status == LARDER_OK, larder_error_message(raw));
  return api_logits(session);
}

}  // namespace

TEST_CASE("C library: each call of the system from a file to 32 tokens may fail") {
  const TemporaryDirectory folder;
  const PagedApiModel paged(folder);
  const std::string path = folder.path("paged.gguf");
  const std::vector<float> expected = logits_of_tokens(open_api_session(paged.model).get());
  const auto check_use = [&](const Opened& opened) {
    if (opened.session != nullptr) CHECK(logits_of_tokens(opened.session) == expected);
  };
  struct Row {
    int64_t ram_bytes, n_threads;
    int n_least;
  };
  for (const Row& row : {Row{-1, 1, 5}, Row{-1, 3, 5}, Row{paged.ram_bytes, 1, 100}}) {
    for (const Breakdown mode : {Breakdown::once, Breakdown::for_good}) {
      const int n_calls = each_failure(
          mode,
          [&](Opened& opened) {
            return open_and_generate(path, opened, row.ram_bytes, row.n_threads);
          },
          check_use);
      MESSAGE(n_calls, " calls, ", row.n_threads, " threads, ",
              std::string(row.ram_bytes < 0 ? "mapped" : "paged"));
      CHECK(n_calls >= row.n_least);
    }
  }
}

TEST_CASE("C library: a thread that the system lets start no others computes alone") {
  if (std::thread::hardware_concurrency() < 2) {
    MESSAGE("skipped: one processor runs one thread");
    return;
  }
  const TemporaryDirectory folder;
  const ApiModel model = open_api_model(folder.write("model.gguf", tiny_model().build()));
  const ApiOptions options = new_options({{LARDER_OPTION_THREADS, 3}});
  const ApiSession session = open_api_session(model, options.get());
  const std::vector<float> expected = logits_of_tokens(session.get());
  larder_status status = LARDER_INTERNAL;
  std::thread other([&] {
    (void)larder_session_rewind(session.get(), 0, nullptr, nullptr);
    n_calls_left = 0;
    spares_openmp = false;
    breakdown = Breakdown::for_good;
    status = larder_session_prefill(session.get(), kTokens, 3, nullptr);
    breakdown = Breakdown::none;
    spares_openmp = true;
  });
  other.join();
  CHECK(status == LARDER_OK);
  CHECK(n_calls_left < 0);
  CHECK(api_logits(session.get()) == expected);
}

TEST_CASE("C library: each call of the system that saves and restores a session may fail") {
  const TemporaryDirectory folder, saved;
  const ApiModel model = open_api_model(folder.write("model.gguf", tiny_model().build()));
  const ApiSession session = open_api_session(model), other = open_api_session(model);
  const std::vector<float> expected = logits_of_tokens(session.get());
  const std::string path = saved.path("session");
  for (const Breakdown mode : {Breakdown::once, Breakdown::for_good}) {
    const int n_calls = each_failure(
        mode,
        [&](Opened& opened) {
          const larder_status status =
              larder_session_save_file(session.get(), path.data(), path.size(), &opened.error);
          return status != LARDER_OK ? status
                                     : larder_session_restore_file(other.get(), path.data(),
                                                                   path.size(), &opened.error);
        },
        [&](const Opened&) {
          CHECK(api_logits(session.get()) == expected);
          CHECK(logits_of_tokens(other.get()) == expected);
          CHECK(n_entries(saved.path("")) <= 1);  // whole, or not at all
          std::filesystem::remove(path);
        });
    CHECK(n_calls > 5);
  }
}

TEST_CASE("paged experts: each call of io_uring may fail, and another store reads") {
  if (!runtime::make_uring_reads(4, 1).ok()) {
    MESSAGE("skipped: no io_uring here");
    return;
  }
  const TinyFile file(kManyExperts);
  const std::vector<float> expected = mapped_logits(file.model);
  for (const Breakdown mode : {Breakdown::once, Breakdown::for_good}) {
    int n = 0;
    for (bool was_reached = true; was_reached; ++n) {
      Runner runner(page(file.model, floor_of(*file.model), uring(4)));
      n_calls_left = n;
      breakdown = mode;
      const Status status = runner.step();
      breakdown = Breakdown::none;
      was_reached = n_calls_left < 0;
      CAPTURE(status.to_string());
      REQUIRE((status.ok() || status.cause() == Cause::io));
      if (!was_reached) REQUIRE(status.ok());
      if (status.ok()) CHECK(runner.logits() == expected);
    }
    CHECK(n > 10);
  }
}

}  // namespace larder::tests

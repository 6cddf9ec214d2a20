// Sessions on one model, opened and used on several threads at once, equal their solo runs to the
// bit; and opening and closing leaves nothing behind.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/api_objects.h"
#include "tests/paged_api_model.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

using Clock = std::chrono::steady_clock;

// FNV-1a, over the bits.
uint64_t hash_of(uint64_t hash, const void* data, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; ++i)
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
  return hash;
}

// What one session of this number says and thinks on its way: text of a conversation, then logits.
// 0 after an error. Uses no doctest: it runs on any thread.
uint64_t solo_run(const larder_model* model, int number) {
  larder_options* options = nullptr;
  larder_session* session = nullptr;
  larder_messages* messages = nullptr;
  larder_answer* answer = nullptr;
  uint64_t hash = 0;
  const std::string said = "Tell me a story about " + std::to_string(number) + " frogs.";
  const float* logits = nullptr;
  const char* text = nullptr;
  size_t n_logits = 0, n_text = 0;
  if (larder_options_new(&options, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_SEED, number, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_THREADS, 1, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_CONTEXT_SIZE, 128, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_MAX_TOKENS, 8 + number % 9, nullptr) ==
          LARDER_OK &&
      larder_session_open(model, options, &session, nullptr) == LARDER_OK &&
      larder_messages_new(&messages, nullptr) == LARDER_OK &&
      larder_messages_add(messages, "user", 4, said.data(), said.size(), nullptr) == LARDER_OK &&
      larder_session_chat(session, messages, options, nullptr, nullptr, &answer, nullptr) ==
          LARDER_OK &&
      larder_answer_text(answer, LARDER_PART_ANSWER, &text, &n_text, nullptr) == LARDER_OK &&
      larder_session_logits(session, &logits, &n_logits, nullptr) == LARDER_OK) {
    hash = hash_of(hash_of(1469598103934665603u, text, n_text), logits, n_logits * sizeof(float));
  }
  larder_answer_free(answer);
  larder_messages_free(messages);
  (void)larder_session_close(session);
  larder_options_free(options);
  return hash;
}

size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

int open_descriptors() {
  int n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

}  // namespace

TEST_CASE("C library: sessions of several threads equal their solo runs to the bit") {
  const ApiModel model = open_api_model();
  std::vector<uint64_t> expected(LARDER_SESSIONS);
  for (int i = 0; i < LARDER_SESSIONS; ++i) {
    expected[static_cast<size_t>(i)] = solo_run(model.get(), i);
    REQUIRE(expected[static_cast<size_t>(i)] != 0);
  }
  std::atomic<int> n_differing{0}, n_runs{0};
  const Clock::time_point end = Clock::now() + std::chrono::seconds(LARDER_SESSION_SECONDS);
  std::vector<std::thread> threads;
  for (int t = 0; t < LARDER_SESSION_THREADS; ++t) {
    threads.emplace_back([&, t] {
      // Each thread has its own share of the sessions; once around at least.
      bool goes_on = true;
      while (goes_on) {
        for (int i = t; i < LARDER_SESSIONS; i += LARDER_SESSION_THREADS) {
          if (solo_run(model.get(), i) != expected[static_cast<size_t>(i)]) ++n_differing;
          ++n_runs;
        }
        goes_on = Clock::now() < end;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(n_differing == 0);
  CHECK(n_runs >= LARDER_SESSIONS);
  MESSAGE(n_runs.load(), " runs of ", LARDER_SESSIONS, " sessions on ", LARDER_SESSION_THREADS,
          " threads");
}

TEST_CASE("C library: a session outlives its model, and models share a file") {
  ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model);
  const std::vector<int32_t> ids = api_tokens(model, "Once upon a time");
  model.reset();
  CHECK(larder_session_prefill(session.get(), ids.data(), ids.size(), nullptr) == LARDER_OK);
}

TEST_CASE("C library: opening and closing leaves no memory and no descriptor") {
  const TemporaryDirectory folder;
  const PagedApiModel paged(folder);
  const std::string path = folder.path("paged.gguf");
  const auto cycle = [&](int i) {
    const ApiModel model = open_api_model(path);
    const ApiSession session = open_api_session(model, i % 8 == 0 ? paged.options.get() : nullptr);
    REQUIRE(larder_session_step(session.get(), 1, nullptr) == LARDER_OK);
  };
  const int n_cycles = LARDER_OPEN_CYCLES;
  for (int i = 0; i < n_cycles / 10; ++i) cycle(i);  // until heaps have their size
  const size_t before = resident_bytes();
  const int n_before = open_descriptors();
  for (int i = 0; i < n_cycles; ++i) cycle(i);
  const auto grown = static_cast<double>(resident_bytes()) - static_cast<double>(before);
  MESSAGE(n_cycles, " cycles, bytes a cycle: ", grown / n_cycles);
  CHECK(open_descriptors() == n_before);
  // R16: at most 1 KiB each, and what one heap may be fragmented by in the end.
  CHECK(grown <= 1024.0 * n_cycles + (4 << 20));
}

}  // namespace larder::tests

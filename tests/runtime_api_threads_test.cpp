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

// A conversation of this number: its text, and the logits behind it. 0 after an error. This and the
// following use no doctest: they run on any thread.
uint64_t talk(larder_session* session, int number) {
  larder_options* options = nullptr;
  larder_messages* messages = nullptr;
  larder_answer* answer = nullptr;
  uint64_t hash = 0;
  const std::string said = "Tell me a story about " + std::to_string(number) + " frogs.";
  const float* logits = nullptr;
  const char* text = nullptr;
  size_t n_logits = 0, n_text = 0;
  if (larder_options_new(&options, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_SEED, number, nullptr) == LARDER_OK &&
      larder_options_set_integer(options, LARDER_OPTION_MAX_TOKENS, 8 + number % 9, nullptr) ==
          LARDER_OK &&
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
  larder_options_free(options);
  return hash;
}

// Tokens of this number, one by one: all logits on the way.
uint64_t read(larder_session* session, int number) {
  constexpr int kTokens = 24;
  uint64_t hash = 1469598103934665603u;
  if (larder_session_rewind(session, 0, nullptr, nullptr) != LARDER_OK) return 0;
  for (int i = 0; i < kTokens; ++i) {
    const float* logits = nullptr;
    size_t n = 0;
    if (larder_session_step(session, (i * 37 + number * 11) % 250, nullptr) != LARDER_OK ||
        larder_session_logits(session, &logits, &n, nullptr) != LARDER_OK)
      return 0;
    hash = hash_of(hash, logits, n * sizeof(float));
  }
  return hash;
}

enum class Way { talks, talks_anew, reads_paged, reads_shared };

// Sessions of four ways, all open at the same time: that talk, that are opened for each talk and
// compute with two threads, whose experts are paged, and copies of one of these, which share them.
class ManySessions {
 public:
  explicit ManySessions(const TemporaryDirectory& folder) : paged_(folder) {
    const ApiSession original = open_api_session(paged_.model, paged_.options.get());
    for (int i = 0; i < LARDER_SESSIONS; ++i) {
      ApiSession& session = sessions_.emplace_back();
      if (way(i) == Way::talks) session = open_api_session(talker_, talk_options(1).get());
      if (way(i) == Way::reads_paged)
        session = open_api_session(paged_.model, paged_.options.get());
      if (way(i) == Way::reads_shared) {
        larder_session* copy = nullptr;
        REQUIRE(larder_session_copy(original.get(), &copy, nullptr) == LARDER_OK);
        session.reset(copy);
      }
    }
  }

  // What a session of this number does when there is no other, with all experts in memory.
  uint64_t alone(int number) const {
    if (way(number) <= Way::talks_anew)
      return talk(open_api_session(talker_, talk_options(1).get()).get(), number);
    return read(open_api_session(paged_.model).get(), number);
  }

  uint64_t run(int number) const noexcept {
    larder_session* const kept = sessions_[static_cast<size_t>(number)].get();
    if (way(number) >= Way::reads_paged) return read(kept, number);
    if (way(number) == Way::talks)
      return larder_session_rewind(kept, 0, nullptr, nullptr) == LARDER_OK ? talk(kept, number) : 0;
    larder_session* anew = nullptr;
    if (larder_session_open(talker_.get(), two_threads_.get(), &anew, nullptr) != LARDER_OK)
      return 0;
    const uint64_t hash = talk(anew, number);
    (void)larder_session_close(anew);
    return hash;
  }

 private:
  static Way way(int number) noexcept { return static_cast<Way>(number % 4); }
  static ApiOptions talk_options(int64_t n_threads) {
    return new_options({{LARDER_OPTION_THREADS, n_threads}, {LARDER_OPTION_CONTEXT_SIZE, 128}});
  }
  ApiModel talker_ = open_api_model();
  ApiOptions two_threads_ = talk_options(2);
  PagedApiModel paged_;
  std::vector<ApiSession> sessions_;
};

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
  const TemporaryDirectory folder;
  const ManySessions sessions(folder);
  std::vector<uint64_t> expected(LARDER_SESSIONS);
  for (int i = 0; i < LARDER_SESSIONS; ++i) {
    expected[static_cast<size_t>(i)] = sessions.alone(i);
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
          if (sessions.run(i) != expected[static_cast<size_t>(i)]) ++n_differing;
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
#if !defined(__SANITIZE_ADDRESS__)
  // R16: at most 1 KiB each, and what one heap may be fragmented by in the end. A sanitizer keeps
  // what is freed, and finds leaks itself.
  CHECK(grown <= 1024.0 * n_cycles + (4 << 20));
#endif
}

}  // namespace larder::tests

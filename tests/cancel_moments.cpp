// Cancels calls of the C library at random moments: how late they return, and whether what is held
// goes on to the same logits.
//   cancel_moments MODEL.gguf [RAM_MIB [MOMENTS]]
// RAM_MIB: what the process may take, 0 for no limit; MOMENTS: of each phase. Answers 1 where a
// call returned later than 250 ms, or a logit differed.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/api/larder.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kLatestMs = 250;
constexpr size_t kPromptTokens = 256;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void expect(larder_status status, larder_error* error, const char* what) {
  if (status == LARDER_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, larder_error_message(error));
  std::exit(2);
}

// Moments of one phase: a call, what cancels it from another thread, and how long it takes.
struct Phase {
  const char* name;
  std::function<larder_status()> call;
  std::function<void()> cancel;
  std::function<bool()> is_right;  // whatever the call left
  double seconds = 0;
};

struct Table {
  int n_wrong = 0, n_late = 0;
};

void run(const Phase& phase, int n_moments, Table& table) {
  std::mt19937 random(11);
  std::vector<double> late_ms;
  int n_right = 0, n_ended = 0;
  for (int i = 0; i < n_moments; ++i) {
    const double delay = std::uniform_real_distribution<double>(0, phase.seconds)(random);
    std::atomic<bool> is_over = false, was_running = false;
    Clock::time_point cancelled;
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
      was_running = !is_over;
      cancelled = Clock::now();
      phase.cancel();
    });
    (void)phase.call();
    const Clock::time_point end = Clock::now();
    is_over = true;
    other.join();
    if (was_running && end > cancelled)
      late_ms.push_back(std::chrono::duration<double>(end - cancelled).count() * 1e3);
    else
      ++n_ended;
    if (phase.is_right()) ++n_right;
  }
  std::sort(late_ms.begin(), late_ms.end());
  const size_t n = late_ms.size();
  const auto of = [&](size_t i) { return n == 0 ? 0.0 : late_ms[std::min(i, n - 1)]; };
  std::printf("%-14s %8.2f %8d %8d %9.2f %9.2f %9.2f %8d\n", phase.name, phase.seconds,
              static_cast<int>(n), n_ended, of(n / 2), of(n * 99 / 100), of(n), n_right);
  std::fflush(stdout);
  table.n_wrong += n_moments - n_right;
  table.n_late += of(n) > kLatestMs ? 1 : 0;
}

class Program {
 public:
  Program(const char* path, int64_t ram_mib, int n_moments)
      : path_(path), n_moments_(n_moments), ids_(kPromptTokens) {
    larder_error* e = nullptr;
    expect(larder_options_new(&options_, &e), e, "options");
    set(LARDER_OPTION_CONTEXT_SIZE, 512);
    set(LARDER_OPTION_IGNORE_END, 1);
    set(LARDER_OPTION_MAX_TOKENS, 64);
    set(LARDER_OPTION_RAM_BYTES, ram_mib > 0 ? ram_mib << 20 : -1);
    expect(larder_options_set_progress(options_, progress, &is_unwanted_, &e), e, "progress");
    expect(load(), nullptr, "load");
    int64_t n_vocab = 0;
    expect(larder_model_number(model_, LARDER_MODEL_N_VOCAB, &n_vocab, &e), e, "vocabulary");
    for (size_t i = 0; i < ids_.size(); ++i)
      ids_[i] = static_cast<int32_t>((i * 7919 + 13) % static_cast<size_t>(n_vocab));
    expect(forget_and_prefill(), nullptr, "prefill");
    expected_ = logits();
  }
  ~Program() {
    close();
    larder_options_free(options_);
  }

  int run_all() {
    int64_t numbers[LARDER_STATISTIC_WAIT_US + 1];
    expect(larder_session_statistics(session_, numbers, LARDER_STATISTIC_WAIT_US + 1, nullptr),
           nullptr, "statistics");
    const bool is_paged = numbers[LARDER_STATISTIC_IS_PAGED] != 0;
    std::printf("%s, %s, %d threads\n", path_, is_paged ? "experts paged" : "mapped",
                static_cast<int>(numbers[LARDER_STATISTIC_THREADS]));
    std::printf("%-14s %8s %8s %8s %9s %9s %9s %8s\n", "phase", "whole s", "moments", "ended",
                "median ms", "99 % ms", "worst ms", "right");
    const std::function<void()> cancel = [this] { larder_session_cancel(session_); };
    const std::function<bool()> goes_on = [this] { return is_right(); };
    Table table;
    close();
    measure({"load", [this] { return load(); }, [this] { is_unwanted_ = true; },
             [this] {
               is_unwanted_ = false;
               const bool is_due = n_checked_++ % 8 == 0;
               if (is_due && session_ == nullptr) expect(load_anew(), nullptr, "load");
               const bool is_well = !is_due || is_right();
               close();
               return is_well;
             }},
            table);
    expect(load(), nullptr, "load");
    (void)is_right();
    measure({"prefill", [this] { return forget_and_prefill(); }, cancel, goes_on}, table);
    measure({"decode", [this] { return generate(); }, cancel, goes_on}, table);
    // Its last pass alone, which reads what the slab does not hold.
    if (is_paged) measure({"paged pass", [this] { return one_step(); }, cancel, goes_on}, table);
    return table.n_wrong + table.n_late > 0 ? 1 : 0;
  }

 private:
  static larder_flow progress(void* user, uint64_t, uint64_t) {
    return *static_cast<std::atomic<bool>*>(user) ? LARDER_CANCEL : LARDER_CONTINUE;
  }
  void set(larder_option option, int64_t value) {
    larder_error* e = nullptr;
    expect(larder_options_set_integer(options_, option, value, &e), e, "option");
  }
  void measure(Phase phase, Table& table) {
    const Clock::time_point start = Clock::now();
    expect(phase.call(), nullptr, phase.name);
    phase.seconds = seconds_since(start);
    (void)phase.is_right();
    run(phase, n_moments_, table);
  }

  void close() {
    (void)larder_session_close(session_);
    (void)larder_model_close(model_);
    session_ = nullptr;
    model_ = nullptr;
  }
  larder_status load() {
    const larder_status status =
        larder_model_open(path_, std::strlen(path_), options_, &model_, nullptr);
    return status != LARDER_OK ? status : larder_session_open(model_, options_, &session_, nullptr);
  }
  larder_status load_anew() {
    close();
    return load();
  }
  larder_status forget_and_prefill() {
    (void)larder_session_rewind(session_, 0, nullptr, nullptr);
    return larder_session_prefill(session_, ids_.data(), ids_.size(), nullptr);
  }
  larder_status generate() {
    const larder_status status =
        larder_session_generate(session_, options_, nullptr, nullptr, nullptr, nullptr);
    return status;
  }
  larder_status one_step() {
    next_ = (next_ * 1103515245 + 12345) % (1U << 31);  // Source: C's example of rand()
    const auto token = static_cast<int32_t>(next_ >> 16);
    return larder_session_step(session_, ids_[static_cast<size_t>(token) % ids_.size()], nullptr);
  }
  std::vector<float> logits() {
    const float* values = nullptr;
    size_t n = 0;
    expect(larder_session_logits(session_, &values, &n, nullptr), nullptr, "logits");
    return {values, values + n};
  }
  bool is_right() {
    larder_session_forget_cancel(session_);
    // A token before the end is computed again, even where all are held.
    size_t n_left = 0;
    const int32_t* held = nullptr;
    expect(larder_session_tokens(session_, &held, &n_left, nullptr), nullptr, "tokens");
    (void)larder_session_rewind(session_, std::min(n_left, ids_.size() - 1), nullptr, nullptr);
    expect(larder_session_continue_as(session_, ids_.data(), ids_.size(), nullptr, nullptr),
           nullptr, "to go on");
    return logits() == expected_;
  }

  const char* path_;
  int n_moments_, n_checked_ = 0;
  uint32_t next_ = 1;
  std::atomic<bool> is_unwanted_ = false;
  std::vector<int32_t> ids_;
  std::vector<float> expected_;
  larder_options* options_ = nullptr;
  larder_model* model_ = nullptr;
  larder_session* session_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: cancel_moments MODEL.gguf [RAM_MIB [MOMENTS]]\n");
    return 2;
  }
  Program program(argv[1], argc > 2 ? std::atoll(argv[2]) : 0, argc > 3 ? std::atoi(argv[3]) : 125);
  return program.run_all();
}

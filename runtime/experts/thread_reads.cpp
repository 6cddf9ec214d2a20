#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "runtime/experts/read_backend.h"
#include "runtime/experts/read_queue.h"

namespace larder::runtime {
namespace {

class ThreadReads final : public ReadBackend {
 public:
  explicit ThreadReads(size_t capacity) : queue_(capacity), answers_(capacity) {}
  ~ThreadReads() override {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    has_work_.notify_all();
    for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
  }

  // False where the system refuses so many.
  bool start(int n_lanes) {
    threads_.reserve(static_cast<size_t>(n_lanes));
    const auto run = [](void* self) -> void* {
      static_cast<ThreadReads*>(self)->work();
      return nullptr;
    };
    // The host's signals are for the host's threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread = {};
    while (n_lanes > 0 && pthread_create(&thread, nullptr, run, this) == 0) {
      threads_.push_back(thread);
      --n_lanes;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return n_lanes == 0;
  }

  const char* name() const noexcept override { return "threads"; }
  int n_lanes() const noexcept override { return static_cast<int>(threads_.size()); }

  void submit(std::span<const RawRead> reads) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      for (const RawRead& read : reads) queue_.push(read);
      n_unanswered_ += reads.size();
    }
    for (size_t i = 0; i < std::min(reads.size(), threads_.size()); ++i) has_work_.notify_one();
  }

  void hurry(uint32_t id) noexcept override {
    const std::lock_guard lock(mutex_);
    queue_.hurry(id);
  }

  bool take_back(std::span<const uint32_t> ids) noexcept override {
    const std::lock_guard lock(mutex_);
    if (!queue_.take_back(ids)) return false;
    n_unanswered_ -= ids.size();
    return true;
  }

  size_t collect(std::span<RawResult> results, bool waits) noexcept override {
    std::unique_lock lock(mutex_);
    if (waits) has_answer_.wait(lock, [this] { return n_answers_ > 0 || n_unanswered_ == 0; });
    const size_t n = std::min(results.size(), n_answers_);
    for (size_t i = 0; i < n; ++i) results[i] = answers_[--n_answers_];
    n_unanswered_ -= n;
    return n;
  }

 private:
  void work() noexcept {
    std::unique_lock lock(mutex_);
    while (true) {
      has_work_.wait(lock, [this] { return is_ending_ || !queue_.is_empty(); });
      if (is_ending_) return;
      const RawRead read = queue_.pop();
      lock.unlock();
      const ssize_t n =
          ::pread(read.descriptor, read.to, read.n_bytes, static_cast<off_t>(read.offset));
      const RawResult answer = {read.id, n < 0 ? -errno : n, read_clock_us()};
      lock.lock();
      answers_[n_answers_++] = answer;
      has_answer_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable has_work_, has_answer_;
  ReadQueue queue_;
  std::vector<RawResult> answers_;  // the first n_answers_
  size_t n_answers_ = 0, n_unanswered_ = 0;
  bool is_ending_ = false;
  std::vector<pthread_t> threads_;
};

}  // namespace

int64_t read_clock_us() noexcept {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<std::unique_ptr<ReadBackend>> make_thread_reads(int n_lanes, size_t capacity) {
  try {
    auto reads = std::make_unique<ThreadReads>(capacity);
    if (!reads->start(n_lanes))
      return Status(Cause::out_of_memory,
                    "the system refuses " + std::to_string(n_lanes) + " threads that read");
    return std::unique_ptr<ReadBackend>(std::move(reads));
  } catch (const std::bad_alloc&) {
    return Status(Cause::out_of_memory, "no memory for a queue of reads");
  }
}

}  // namespace larder::runtime

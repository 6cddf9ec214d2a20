// How the jobs of a grouped matmul are cut into parts for threads. Cuts change the speed only,
// never a bit of the result.
#pragma once

#include <cstdint>
#include <span>

#include "quant/matmul.h"
#include "quant/work_range.h"

namespace larder::quant {

// How a job is cut: into parts of `rows` x `tokens`, rows fastest.
struct Grain {
  int32_t rows = 0, tokens = 0;
  int64_t n_row_parts = 0, n_parts = 0;
};

// Made alike by every thread.
class MatmulCuts {
 public:
  MatmulCuts(Arithmetic arithmetic, std::span<const MatmulJob> jobs, int n_threads) noexcept;

  std::span<const MatmulJob> jobs() const noexcept { return jobs_; }
  Grain cut(const MatmulJob& job) const noexcept;
  int64_t n_parts() const noexcept { return n_parts_; }  // of all jobs
  // The part that a thread begins with, so that each has as much to do; n_parts() for n_threads.
  int64_t first_of(int thread) const noexcept;
  // Parts that a thread takes at once.
  int64_t n_at_once() const noexcept;
  // Whether parts that follow each other in a job may be multiplied as one.
  bool is_streamed(const MatmulJob& job) const noexcept;
  // Whether any job has its weights packed.
  bool packs() const noexcept { return packs_; }

 private:
  std::span<const MatmulJob> jobs_;
  Arithmetic arithmetic_;
  int n_threads_;
  bool packs_ = false;
  int32_t panels_ = 0;  // of a packed part
  int64_t n_parts_ = 0;
  double cost_ = 0;
};

// Finds the job of a part. A thread takes parts in ascending order but for those that it takes from
// others, so this mostly walks on.
class PartCursor {
 public:
  explicit PartCursor(const MatmulCuts& cuts) noexcept : cuts_(&cuts) {}

  struct Found {
    const MatmulJob& job;
    MatmulPart part;
  };
  // REQUIRES: index < n_parts().
  Found find(int64_t index) noexcept;
  // What to do next of `parts`, which begin behind it then: one, or several that may be one.
  // REQUIRES: parts are not empty.
  Found take(ItemRange& parts) noexcept;

 private:
  const MatmulCuts* cuts_;
  Grain grain_;
  size_t next_ = 0;  // job
  int64_t begin_ = 0, end_ = 0;
};

}  // namespace larder::quant

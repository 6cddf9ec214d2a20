// How matrix products are cut for threads: all is there once, and each has as much to do.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "quant/matmul_cuts.h"

namespace larder::quant {
namespace {

// Experts of which some tokens chose these many. Nothing is read of weights and activations.
std::vector<MatmulJob> experts(const std::vector<int32_t>& n_tokens, int32_t n_rows) {
  std::vector<MatmulJob> jobs;
  for (const int32_t n : n_tokens)
    jobs.push_back({{nullptr, Format::q4_k, n_rows, 2048}, {nullptr, n}, {nullptr, 0}});
  return jobs;
}

const std::vector<std::vector<int32_t>> kLoads = {
    {1}, {1, 1, 1, 1, 1, 1, 1, 1}, {8, 0, 3, 1}, {300, 1, 1, 40, 0, 9, 120, 2}, {0, 0}, {512}};

}  // namespace

TEST_CASE("matmul cuts: every row and token is in one part, however parts are taken") {
  for (const Arithmetic arithmetic : {Arithmetic::integer, Arithmetic::exact}) {
    for (const auto& load : kLoads) {
      for (const int64_t n_at_once : {1, 7}) {
        const std::vector<MatmulJob> jobs = experts(load, 200);
        const MatmulCuts cuts(arithmetic, jobs, 3);
        std::vector<int64_t> n_done(jobs.size());
        PartCursor cursor(cuts);
        // the last ones first, as those that are taken from others may be
        for (int64_t end = cuts.n_parts(); end > 0; end -= n_at_once) {
          ItemRange parts{std::max<int64_t>(0, end - n_at_once), end};
          while (parts.n() > 0) {
            const auto [job, part] = cursor.take(parts);
            n_done[static_cast<size_t>(&job - jobs.data())] +=
                int64_t{part.end_row - part.first_row} * (part.end_token - part.first_token);
          }
        }
        for (size_t i = 0; i < jobs.size(); ++i) CHECK(n_done[i] == int64_t{200} * load[i]);
      }
    }
  }
}

TEST_CASE("matmul cuts: threads begin where each has as much to do, not as many parts") {
  const std::vector<MatmulJob> jobs = experts({300, 20, 20, 20, 20, 20, 20, 20, 20, 20}, 7680);
  for (const int n_threads : {1, 2, 4}) {
    const MatmulCuts cuts(Arithmetic::integer, jobs, n_threads);
    CHECK(cuts.first_of(0) == 0);
    CHECK(cuts.first_of(n_threads) == cuts.n_parts());
    PartCursor cursor(cuts);
    for (int thread = 0; thread < n_threads; ++thread) {
      int64_t n_products = 0;
      for (int64_t i = cuts.first_of(thread); i < cuts.first_of(thread + 1); ++i) {
        const MatmulPart part = cursor.find(i).part;
        n_products += int64_t{part.end_row - part.first_row} * (part.end_token - part.first_token);
      }
      const double share = static_cast<double>(n_products) / (7680 * 480) * n_threads;
      CHECK(share > 0.8);  // of an equal one; reading a weight counts, too
      CHECK(share < 1.2);
    }
  }
}

}  // namespace larder::quant

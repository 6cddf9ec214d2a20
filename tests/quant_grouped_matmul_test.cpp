#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "quant/activation_block.h"
#include "quant/dispatch.h"
#include "quant/grouped_matmul.h"
#include "tests/random_weights.h"

namespace larder::quant {
namespace {

constexpr Arithmetic kArithmetics[] = {Arithmetic::integer, Arithmetic::exact};

// A weight matrix with its tokens, in float and rounded.
struct Problem {
  Format format;
  int32_t n_rows, n_cols, n_tokens;
  std::vector<uint8_t> weights;
  std::vector<float> x;
  size_t row_stride;  // of a rounded row, in bytes
  AlignedArray<uint8_t> rounded;
  std::vector<const void*> rows;
  std::vector<float> out;

  Problem(Arithmetic arithmetic, Format f, int32_t rows_, int32_t cols, int32_t tokens,
          uint32_t seed)
      : format(f),
        n_rows(rows_),
        n_cols(cols),
        n_tokens(tokens),
        weights(random_weights(f, rows_, cols, seed)),
        x(static_cast<size_t>(tokens) * static_cast<size_t>(cols)),
        row_stride(activation_row_bytes(activation_for(f, arithmetic), cols)),
        rounded(row_stride * static_cast<size_t>(tokens)),
        out(static_cast<size_t>(tokens) * stride(), 5.0f) {
    std::mt19937 random(seed + 1);
    std::normal_distribution<float> normal;
    for (float& a : x) a = normal(random);
    Parallel one(1);
    one.run([&](Team& team) {
      quantize_rows(team, best_kernels(), activation_for(f, arithmetic), x.data(),
                    static_cast<size_t>(cols), tokens, cols, rounded.data());
    });
    for (int32_t t = 0; t < tokens; ++t) {
      rows.push_back(rounded.data() + static_cast<size_t>(t) * row_stride);
    }
  }
  // Results of a token are followed by floats that nobody may touch.
  size_t stride() const { return static_cast<size_t>(n_rows) + 3; }
  MatmulJob job(int32_t first, int32_t end) {
    return {{weights.data(), format, n_rows, n_cols},
            {rows.data() + first, end - first},
            {out.data() + static_cast<size_t>(first) * stride(), stride()}};
  }
  MatmulJob job() { return job(0, n_tokens); }
};

// One region with as much scratch as the jobs are said to need, and a guard behind it.
void run(const KernelSet& kernels, Arithmetic arithmetic, int n_threads,
         const std::vector<MatmulJob>& jobs) {
  size_t n_bytes = 0;
  for (const MatmulJob& job : jobs) {
    n_bytes = std::max(
        n_bytes, matmul_scratch_bytes(kernels, job.weights.format, job.weights.n_cols, arithmetic));
  }
  constexpr size_t kGuard = 256;
  std::vector<AlignedArray<uint8_t>> areas;
  std::vector<std::byte*> scratch;
  for (int i = 0; i < n_threads; ++i) {
    areas.emplace_back(n_bytes + kGuard);
    std::memset(areas.back().data(), 0xa5, n_bytes + kGuard);
    scratch.push_back(reinterpret_cast<std::byte*>(areas.back().data()));
  }
  Parallel parallel(n_threads);
  parallel.run([&](Team& team) { grouped_matmul(team, {&kernels, arithmetic, scratch}, jobs); });
  for (const AlignedArray<uint8_t>& area : areas) {
    CHECK(std::all_of(area.data() + n_bytes, area.data() + n_bytes + kGuard,
                      [](uint8_t b) { return b == 0xa5; }));
  }
}

// The activation that a rounded row stands for.
double activation(const Problem& p, Arithmetic arithmetic, int32_t t, int32_t k) {
  const void* row = p.rows[static_cast<size_t>(t)];
  switch (activation_for(p.format, arithmetic)) {
    case ActivationFormat::q8_32: {
      const auto& block = static_cast<const ActivationBlock32*>(row)[k / 32];
      return static_cast<double>(block.scale) * block.q[k % 32];
    }
    case ActivationFormat::q8_256: {
      const auto& block = static_cast<const ActivationBlock256*>(row)[k / 256];
      return static_cast<double>(block.scale) * block.q[k % 256];
    }
    default:
      return static_cast<const float*>(row)[k];
  }
}

// Integer kernels round once a block of 32 or 256, and its scales' product; float ones once a step.
// Minimums are subtracted apart from their products, so magnitudes are summed apart, too: a weight
// q d - m is at most |w| + 2 |m| with both parts, and 8 covers the largest quants of any format.
void check_against_double(Problem& p, const KernelSet& kernels, Arithmetic arithmetic) {
  std::vector<float> w(static_cast<size_t>(p.n_cols));
  int n_wrong = 0;
  for (int32_t r = 0; r < p.n_rows; ++r) {
    kernels.vector.dequantize(
        p.format, p.weights.data() + static_cast<size_t>(r) * row_bytes(p.format, p.n_cols),
        p.n_cols, w.data());
    double largest = 0;
    for (float a : w) largest = std::max<double>(largest, std::fabs(a));
    for (int32_t t = 0; t < p.n_tokens; ++t) {
      double exact = 0, magnitude = 0;
      for (int32_t k = 0; k < p.n_cols; ++k) {
        const double x = activation(p, arithmetic, t, k);
        exact += w[static_cast<size_t>(k)] * x;
        magnitude += 8 * largest * std::fabs(x);
      }
      const float got = p.out[static_cast<size_t>(t) * p.stride() + static_cast<size_t>(r)];
      n_wrong += !(std::fabs(got - exact) <= magnitude * (p.n_cols / 16.0 + 8) * 0x1p-24);
    }
  }
  CHECK(n_wrong == 0);
  for (int32_t t = 0; t < p.n_tokens; ++t) {
    for (size_t i = static_cast<size_t>(p.n_rows); i < p.stride(); ++i) {
      CHECK(p.out[static_cast<size_t>(t) * p.stride() + i] == 5.0f);
    }
  }
}

std::vector<std::unique_ptr<Problem>> problems_of_all_formats(Arithmetic arithmetic) {
  std::vector<std::unique_ptr<Problem>> problems;
  uint32_t seed = 1;
  for (const FormatTraits& traits : format_traits()) {
    const int32_t n_cols = traits.block_elements == 1 ? 257 : 2 * traits.block_elements;
    const int32_t n_tokens[] = {0, 1, 3, 4, 21};
    const int32_t n_rows[] = {1, 16, 17, 70, 130};
    const size_t choice = seed % 5;
    for (size_t i = 0; i < 2; ++i) {
      problems.push_back(std::make_unique<Problem>(arithmetic, traits.format,
                                                   n_rows[(choice + i) % 5], n_cols,
                                                   n_tokens[(choice + 3 * i) % 5], seed));
    }
    ++seed;
  }
  return problems;
}

TEST_CASE("grouped matmul: jobs of all formats in one call are right, on every instruction set") {
  for (const KernelSet* kernels : kernel_sets()) {
    if (!is_supported(*kernels)) continue;
    CAPTURE(kernels->name);
    for (Arithmetic arithmetic : kArithmetics) {
      auto problems = problems_of_all_formats(arithmetic);
      std::vector<MatmulJob> jobs;
      for (auto& p : problems) jobs.push_back(p->job());
      run(*kernels, arithmetic, 2, jobs);
      for (auto& p : problems) {
        CAPTURE(find_format(static_cast<int32_t>(p->format))->name);
        CAPTURE(p->n_rows);
        CAPTURE(p->n_tokens);
        check_against_double(*p, *kernels, arithmetic);
      }
    }
  }
}

TEST_CASE("grouped matmul: bits do not depend on threads or on how tokens are split") {
  for (Arithmetic arithmetic : kArithmetics) {
    for (const FormatTraits& traits : format_traits()) {
      CAPTURE(traits.name);
      const int32_t n_cols = std::max(512, traits.block_elements);
      Problem p(arithmetic, traits.format, 150, n_cols, 37, 9);
      run(best_kernels(), arithmetic, 1, {p.job()});
      const std::vector<float> expected = p.out;
      for (int n_threads : {1, 2, 3}) {
        for (int32_t split : {1, 2, 3, 4, 5, 16, 17, 37}) {
          std::fill(p.out.begin(), p.out.end(), 5.0f);
          std::vector<MatmulJob> jobs;
          for (int32_t t = 0; t < p.n_tokens; t += split) {
            jobs.push_back(p.job(t, std::min(t + split, p.n_tokens)));
          }
          run(best_kernels(), arithmetic, n_threads, jobs);
          CHECK(std::memcmp(p.out.data(), expected.data(), expected.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("grouped matmul: more tokens than one pass over float weights takes") {
  for (Format format : {Format::f16, Format::q4_k}) {
    Problem p(Arithmetic::exact, format, 65, 256, 150, 10);
    run(best_kernels(), Arithmetic::exact, 2, {p.job()});
    check_against_double(p, best_kernels(), Arithmetic::exact);
  }
}

TEST_CASE("grouped matmul: float and integer jobs share a thread's scratch") {
  Problem dense(Arithmetic::integer, Format::f16, 200, 256, 9, 11);
  Problem packed(Arithmetic::integer, Format::q4_k, 200, 256, 9, 12);
  std::vector<MatmulJob> jobs;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(i % 2 == 0 ? dense.job() : packed.job());
  }
  run(best_kernels(), Arithmetic::integer, 1, jobs);
  check_against_double(dense, best_kernels(), Arithmetic::integer);
  check_against_double(packed, best_kernels(), Arithmetic::integer);
}

TEST_CASE("grouped matmul: no jobs, and jobs without tokens or rows") {
  run(best_kernels(), Arithmetic::integer, 2, {});
  Problem p(Arithmetic::integer, Format::q4_k, 20, 256, 3, 13);
  MatmulJob no_rows = p.job();
  no_rows.weights.n_rows = 0;
  run(best_kernels(), Arithmetic::integer, 2, {p.job(0, 0), no_rows, p.job(1, 1)});
  CHECK(std::all_of(p.out.begin(), p.out.end(), [](float a) { return a == 5.0f; }));
}

TEST_CASE("quantize_rows: every row as its kernel rounds it, from strided rows") {
  constexpr int32_t kCols = 512, kTokens = 7;
  constexpr size_t kStride = kCols + 9;
  std::vector<float> x(kStride * kTokens);
  std::mt19937 random(14);
  std::normal_distribution<float> normal;
  for (float& a : x) a = normal(random);
  const VectorKernels& v = best_kernels().vector;
  for (ActivationFormat format :
       {ActivationFormat::f32, ActivationFormat::q8_32, ActivationFormat::q8_256}) {
    const size_t bytes = activation_row_bytes(format, kCols);
    AlignedArray<uint8_t> got(bytes * kTokens), expected(bytes);
    Parallel parallel(3);
    parallel.run([&](Team& team) {
      quantize_rows(team, best_kernels(), format, x.data(), kStride, kTokens, kCols, got.data());
    });
    for (size_t t = 0; t < kTokens; ++t) {
      const float* const row = x.data() + t * kStride;
      size_t n_bytes = kCols / 32 * sizeof(ActivationBlock32);
      if (format == ActivationFormat::f32) {
        n_bytes = kCols * sizeof(float);
        std::memcpy(expected.data(), row, n_bytes);
      } else if (format == ActivationFormat::q8_32) {
        v.quantize_q8_32(row, kCols, expected.data());
      } else {
        n_bytes = kCols / 256 * sizeof(ActivationBlock256);
        v.quantize_q8_256(row, kCols, expected.data());
      }
      CHECK(std::memcmp(got.data() + t * bytes, expected.data(), n_bytes) == 0);
    }
  }
}

}  // namespace
}  // namespace larder::quant

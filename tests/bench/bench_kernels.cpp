// Every integer kernel beside the limit that bounds it, measured in the same process on one thread:
//   gemv   one token times a matrix far larger than the caches: GB/s, and share of the bandwidth
//   gemm   8, 32 or 256 tokens times packed panels, packing included: Gop/s, and share of the int8
//          peak
//   panel  the same without packing
//   float  512 tokens times a float matrix, as prefill does it: Gflop/s, "lanes" by the kernels'
//          own order of sums, "tiles" by oneDNN's
// bench_kernels [--benchmark_filter=gemm/avx2/Q4_K ...]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "quant/dense_matmul.h"
#include "quant/dispatch.h"
#include "quant/grouped_matmul.h"
#include "quant/parallel.h"
#include "quant/reference.h"

using namespace larder::quant;

namespace {

constexpr int32_t kCols = 2048;  // as experts of Qwen3-30B-A3B
// 32 tokens an expert are 512 a step; 256 are those of a dense matrix.
constexpr int32_t kTokens[] = {8, 32, 256}, kMostTokens = 256;
constexpr size_t kMatrixBytes = size_t{256} << 20;
constexpr int32_t kPanelMatrixRows = 768;

struct alignas(64) Line {
  std::byte bytes[64];
};
using Buffer = std::vector<Line>;
Buffer buffer(size_t bytes) { return Buffer((bytes + sizeof(Line) - 1) / sizeof(Line)); }
uint8_t* bytes_of(Buffer& b) { return reinterpret_cast<uint8_t*>(b.data()); }

struct Matmul {
  Buffer weights, activations;
  std::vector<const void*> tokens;
  WeightRows rows;

  Matmul(const FormatTraits& traits, int32_t n_rows)
      : weights(buffer(row_bytes(traits.format, kCols) * static_cast<size_t>(n_rows))) {
    const size_t row = row_bytes(traits.format, kCols);
    const size_t activation_row = activation_row_bytes(traits.activation, kCols);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(kCols);
    // 16 different rows, repeated: speed does not depend on the values.
    for (int32_t r = 0; r < n_rows; ++r) {
      uint8_t* out = bytes_of(weights) + static_cast<size_t>(r) * row;
      if (r < 16) {
        for (float& v : x) v = normal(random);
        reference::quantize(traits.format, x.data(), kCols, out);
      } else {
        std::memcpy(out, bytes_of(weights) + static_cast<size_t>(r % 16) * row, row);
      }
    }
    activations = buffer(activation_row * kMostTokens);
    for (size_t t = 0; t < kMostTokens; ++t) {
      for (float& v : x) v = normal(random);
      uint8_t* out = bytes_of(activations) + t * activation_row;
      reference::quantize_activations(traits.activation, x.data(), kCols, out);
      tokens.push_back(out);
    }
    rows = {bytes_of(weights), row, n_rows, kCols};
  }
};

struct Limits {
  double read_bytes_per_s = 0, int8_ops_per_s = 0;
};

// Best of some passes. Processor time, like the figures themselves, so that neighbours on a busy
// machine do not spoil the ratio.
template <class F>
double best_seconds(F&& pass) {
  double best = 1e30;
  for (int i = 0; i < 8; ++i) {
    const std::clock_t start = std::clock();
    pass();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

Limits limits_of(const KernelSet& set) {
  constexpr int64_t kRounds = 10'000'000;
  Buffer memory = buffer(kMatrixBytes);
  std::memset(bytes_of(memory), 1, kMatrixBytes);
  const double read_s =
      best_seconds([&] { benchmark::DoNotOptimize(set.probe.read(memory.data(), kMatrixBytes)); });
  const double int8_s =
      best_seconds([&] { benchmark::DoNotOptimize(set.probe.int8_dots(kRounds)); });
  return {kMatrixBytes / read_s, static_cast<double>(kRounds) * set.probe.ops_per_round / int8_s};
}

void report(benchmark::State& state, double amount, double limit, const char* unit) {
  using benchmark::Counter;
  state.counters[unit] = Counter(amount / 1e9, Counter::kIsIterationInvariantRate);
  state.counters["share"] = Counter(amount / limit, Counter::kIsIterationInvariantRate);
}

void bench_gemv(benchmark::State& state, const KernelSet& set, const FormatTraits& traits,
                const Limits& limits) {
  const auto n_rows = static_cast<int32_t>(kMatrixBytes / row_bytes(traits.format, kCols));
  Matmul m(traits, n_rows);
  std::vector<float> out(static_cast<size_t>(n_rows));
  const MatmulKernels& kernels = *set.matmul[static_cast<int>(traits.format)];
  for (auto _ : state) {
    kernels.gemv(m.rows, {m.tokens.data(), 1}, {out.data(), out.size()});
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(m.rows.row_bytes) * n_rows;
  report(state, bytes, limits.read_bytes_per_s, "GB/s");
}

void bench_gemm(benchmark::State& state, const KernelSet& set, const FormatTraits& traits,
                const Limits& limits, int32_t n_tokens, bool is_packing_timed) {
  constexpr int32_t kPartRows = 4 * kPanelRows;  // packed before they are multiplied
  Matmul m(traits, kPanelMatrixRows);
  const MatmulKernels& kernels = *set.matmul[static_cast<int>(traits.format)];
  const size_t panel_bytes = kernels.panel_bytes(kCols);
  Buffer panels = buffer(panel_bytes * kPartRows / kPanelRows);
  std::vector<float> out(static_cast<size_t>(kPanelMatrixRows * n_tokens));
  const auto rows_from = [&](int32_t first, int32_t n_rows) {
    WeightRows rows = m.rows;
    rows.data += static_cast<size_t>(first) * m.rows.row_bytes;
    rows.n_rows = n_rows;
    return rows;
  };
  const auto pack = [&](int32_t first) {
    for (int32_t r = 0; r < kPartRows; r += kPanelRows) {
      kernels.pack(rows_from(first + r, kPanelRows),
                   bytes_of(panels) + static_cast<size_t>(r / kPanelRows) * panel_bytes);
    }
  };
  pack(0);
  for (auto _ : state) {
    for (int32_t r = 0; r < kPanelMatrixRows; r += kPartRows) {
      if (is_packing_timed) pack(r);
      kernels.gemm(panels.data(), rows_from(r, kPartRows), {m.tokens.data(), n_tokens},
                   {out.data() + r, kPanelMatrixRows}, {});
    }
    benchmark::ClobberMemory();
  }
  report(state, 2.0 * kCols * kPanelMatrixRows * n_tokens, limits.int8_ops_per_s, "Gop/s");
}

struct FloatShape {
  Format format;
  int32_t n_rows, n_cols;
  Arithmetic arithmetic;
};

void bench_float(benchmark::State& state, const KernelSet& set, const FloatShape& shape) {
  constexpr int32_t kPrompt = 512;
  const Matrix matrix = {nullptr, shape.format, shape.n_rows, shape.n_cols};
  Buffer weights = buffer(matrix.bytes());
  const size_t x_bytes = activation_row_bytes(ActivationFormat::f32, shape.n_cols);
  Buffer x = buffer(x_bytes * kPrompt);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<size_t>(shape.n_cols));
  for (int32_t r = 0; r < shape.n_rows; ++r) {
    for (float& v : row) v = normal(random);
    reference::quantize(
        shape.format, row.data(), shape.n_cols,
        bytes_of(weights) + static_cast<size_t>(r) * row_bytes(shape.format, shape.n_cols));
  }
  std::vector<const void*> tokens;
  for (size_t t = 0; t < kPrompt; ++t) {
    std::memcpy(bytes_of(x) + t * x_bytes, row.data(), row.size() * sizeof(float));
    tokens.push_back(bytes_of(x) + t * x_bytes);
  }
  Buffer scratch = buffer(matmul_scratch_bytes(set, shape.format, shape.n_cols, shape.arithmetic));
  std::byte* const scratch_of[] = {scratch.data()->bytes};
  std::vector<float> out(static_cast<size_t>(shape.n_rows) * kPrompt);
  MatmulJob job = {
      matrix, {tokens.data(), kPrompt}, {out.data(), static_cast<size_t>(shape.n_rows)}};
  job.weights.data = bytes_of(weights);
  Parallel one(1);
  if (shape.arithmetic == Arithmetic::exact) prepare_dense_tiles();
  for (auto _ : state) {
    one.run([&](Team& team) {
      grouped_matmul(team, {&set, shape.arithmetic, scratch_of}, {&job, 1});
    });
    benchmark::ClobberMemory();
  }
  state.counters["Gflop/s"] = benchmark::Counter(2e-9 * shape.n_rows * shape.n_cols * kPrompt,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void register_float(const KernelSet& set) {
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    for (const int32_t n_rows : {768, 2048}) {
      for (const Arithmetic way : {Arithmetic::integer, Arithmetic::exact}) {
        const std::string name = "float/" + std::string(set.name) + "/" +
                                 find_format(static_cast<int32_t>(format))->name + "/" +
                                 std::to_string(n_rows) +
                                 (way == Arithmetic::exact ? "/tiles" : "/lanes");
        benchmark::RegisterBenchmark(name.c_str(), bench_float, set,
                                     FloatShape{format, n_rows, kCols, way});
      }
    }
  }
}

void register_set(const KernelSet& set) {
  register_float(set);
  const Limits limits = limits_of(set);
  benchmark::AddCustomContext(std::string(set.name) + " read GB/s",
                              std::to_string(limits.read_bytes_per_s / 1e9));
  benchmark::AddCustomContext(std::string(set.name) + " int8 Gop/s",
                              std::to_string(limits.int8_ops_per_s / 1e9));
  for (const FormatTraits& traits : format_traits()) {
    if (set.matmul[static_cast<int>(traits.format)] == nullptr) continue;
    const std::string name = std::string(set.name) + "/" + traits.name;
    benchmark::RegisterBenchmark(("gemv/" + name).c_str(), bench_gemv, set, traits, limits);
    for (const int32_t n : kTokens) {
      const std::string shape = name + "/" + std::to_string(n);
      benchmark::RegisterBenchmark(("gemm/" + shape).c_str(), bench_gemm, set, traits, limits, n,
                                   true);
      benchmark::RegisterBenchmark(("panel/" + shape).c_str(), bench_gemm, set, traits, limits, n,
                                   false);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const KernelSet* set : kernel_sets()) {
    if (is_supported(*set)) register_set(*set);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

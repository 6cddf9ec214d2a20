// Every integer kernel beside the limit that bounds it, measured in the same process on one thread:
//   gemv   one token times a matrix far larger than the caches: GB/s, and share of the bandwidth
//   gemm   8, 32 or 256 tokens times packed panels, packing included: Gop/s, and share of the int8
//          peak
//   panel  the same without packing
// bench_kernels [--benchmark_filter=gemm/avx2/Q4_K ...]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "quant/dispatch.h"
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
                   {out.data() + r, kPanelMatrixRows});
    }
    benchmark::ClobberMemory();
  }
  report(state, 2.0 * kCols * kPanelMatrixRows * n_tokens, limits.int8_ops_per_s, "Gop/s");
}

void register_set(const KernelSet& set) {
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

// Integer kernels against the double-precision reference, against each other and at odd sizes.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "quant/activation_block.h"
#include "quant/dispatch.h"
#include "quant/reference.h"

using namespace larder::quant;

namespace {

constexpr int32_t kRows[] = {1, 2, 3, 15, 16, 17, 31, 33, 258};
constexpr int32_t kTokens[] = {1, 2, 3, 5, 7, 31, 65};
constexpr int32_t kMostRows = 258, kMostTokens = 65;
constexpr float kUntouched = -12345.5f;

std::vector<const KernelSet*> supported_sets() {
  std::vector<const KernelSet*> sets;
  for (const KernelSet* set : kernel_sets()) {
    if (is_supported(*set)) sets.push_back(set);
  }
  return sets;
}

std::vector<FormatTraits> integer_formats() {
  std::vector<FormatTraits> formats;
  for (const FormatTraits& traits : format_traits()) {
    if (traits.activation != ActivationFormat::f32) formats.push_back(traits);
  }
  return formats;
}

struct alignas(64) Line {
  uint8_t bytes[64];
};

// Weights at an odd address and quantised activations of kMostTokens tokens.
struct Problem {
  FormatTraits traits;
  int32_t n_cols;
  std::vector<uint8_t> storage;
  std::vector<Line> activations;
  std::vector<const void*> rows;

  size_t row_size() const { return row_bytes(traits.format, n_cols); }
  uint8_t* weights() { return storage.data() + 1; }
  const uint8_t* weights() const { return storage.data() + 1; }
  WeightRows weight_rows(int32_t first, int32_t n) const {
    return {weights() + static_cast<size_t>(first) * row_size(), row_size(), n, n_cols};
  }
};

Problem make_problem(const FormatTraits& traits, int32_t n_blocks, uint32_t seed,
                     int32_t n_rows = kMostRows) {
  Problem p{traits, n_blocks * traits.block_elements, {}, {}, {}};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  p.storage.resize(1 + p.row_size() * static_cast<size_t>(n_rows));
  std::vector<float> x(static_cast<size_t>(p.n_cols));
  for (int32_t r = 0; r < n_rows; ++r) {
    for (float& v : x) v = 0.05f * normal(random);
    reference::quantize(traits.format, x.data(), p.n_cols,
                        p.weights() + static_cast<size_t>(r) * p.row_size());
  }
  const size_t lines = activation_row_bytes(traits.activation, p.n_cols) / sizeof(Line);
  p.activations.resize(lines * kMostTokens);
  for (size_t t = 0; t < kMostTokens; ++t) {
    for (float& v : x) v = normal(random);
    reference::quantize_activations(traits.activation, x.data(), p.n_cols,
                                    &p.activations[t * lines]);
    p.rows.push_back(&p.activations[t * lines]);
  }
  return p;
}

using Output = std::vector<float>;  // [n_tokens][stride]

Output run_gemv(const KernelSet& set, const Problem& p, int32_t n_rows, int32_t n_tokens,
                size_t stride) {
  Output out(static_cast<size_t>(n_tokens) * stride, kUntouched);
  set.matmul[static_cast<int>(p.traits.format)]->gemv(
      p.weight_rows(0, n_rows), {p.rows.data(), n_tokens}, {out.data(), stride});
  return out;
}

void run_gemm(const KernelSet& set, const Problem& p, int32_t n_rows, int32_t n_tokens,
              const OutputRows& out, const MemoryHints& hints) {
  const MatmulKernels& kernels = *set.matmul[static_cast<int>(p.traits.format)];
  const auto n_panels = static_cast<size_t>((n_rows + kPanelRows - 1) / kPanelRows);
  const size_t panel_lines = kernels.panel_bytes(p.n_cols) / sizeof(Line);
  std::vector<Line> panels(n_panels * panel_lines);
  for (size_t i = 0; i < n_panels; ++i) {
    const auto first = static_cast<int32_t>(i) * kPanelRows;
    kernels.pack(p.weight_rows(first, std::min(kPanelRows, n_rows - first)),
                 panels.data() + i * panel_lines);
  }
  kernels.gemm(panels.data(), p.weight_rows(0, n_rows), {p.rows.data(), n_tokens}, out, hints);
}

Output run_gemm(const KernelSet& set, const Problem& p, int32_t n_rows, int32_t n_tokens,
                size_t stride) {
  Output out(static_cast<size_t>(n_tokens) * stride, kUntouched);
  run_gemm(set, p, n_rows, n_tokens, {out.data(), stride}, {});
  return out;
}

// Equal bits, or NaN both: which NaN an instruction gives is not ours to say.
bool is_same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

// Whether `part` is the corner of `whole` (stride kMostRows) and nothing else was written.
bool is_corner(const Output& part, const Output& whole, int32_t n_rows, int32_t n_tokens,
               size_t stride) {
  for (size_t t = 0; t < static_cast<size_t>(n_tokens); ++t) {
    for (size_t r = 0; r < stride; ++r) {
      const bool is_inside = r < static_cast<size_t>(n_rows);
      const float expected = is_inside ? whole[t * kMostRows + r] : kUntouched;
      if (!is_same(part[t * stride + r], expected)) return false;
    }
  }
  return true;
}

// Rounding of: the product of scales, the int32 made float, and each fma into the sum; two of them
// a block where there are minimums. Parts of a weight (d * q and its minimum) are at most three
// times the block's largest weight, since the quantiser's ranges include 0.
double tolerance(const double* weights, const double* x, int32_t n_cols, int block) {
  double norm = 0;
  for (int32_t b = 0; b < n_cols; b += block) {
    double most = 0, sum = 0;
    for (int32_t i = b; i < b + block; ++i) {
      most = std::max(most, std::fabs(weights[i]));
      sum += std::fabs(x[i]);
    }
    norm += 3 * most * sum;
  }
  const double epsilon = 0.5 * std::numeric_limits<float>::epsilon();
  return (2 * n_cols / block + 3) * epsilon * norm;
}

void check_against_reference(const Problem& p, const Output& out) {
  const auto n = static_cast<size_t>(p.n_cols);
  std::vector<double> weights(n), x(n * kMostTokens);
  for (size_t t = 0; t < kMostTokens; ++t) {
    reference::dequantize_activations(p.traits.activation, p.rows[t], p.n_cols, &x[t * n]);
  }
  double worst = 0;  // error / tolerance
  for (size_t r = 0; r < kMostRows; ++r) {
    reference::dequantize(p.traits.format, p.weights() + r * p.row_size(), p.n_cols,
                          weights.data());
    for (size_t t = 0; t < kMostTokens; ++t) {
      const double expected = reference::dot(weights.data(), &x[t * n], p.n_cols).value;
      const double error = std::fabs(out[t * kMostRows + r] - expected);
      const double allowed =
          tolerance(weights.data(), &x[t * n], p.n_cols, p.traits.block_elements);
      worst = std::max(worst, error / allowed);
    }
  }
  CHECK(worst < 1);
}

void fill_weights(Problem& p, uint32_t seed) {
  std::mt19937 random(seed);
  for (uint8_t& byte : p.storage) byte = static_cast<uint8_t>(random());
}

// All instruction sets and both kernels agree with scalar's gemv.
void check_agreement(const Problem& p) {
  const Output expected = run_gemv(*find_kernels("scalar"), p, kMostRows, 5, kMostRows);
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    CHECK(is_corner(run_gemv(*set, p, 258, 5, 258), expected, 258, 5, 258));
    CHECK(is_corner(run_gemm(*set, p, 258, 5, 258), expected, 258, 5, 258));
  }
}

}  // namespace

TEST_CASE("kernels: every integer format has them, on every instruction set") {
  for (const KernelSet* set : kernel_sets()) {
    for (const FormatTraits& traits : format_traits()) {
      const bool has_kernels = set->matmul[static_cast<int>(traits.format)] != nullptr;
      CHECK(has_kernels == (traits.activation != ActivationFormat::f32));
    }
  }
}

TEST_CASE("kernels: products are those of the reference") {
  for (const FormatTraits& traits : integer_formats()) {
    for (const int32_t n_blocks : {1, 3}) {
      const Problem p = make_problem(traits, n_blocks, 1);
      CAPTURE(traits.name);
      CAPTURE(n_blocks);
      const Output out = run_gemv(*find_kernels("scalar"), p, kMostRows, kMostTokens, kMostRows);
      check_against_reference(p, out);
    }
  }
}

TEST_CASE("kernels: the same bits from rows and from panels, on every instruction set and size") {
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    const Problem p = make_problem(traits, 3, 2);
    const Output expected = run_gemv(*find_kernels("scalar"), p, kMostRows, kMostTokens, kMostRows);
    for (const KernelSet* set : supported_sets()) {
      CAPTURE(set->name);
      for (const int32_t n_rows : kRows) {
        CAPTURE(n_rows);
        const auto stride = static_cast<size_t>(n_rows) + 3;
        for (const int32_t n_tokens : kTokens) {
          CAPTURE(n_tokens);
          CHECK(is_corner(run_gemv(*set, p, n_rows, n_tokens, stride), expected, n_rows, n_tokens,
                          stride));
          CHECK(is_corner(run_gemm(*set, p, n_rows, n_tokens, stride), expected, n_rows, n_tokens,
                          stride));
        }
      }
    }
  }
}

TEST_CASE("kernels: the same bits from rows and from panels, however wide") {
  constexpr int32_t kWideRows = 17, kWideTokens = 6;
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    // Around what is added up at a time: 16 blocks, and 120 of them.
    for (const int32_t n_blocks : {8, 9, 16, 24, 41, 121}) {
      CAPTURE(n_blocks);
      const Problem p = make_problem(traits, n_blocks, 10, kWideRows);
      const Output expected =
          run_gemm(*find_kernels("scalar"), p, kWideRows, kWideTokens, kMostRows);
      for (const KernelSet* set : supported_sets()) {
        CAPTURE(set->name);
        for (const int32_t n_tokens : {1, kWideTokens}) {
          const Output out = run_gemv(*set, p, kWideRows, n_tokens, kWideRows);
          CHECK(is_corner(out, expected, kWideRows, n_tokens, kWideRows));
        }
      }
    }
  }
}

TEST_CASE("kernels: results past the caches and reads ahead change no bit") {
  constexpr int32_t kStride = 272;  // a multiple of 16, as such results ask for
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    const Problem p = make_problem(traits, 3, 9);
    for (const KernelSet* set : supported_sets()) {
      CAPTURE(set->name);
      const Output expected = run_gemm(*set, p, kMostRows, kMostTokens, kStride);
      std::vector<Line> lines(expected.size() * sizeof(float) / sizeof(Line));
      std::fill_n(reinterpret_cast<float*>(lines.data()), expected.size(), kUntouched);
      const MemoryHints hints{p.weight_rows(kMostRows - 17, 17), true};
      run_gemm(*set, p, kMostRows, kMostTokens, {reinterpret_cast<float*>(lines.data()), kStride},
               hints);
      CHECK(std::memcmp(lines.data(), expected.data(), expected.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("kernels: no tokens, nothing written") {
  for (const KernelSet* set : supported_sets()) {
    const Problem p = make_problem(*find_format(static_cast<int32_t>(Format::q4_k)), 1, 3);
    CHECK(run_gemv(*set, p, 3, 0, 3).empty());
    CHECK(run_gemm(*set, p, 3, 0, 3).empty());
  }
}

TEST_CASE("kernels: the largest quants and activations stay exact") {
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    Problem p = make_problem(traits, 3, 4);
    // Every bit of the quants and integer scales set; scales in range, so that sums are finite.
    const std::vector<uint8_t> ordinary = p.storage;
    for (const int sign : {1, -1}) {
      CAPTURE(sign);
      std::vector<float> x(static_cast<size_t>(p.n_cols), static_cast<float>(sign));
      reference::quantize_activations(traits.activation, x.data(), p.n_cols, p.activations.data());
      std::fill(p.storage.begin(), p.storage.end(), 0xff);
      const auto block_bytes = static_cast<size_t>(traits.block_bytes);
      for (size_t at = 1; at + block_bytes <= p.storage.size(); at += block_bytes) {
        // f16 scales are 0x3bff where the blocks keep them: first or last four bytes.
        uint8_t* block = p.storage.data() + at;
        const bool is_last = traits.format == Format::q2_k || traits.format == Format::q3_k ||
                             traits.format == Format::q6_k;
        if (traits.format == Format::mxfp4) {
          block[0] = 0x7f;
        } else if (is_last) {
          block[block_bytes - 1] = 0x3b;
          if (traits.format == Format::q2_k) block[block_bytes - 3] = 0x3b;
        } else {
          block[1] = 0x3b;
          const bool has_second = traits.format == Format::q4_1 || traits.format == Format::q5_1 ||
                                  traits.format == Format::q4_k || traits.format == Format::q5_k;
          if (has_second) block[3] = 0x3b;
        }
      }
      check_agreement(p);
      const Output out = run_gemv(*find_kernels("scalar"), p, 1, 1, 1);
      std::vector<double> weights(x.size()), activations(x.size());
      reference::dequantize(traits.format, p.weights(), p.n_cols, weights.data());
      reference::dequantize_activations(traits.activation, p.rows[0], p.n_cols, activations.data());
      const reference::Dot expected = reference::dot(weights.data(), activations.data(), p.n_cols);
      REQUIRE(std::isfinite(out[0]));
      // Parts of these weights may cancel down to an eighth of themselves (15 d - 15 dmin ...).
      CHECK(std::fabs(out[0] - expected.value) <= 1e-5 * expected.magnitude + 1e-2);
    }
    // The most negative quants of the signed format.
    if (traits.format == Format::q8_0) {
      for (size_t i = 1; i < p.storage.size(); ++i) {
        if ((i - 1) % 34 >= 2) p.storage[i] = 0x80;
      }
      check_agreement(p);
    }
  }
}

TEST_CASE("kernels: any bytes are weights: random bits, NaN and infinite scales") {
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    Problem p = make_problem(traits, 3, 5);
    for (const uint32_t seed : {6u, 7u}) {
      fill_weights(p, seed);
      check_agreement(p);
    }
    for (const uint8_t byte : {0x00, 0xff, 0x7c, 0xfc, 0x80}) {
      std::fill(p.storage.begin(), p.storage.end(), byte);
      check_agreement(p);
    }
  }
}

TEST_CASE("kernels: not a byte is read past the end of the weights") {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const FormatTraits& traits : integer_formats()) {
    CAPTURE(traits.name);
    const Problem p = make_problem(traits, 1, 8);
    const Output expected = run_gemv(*find_kernels("scalar"), p, 17, 1, 17);
    const size_t bytes = 17 * p.row_size(), mapped = (bytes + page - 1) / page * page;
    void* map =
        mmap(nullptr, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(map != MAP_FAILED);
    auto* end = static_cast<uint8_t*>(map) + mapped;
    REQUIRE(mprotect(end, page, PROT_NONE) == 0);
    std::memcpy(end - bytes, p.weights(), bytes);
    for (const KernelSet* set : supported_sets()) {
      const MatmulKernels& kernels = *set->matmul[static_cast<int>(traits.format)];
      Output out(17);
      const WeightRows all{end - bytes, p.row_size(), 17, p.n_cols};
      kernels.gemv(all, {p.rows.data(), 1}, {out.data(), 17});
      CHECK(is_corner(out, expected, 17, 1, 17));
      const WeightRows last{end - p.row_size(), p.row_size(), 1, p.n_cols};
      std::vector<Line> panel(kernels.panel_bytes(p.n_cols) / sizeof(Line) + 1);
      kernels.pack(last, panel.data());
      kernels.gemm(panel.data(), last, {p.rows.data(), 1}, {out.data(), 17}, {.next = all});
      CHECK(is_same(out[0], expected[16]));
    }
    munmap(map, mapped + page);
  }
}

// Between floats and blocks: dequantised weights, activations rounded to int8.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "quant/activation_block.h"
#include "quant/block.h"
#include "quant/reference.h"
#include "tests/kernel_rows.h"
#include "tests/random_weights.h"

namespace larder::quant {
namespace {

Row hostile_activations(int64_t n) {
  Row x = random_row(n, 19, 2.0f);
  for (size_t i = 0; i < 256; ++i) x[i] = 0;                       // zeros
  for (size_t i = 256; i < 512; ++i) x[i] = 1e-40f;                // 127 / amax overflows
  x[600] = 3e38f;                                                  // all else rounds to 0
  for (size_t i = 768; i < 1024; ++i) x[i] = i % 2 ? 127 : -0.5f;  // ties to even
  return x;
}

template <class Block>
void check_activation_block(const Block& block, const float* x, int n) {
  double amax = 0;
  for (int i = 0; i < n; ++i) amax = std::max<double>(amax, std::fabs(x[i]));
  if (amax < 1e-38) {
    CHECK(block.scale == 0);
  } else {
    CHECK(ulps(block.scale, amax / 127) <= 1);
  }
  for (int i = 0; i < n; ++i) {
    const float inverse = amax < 1e-38 ? 0.0f : 127.0f / static_cast<float>(amax);
    CHECK(block.q[i] == static_cast<int>(std::nearbyint(x[i] * inverse)));
  }
}

TEST_CASE("activations: rounded to int8 by 32 and by 256, with their sums") {
  constexpr int64_t kCols = 2048;
  const Row x = hostile_activations(kCols);
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    std::vector<ActivationBlock32> small(kCols / 32);
    set->vector.quantize_q8_32(x.data(), kCols, small.data());
    for (size_t b = 0; b < small.size(); ++b) {
      check_activation_block(small[b], x.data() + 32 * b, 32);
      CHECK(small[b].sum == std::accumulate(small[b].q, small[b].q + 32, 0));
    }
    std::vector<ActivationBlock256> large(kCols / 256);
    set->vector.quantize_q8_256(x.data(), kCols, large.data());
    for (size_t b = 0; b < large.size(); ++b) {
      const int8_t* const q = large[b].q;
      check_activation_block(large[b], x.data() + 256 * b, 256);
      for (int g = 0; g < 16; ++g) {
        CHECK(large[b].sums_16[g] == std::accumulate(q + 16 * g, q + 16 * g + 16, 0));
      }
      for (int g = 0; g < 8; ++g) {
        CHECK(large[b].sums_32[g] == std::accumulate(q + 32 * g, q + 32 * g + 32, 0));
      }
      CHECK((large[b].unused[0] | large[b].unused[1] | large[b].unused[2]) == 0);
    }
  }
}

TEST_CASE("activations: a block with infinity or NaN has scale NaN") {
  for (const KernelSet* set : supported_sets()) {
    for (float bad : {kInfinity, -kInfinity, kNaN}) {
      Row x = random_row(256, 20);
      x[37] = bad;
      ActivationBlock256 large;
      set->vector.quantize_q8_256(x.data(), 256, &large);
      CHECK(std::isnan(large.scale));
      ActivationBlock32 small[8];
      set->vector.quantize_q8_32(x.data(), 256, small);
      for (int b = 0; b < 8; ++b) CHECK(std::isnan(small[b].scale) == (b == 1));
    }
  }
}

TEST_CASE("dequantize: every format is its formula rounded once, on every instruction set") {
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    for (int32_t n_blocks : {1, 2, 3, 31}) {
      const int64_t n = int64_t{n_blocks} * traits.block_elements;
      const auto row = random_weights(traits.format, 1, n, static_cast<uint32_t>(n_blocks));
      std::vector<double> exact(static_cast<size_t>(n));
      reference::dequantize(traits.format, row.data(), n, exact.data());
      const Row got = on_all_sets([&](const KernelSet& set) {
        Row out(static_cast<size_t>(n) + 1, 5.0f);
        set.vector.dequantize(traits.format, row.data(), n, out.data());
        CHECK(out.back() == 5.0f);
        return out;
      });
      int n_wrong = 0;
      for (size_t i = 0; i < exact.size(); ++i) n_wrong += got[i] != static_cast<float>(exact[i]);
      CHECK(n_wrong == 0);
    }
  }
}

TEST_CASE("dequantize: every shared exponent of MXFP4, subnormal ones too") {
  for (int e = 0; e < 255; ++e) {
    auto row = random_weights(Format::mxfp4, 1, 32, static_cast<uint32_t>(e));
    row[0] = static_cast<uint8_t>(e);
    std::vector<double> exact(32);
    reference::dequantize(Format::mxfp4, row.data(), 32, exact.data());
    const Row got = on_all_sets([&](const KernelSet& set) {
      Row out(32);
      set.vector.dequantize(Format::mxfp4, row.data(), 32, out.data());
      return out;
    });
    for (size_t i = 0; i < 32; ++i) CHECK(got[i] == static_cast<float>(exact[i]));
  }
}

TEST_CASE("activations: the bytes of the reference") {
  constexpr int64_t kCols = 2048;
  const Row x = random_row(kCols, 21, 3.0f);
  for (ActivationFormat format : {ActivationFormat::q8_32, ActivationFormat::q8_256}) {
    const size_t n_bytes = format == ActivationFormat::q8_32
                               ? kCols / 32 * sizeof(ActivationBlock32)
                               : kCols / 256 * sizeof(ActivationBlock256);
    AlignedArray<uint8_t> expected(n_bytes), got(n_bytes);
    reference::quantize_activations(format, x.data(), kCols, expected.data());
    for (const KernelSet* set : supported_sets()) {
      CAPTURE(set->name);
      if (format == ActivationFormat::q8_32) {
        set->vector.quantize_q8_32(x.data(), kCols, got.data());
      } else {
        set->vector.quantize_q8_256(x.data(), kCols, got.data());
      }
      CHECK(std::memcmp(got.data(), expected.data(), n_bytes) == 0);
    }
  }
}

TEST_CASE("rounding: floats become q8_0 as near as its scale allows, the same everywhere") {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> x(320);
  for (float& value : x) value = normal(random);
  for (size_t i = 32; i < 64; ++i) x[i] = 0;
  for (size_t i = 64; i < 96; ++i) x[i] *= 1e-7f;  // scales are subnormal, or nothing
  for (size_t i = 96; i < 128; ++i) x[i] *= 1e-5f;
  for (size_t i = 128; i < 160; ++i) x[i] *= 3e4f;
  std::vector<uint8_t> scalar(row_bytes(Format::q8_0, 320)), got = scalar;
  find_kernels("scalar")->vector.quantize_q8_0(x.data(), 320, scalar.data());
  std::vector<double> back(320);
  reference::dequantize(Format::q8_0, scalar.data(), 320, back.data());
  const auto* blocks = reinterpret_cast<const BlockQ8_0*>(scalar.data());
  for (size_t i = 0; i < 320; ++i) {
    const double d = reference::widen_f16(blocks[i / 32].d.bits());
    // What a subnormal scale, rounded down, cannot reach.
    const double cut_off = d < 0x1p-14 ? 127 * 0x1p-25 : 0.0;
    CHECK(std::fabs(back[i] - x[i]) <= d * 0.5001 + cut_off);
  }
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    set->vector.quantize_q8_0(x.data(), 320, got.data());
    CHECK(got == scalar);
  }
  for (const float special : {INFINITY, -INFINITY, static_cast<float>(NAN), 1e30f}) {
    x[3] = special;
    for (const KernelSet* set : kernel_sets()) {
      if (!is_supported(*set)) continue;
      set->vector.quantize_q8_0(x.data(), 32, got.data());
      std::vector<float> row(32);
      set->vector.dequantize(Format::q8_0, got.data(), 32, row.data());
      CHECK(!set->vector.all_finite(row.data(), 32));
    }
  }
}

}  // namespace
}  // namespace larder::quant

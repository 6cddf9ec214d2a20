// The quantisers that search for scales: the same bytes everywhere, errors below the plain ones'.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/quantize.h"
#include "quant/reference.h"
#include "tests/kernel_rows.h"
#include "tests/random_weights.h"

namespace larder::quant {
namespace {

using Bytes = std::vector<uint8_t>;

// Weights as trained ones are: nearly normal, a few far out, magnitudes that differ by rows.
Row trained_like(int64_t n_rows, int64_t n_cols, uint32_t seed) {
  Row x = random_row(n_rows * n_cols, seed, 0.02f);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 97 == 0) x[i] *= 5;
    x[i] *= 1 + static_cast<float>(static_cast<int64_t>(i) / n_cols % 5);
  }
  return x;
}

Bytes quantized(const KernelSet& set, Format format, const Row& x, int64_t n_cols,
                const float* importance = nullptr) {
  const int64_t n_rows = static_cast<int64_t>(x.size()) / n_cols;
  Bytes out(row_bytes(format, n_cols) * static_cast<size_t>(n_rows), 0xee);
  set.vector.quantize(format, {x.data(), n_rows, n_cols, importance, out.data()});
  return out;
}

std::vector<double> dequantized(Format format, const Bytes& rows, size_t n) {
  std::vector<double> out(n);
  reference::dequantize(format, rows.data(), static_cast<int64_t>(n), out.data());
  return out;
}

// Root of the mean square of what is left, by that of the weights.
double relative_error(Format format, const Row& x, const Bytes& rows,
                      const Row& importance = {1.0f}) {
  const std::vector<double> back = dequantized(format, rows, x.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double w = importance[i % importance.size()];
    error += w * (back[i] - x[i]) * (back[i] - x[i]);
    norm += w * double(x[i]) * x[i];
  }
  return std::sqrt(error / norm);
}

Bytes plainly_quantized(Format format, const Row& x) {
  Bytes rows(row_bytes(format, static_cast<int64_t>(x.size())));
  reference::quantize(format, x.data(), static_cast<int64_t>(x.size()), rows.data());
  return rows;
}

Row some_importance(int64_t n_cols) {
  Row importance = random_row(n_cols, 77);
  for (float& w : importance) w = w * w * 40;
  return importance;
}

bool is_float(Format format) {
  return format == Format::f32 || format == Format::f16 || format == Format::bf16;
}

TEST_CASE("quantise: every instruction set writes the same bytes") {
  constexpr int64_t kCols = 768;
  const Row x = trained_like(5, kCols, 3), importance = some_importance(kCols);
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    const Bytes plain = quantized(*supported_sets().back(), traits.format, x, kCols);
    const Bytes weighted =
        quantized(*supported_sets().back(), traits.format, x, kCols, importance.data());
    for (const KernelSet* set : supported_sets()) {
      CAPTURE(set->name);
      CHECK(quantized(*set, traits.format, x, kCols) == plain);
      CHECK(quantized(*set, traits.format, x, kCols, importance.data()) == weighted);
    }
    CHECK((plain == weighted) == is_float(traits.format));
  }
}

TEST_CASE("quantise: the search leaves a smaller error than rounding does") {
  constexpr int64_t kCols = 1024;
  const Row x = trained_like(16, kCols, 4);
  for (const FormatTraits& traits : format_traits()) {
    if (is_float(traits.format)) continue;
    CAPTURE(traits.name);
    const double plain = relative_error(traits.format, x, plainly_quantized(traits.format, x));
    const double searched =
        relative_error(traits.format, x, quantized(best_kernels(), traits.format, x, kCols));
    CHECK(searched < 0.99 * plain);
    CHECK(searched > 0.5 * plain);
  }
}

TEST_CASE("quantise: importance moves the error to the columns that matter less") {
  constexpr int64_t kCols = 512;
  const Row x = trained_like(16, kCols, 5), importance = some_importance(kCols);
  for (const FormatTraits& traits : format_traits()) {
    if (is_float(traits.format)) continue;
    CAPTURE(traits.name);
    const Bytes weighted = quantized(best_kernels(), traits.format, x, kCols, importance.data());
    const Bytes plain = quantized(best_kernels(), traits.format, x, kCols);
    CHECK(relative_error(traits.format, x, weighted, importance) <
          relative_error(traits.format, x, plain, importance));
  }
}

TEST_CASE("quantise: a block's bytes do not depend on its neighbours") {
  constexpr int64_t kCols = 256;
  const Row x = trained_like(37, kCols, 6);
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    Bytes one_by_one;
    for (size_t row = 0; row < 37; ++row) {
      const Row alone(x.begin() + static_cast<long>(row * kCols),
                      x.begin() + static_cast<long>((row + 1) * kCols));
      const Bytes bytes = quantized(best_kernels(), traits.format, alone, kCols);
      one_by_one.insert(one_by_one.end(), bytes.begin(), bytes.end());
    }
    CHECK(one_by_one == quantized(best_kernels(), traits.format, x, kCols));
  }
}

TEST_CASE("quantise: zeros, constants, single spikes and the ends of the range stay finite") {
  constexpr int64_t kCols = 256;
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    const auto back_of = [&](const Row& x) {
      return dequantized(traits.format, quantized(best_kernels(), traits.format, x, kCols), kCols);
    };
    for (const double v : back_of(Row(kCols, 0.0f))) CHECK(v == 0);
    for (const float value : {1.0f, -1.0f, 1e-3f, -700.0f}) {
      CAPTURE(value);
      // FP4 has steps of 1 / 3, and scales that are powers of two.
      const double tolerance = traits.format == Format::mxfp4 ? 0.2 : 0.02;
      for (const double v : back_of(Row(kCols, value)))
        CHECK(v == doctest::Approx(value).epsilon(tolerance));
    }
    for (const float extreme : {1e-44f, 1e-30f, 6e4f, 1e30f, 3e38f}) {
      CAPTURE(extreme);
      if (traits.format == Format::f16 && extreme > 65504) continue;
      Row x(kCols, extreme / 1000);
      x[100] = extreme;
      x[101] = -extreme;
      for (const double v : back_of(x)) CHECK(std::isfinite(v));
    }
  }
}

TEST_CASE("quantise: columns that never mattered are still near their weights") {
  constexpr int64_t kCols = 256;
  const Row x = trained_like(8, kCols, 8);
  Row importance(kCols, 0.0f);
  for (size_t i = 0; i < kCols; i += 2) importance[i] = 1e-12f;
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    const Bytes weighted = quantized(best_kernels(), traits.format, x, kCols, importance.data());
    const Bytes plain = quantized(best_kernels(), traits.format, x, kCols);
    CHECK(relative_error(traits.format, x, weighted) <=
          3 * relative_error(traits.format, x, plain));
    const Row zeros(kCols, 0.0f);  // nothing is known: as if all mattered
    CHECK(quantized(best_kernels(), traits.format, x, kCols, zeros.data()) == plain);
  }
}

TEST_CASE("requantise: any format to any other, the same for any number of threads") {
  constexpr int64_t kCols = 512, kRows = 70;
  for (const Format from : {Format::f16, Format::bf16, Format::q8_0, Format::q6_k}) {
    const Bytes rows = random_weights(from, kRows, kCols, 9);
    Bytes first;
    for (const int n_threads : {1, 2, 3}) {
      Parallel parallel(n_threads);
      Requantizer requantizer(best_kernels(), parallel, kCols);
      Bytes out(row_bytes(Format::q4_k, kCols) * kRows);
      CHECK(requantizer.run({from, rows.data(), kRows, kCols, Format::q4_k, nullptr, out.data()}) ==
            -1);
      if (first.empty()) first = out;
      CHECK(out == first);
    }
  }
}

TEST_CASE("requantise: the first weight that is not finite is told") {
  constexpr int64_t kCols = 64, kRows = 2000;
  Parallel parallel(2);
  Requantizer requantizer(best_kernels(), parallel, kCols);
  Row x = random_row(kRows * kCols, 10);
  Bytes out(row_bytes(Format::q8_0, kCols) * kRows);
  const auto run = [&](Format to) {
    return requantizer.run({Format::f32, reinterpret_cast<const uint8_t*>(x.data()), kRows, kCols,
                            to, nullptr, out.data()});
  };
  CHECK(run(Format::q8_0) == -1);
  x[100'000] = 65520.0f;
  CHECK(run(Format::q8_0) == -1);
  Bytes halves(static_cast<size_t>(kRows * kCols) * 2);
  out = halves;
  CHECK(run(Format::f16) == 100'000);
  x[90'000] = kInfinity;
  x[77'777] = kNaN;
  CHECK(run(Format::q8_0) == 77'777);
}

}  // namespace
}  // namespace larder::quant

// Every vector kernel on every instruction set of this machine: against double, and to the bit
// against the scalar set.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "quant/activation_block.h"
#include "quant/dispatch.h"
#include "quant/reference.h"
#include "random_weights.h"

namespace larder::quant {
namespace {

using Row = std::vector<float>;

constexpr int64_t kSizes[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 258};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kEpsilon = 0x1p-24;  // half an ulp of 1

std::vector<const KernelSet*> supported_sets() {
  std::vector<const KernelSet*> sets;
  for (const KernelSet* set : kernel_sets()) {
    if (is_supported(*set)) sets.push_back(set);
  }
  return sets;
}

Row random_row(int64_t n, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  Row row(static_cast<size_t>(n));
  for (float& x : row) x = normal(random);
  return row;
}

bool same_bits(const Row& a, const Row& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Distance in units of the last place of `exact`'s float.
double ulps(float got, double exact) {
  const float nearest = static_cast<float>(exact);
  const double ulp =
      static_cast<double>(std::nextafter(std::fabs(nearest), kInfinity)) - std::fabs(nearest);
  return std::fabs(static_cast<double>(got) - exact) / ulp;
}

// Runs op(set) on all sets, requires the same bits of all, returns them.
template <class Op>
Row on_all_sets(Op op) {
  const Row expected = op(*supported_sets().back());  // scalar
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    CHECK(same_bits(op(*set), expected));
  }
  return expected;
}

TEST_CASE("vector ops: float dot products keep the order of sums") {
  for (int64_t n : kSizes) {
    const Row a = random_row(n, 1), b = random_row(n, 2);
    const Row got = on_all_sets(
        [&](const KernelSet& set) { return Row{set.vector.dot_f32(a.data(), b.data(), n)}; });
    float lanes[16] = {};
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      lanes[i % 16] = std::fma(a[at], b[at], lanes[i % 16]);
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
    }
    CHECK(got[0] == lanes[0]);
  }
}

TEST_CASE("vector ops: gemm_f32 has the bits of dot_f32 for every shape") {
  for (int64_t n_cols : {1, 31, 64, 258}) {
    for (int32_t n_rows : {1, 3, 16, 18}) {
      for (int32_t n_tokens : {0, 1, 3, 4, 9}) {
        const Row w = random_row(n_rows * n_cols, 3), x = random_row(n_tokens * n_cols, 4);
        std::vector<const void*> rows;
        for (int32_t t = 0; t < n_tokens; ++t) rows.push_back(x.data() + t * n_cols);
        for (const KernelSet* set : supported_sets()) {
          const size_t stride = static_cast<size_t>(n_rows) + 5;
          Row out(static_cast<size_t>(n_tokens) * stride + 1, 7.0f);
          set->vector.gemm_f32(
              {reinterpret_cast<const uint8_t*>(w.data()),
               static_cast<size_t>(n_cols) * sizeof(float), n_rows, static_cast<int32_t>(n_cols)},
              {rows.data(), n_tokens}, {out.data(), stride});
          for (size_t i = 0; i < out.size(); ++i) {
            const size_t t = i / stride, r = i % stride;
            const bool is_result =
                t < static_cast<size_t>(n_tokens) && r < static_cast<size_t>(n_rows);
            const float expected =
                is_result ? set->vector.dot_f32(w.data() + static_cast<int64_t>(r) * n_cols,
                                                x.data() + static_cast<int64_t>(t) * n_cols, n_cols)
                          : 7.0f;
            CHECK(out[i] == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("vector ops: sums and products of rows round once") {
  for (int64_t n : kSizes) {
    const Row x = random_row(n, 5), y = random_row(n, 6);
    const auto check = [&](auto op, auto exact) {
      const Row got = on_all_sets([&](const KernelSet& set) {
        Row out = y;
        op(set.vector, out);
        return out;
      });
      for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == exact(y[i], x[i]));
    };
    check([&](const VectorKernels& v, Row& out) { v.add(out.data(), x.data(), n); },
          [](float a, float b) { return a + b; });
    check([&](const VectorKernels& v, Row& out) { v.scale(out.data(), 0.3f, n); },
          [](float a, float) { return a * 0.3f; });
    check([&](const VectorKernels& v, Row& out) { v.add_scaled(out.data(), 0.3f, x.data(), n); },
          [](float a, float b) { return std::fma(0.3f, b, a); });
    check([&](const VectorKernels& v, Row& out) { v.multiply(out.data(), x.data(), n); },
          [](float a, float b) { return a * b; });
    check([&](const VectorKernels& v, Row& out) { v.clamp(out.data(), -0.5f, 0.7f, n); },
          [](float a, float) { return std::clamp(a, -0.5f, 0.7f); });
    check([&](const VectorKernels& v, Row& out) { v.relu(out.data(), n); },
          [](float a, float) { return std::max(a, 0.0f); });
  }
}

TEST_CASE("vector ops: limits let NaN through") {
  for (const KernelSet* set : supported_sets()) {
    Row x(20, kNaN);
    set->vector.clamp(x.data(), -1, 1, 20);
    set->vector.relu(x.data(), 20);
    CHECK(std::all_of(x.begin(), x.end(), [](float a) { return std::isnan(a); }));
  }
}

TEST_CASE("vector ops: float16 rounds to nearest even and comes back exactly") {
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    std::vector<uint16_t> halves(0x10000);
    std::iota(halves.begin(), halves.end(), 0);
    Row wide(halves.size());
    set->vector.from_f16(halves.data(), 0x10000, wide.data());
    std::vector<uint16_t> back(halves.size());
    set->vector.to_f16(wide.data(), 0x10000, back.data());
    int n_wrong = 0;
    for (size_t i = 0; i < halves.size(); ++i) {
      const int exponent = static_cast<int>(i >> 10 & 31), mantissa = static_cast<int>(i & 1023);
      double exact =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      if (i >> 15 != 0) exact = -exact;
      if (exponent != 31) n_wrong += wide[i] != exact;
      if (exponent == 31 && mantissa == 0) n_wrong += !std::isinf(wide[i]);
      if (exponent == 31 && mantissa != 0) {
        n_wrong += !std::isnan(wide[i]);
      } else {
        n_wrong += back[i] != halves[i];
      }
    }
    CHECK(n_wrong == 0);
    const Row ties{1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 65519.9f, 65520.0f,
                   0x1p-25f,     0x1.8p-25f,       -3e38f};
    std::vector<uint16_t> rounded(ties.size());
    set->vector.to_f16(ties.data(), static_cast<int64_t>(ties.size()), rounded.data());
    CHECK(rounded == std::vector<uint16_t>{0x3c00, 0x3c02, 0x7bff, 0x7c00, 0x0000, 0x0001, 0xfc00});
  }
}

// |error| of a 16-lane sum of n terms <= (n / 16 + 5) eps * sum of magnitudes.
TEST_CASE("vector ops: norms") {
  for (int64_t n : kSizes) {
    const Row x = random_row(n, 7, 3.0f), w = random_row(n, 8), b = random_row(n, 9);
    const double count = static_cast<double>(n);
    double mean = 0, squares = 0, variance = 0, magnitude = 0;
    for (float a : x) {
      mean += a / count;
      squares += static_cast<double>(a) * a / count;
      magnitude += std::fabs(a) / count;
    }
    for (float a : x) variance += (a - mean) * (a - mean) / count;
    const double sum_error = (count / 16 + 5) * kEpsilon;
    const auto rms = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.rms_norm(out.data(), w.data(), 1e-5f, n, out.data());
      return out;
    });
    const auto plain = on_all_sets([&](const KernelSet& set) {
      Row out(x.size());
      set.vector.rms_norm(x.data(), nullptr, 1e-5f, n, out.data());
      return out;
    });
    const auto layer = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.layer_norm(out.data(), w.data(), b.data(), 1e-5f, n, out.data());
      return out;
    });
    const auto unbiased = on_all_sets([&](const KernelSet& set) {
      Row out(x.size());
      set.vector.layer_norm(x.data(), w.data(), nullptr, 1e-5f, n, out.data());
      return out;
    });
    const double inverse_rms = 1 / std::sqrt(squares + 1e-5);
    const double inverse_deviation = 1 / std::sqrt(variance + 1e-5);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = x[i] * inverse_rms;
      CHECK(std::fabs(plain[i] - exact) <= std::fabs(exact) * (sum_error + 4 * kEpsilon));
      CHECK(std::fabs(rms[i] - exact * w[i]) <=
            std::fabs(exact * w[i]) * (sum_error + 5 * kEpsilon));
      // The mean's own error shifts every element and, twice, the variance.
      const double off = (x[i] - mean) * inverse_deviation;
      const double shift = (sum_error + kEpsilon) * magnitude * inverse_deviation;
      const double tolerance =
          std::fabs(w[i]) * (std::fabs(off) * (sum_error + 6 * kEpsilon + shift) + 2 * shift);
      CHECK(std::fabs(unbiased[i] - off * w[i]) <= tolerance + kEpsilon * std::fabs(off * w[i]));
      CHECK(std::fabs(layer[i] - (off * w[i] + b[i])) <=
            tolerance + kEpsilon * (std::fabs(off * w[i]) + std::fabs(b[i])));
    }
  }
}

TEST_CASE("vector ops: exp is within 2 ulp, seen through softmax of a pair") {
  // softmax {0, x} for x <= 0 is {1, e^x} / (1 + e^x); for x below -17.4 the sum rounds to 1 and
  // the second is e^x itself.
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    double worst = 0;
    for (float x = -17.4f; x > -87.3f; x *= 1.0000371f) {
      float pair[2] = {0.0f, x};
      set->vector.softmax(pair, 2);
      CHECK(pair[0] == 1.0f);
      worst = std::max(worst, ulps(pair[1], std::exp(static_cast<double>(x))));
    }
    CHECK(worst <= 2.0);
  }
}

TEST_CASE("vector ops: sigmoid is within 4 ulp where it is normal, and right at the ends") {
  // exp 2 ulp, the sum half, the quotient half; an error of e^-x counts fully where x is negative.
  std::mt19937 random(11);
  std::uniform_real_distribution<float> uniform(-86.0f, 40.0f);
  Row x(20000);
  for (float& a : x) a = uniform(random);
  const Row got = on_all_sets([&](const KernelSet& set) {
    Row out = x;
    set.vector.sigmoid(out.data(), static_cast<int64_t>(out.size()));
    return out;
  });
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, ulps(got[i], 1 / (1 + std::exp(-static_cast<double>(x[i])))));
  }
  CHECK(worst <= 4.0);
  const Row ends = on_all_sets([](const KernelSet& set) {
    Row out{0.0f, -0.0f, kInfinity, -kInfinity, 200.0f, -200.0f, kNaN};
    set.vector.sigmoid(out.data(), 7);
    return out;
  });
  CHECK(ends[0] == 0.5f);
  CHECK(ends[1] == 0.5f);
  CHECK(ends[2] == 1.0f);
  CHECK(ends[3] == 0.0f);
  CHECK(ends[4] == 1.0f);
  CHECK(ends[5] == 0.0f);
  CHECK(std::isnan(ends[6]));
}

TEST_CASE("vector ops: gated activations") {
  for (int64_t n : kSizes) {
    const Row gate = random_row(n, 12, 4.0f), up = random_row(n, 13, 4.0f);
    const auto silu = on_all_sets([&](const KernelSet& set) {
      Row out = gate;
      set.vector.swiglu(out.data(), up.data(), n, out.data());
      return out;
    });
    const auto clamped = on_all_sets([&](const KernelSet& set) {
      Row out(gate.size());
      set.vector.swiglu_clamped(gate.data(), up.data(), 1.702f, 3.0f, n, out.data());
      return out;
    });
    const auto gelu = on_all_sets([&](const KernelSet& set) {
      Row out = gate;
      set.vector.gelu_tanh(out.data(), n);
      return out;
    });
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = gate[i], u = up[i];
      CHECK(ulps(silu[i], g / (1 + std::exp(-g)) * u) <= 6);
      // The argument of exp carries an error of its own: relative eps times its size, times few.
      const double g3 = std::min(g, 3.0), u3 = std::clamp(u, -3.0, 3.0);
      const double slope = static_cast<double>(1.702f) * g3;
      const double exact = g3 / (1 + std::exp(-slope)) * (u3 + 1);
      CHECK(std::fabs(clamped[i] - exact) <=
            std::fabs(exact) * kEpsilon * (10 + 2 * std::fabs(slope)) +
                std::fabs(g3) * kEpsilon * std::fabs(u3));
      const double t = 0.7978845608028654 * (g + 0.044715 * g * g * g);
      const double gelu_exact = g / (1 + std::exp(-2 * t));
      CHECK(std::fabs(gelu[i] - gelu_exact) <=
            std::fabs(gelu_exact) * kEpsilon * (10 + 8 * std::fabs(t)));
    }
  }
}

TEST_CASE("vector ops: softmax sums to one, survives large scores and -infinity") {
  for (int64_t n : kSizes) {
    Row x = random_row(n, 14, 10.0f);
    for (float& a : x) a += 500.0f;
    if (n > 2) x[1] = -kInfinity;
    const Row got = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.softmax(out.data(), n);
      return out;
    });
    double most = -1e300, sum = 0;
    for (float a : x) most = std::max<double>(most, a);
    for (float a : x) sum += std::exp(a - most);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(x[i] - most) / sum;
      CHECK(std::fabs(got[i] - exact) <=
            exact * kEpsilon * (10 + static_cast<double>(n) / 16) + 0x1p-149);
    }
  }
}

TEST_CASE("vector ops: rope rotates pairs") {
  for (int32_t n_rot : {2, 6, 32, 62, 64, 128}) {
    const Row x = random_row(n_rot, 15);
    Row cos, sin;
    for (int32_t i = 0; i < n_rot / 2; ++i) {
      cos.push_back(std::cos(0.1f * static_cast<float>(i)));
      sin.push_back(std::sin(0.1f * static_cast<float>(i)));
    }
    const auto adjacent = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.rope_adjacent(out.data(), cos.data(), sin.data(), n_rot);
      return out;
    });
    const auto halves = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.rope_halves(out.data(), cos.data(), sin.data(), n_rot);
      return out;
    });
    const auto check = [&](const Row& got, size_t i, size_t j, size_t pair) {
      const double a = x[i], b = x[j], c = cos[pair], s = sin[pair];
      const double tolerance = 2 * kEpsilon * (std::fabs(a) + std::fabs(b));
      CHECK(std::fabs(got[i] - (a * c - b * s)) <= tolerance);
      CHECK(std::fabs(got[j] - (a * s + b * c)) <= tolerance);
    };
    for (size_t p = 0; p < cos.size(); ++p) {
      check(adjacent, 2 * p, 2 * p + 1, p);
      check(halves, p, p + cos.size(), p);
    }
  }
}

// The order that top_k promises, by a stable sort.
std::vector<int32_t> sorted_indices(const Row& scores) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return std::isnan(y) ? !std::isnan(x) : x > y;
  });
  return order;
}

void check_top_k(const Row& scores, int32_t k) {
  auto expected = sorted_indices(scores);
  expected.resize(static_cast<size_t>(k));
  const auto n = static_cast<int32_t>(scores.size());
  for (const KernelSet* set : supported_sets()) {
    CAPTURE(set->name);
    CAPTURE(n);
    CAPTURE(k);
    std::vector<int32_t> got(static_cast<size_t>(k), -1);
    set->vector.top_k(scores.data(), n, k, got.data());
    CHECK(got == expected);
    CHECK(set->vector.argmax(scores.data(), n) == expected[0]);
  }
}

TEST_CASE("top_k: descending, ties to the lower index, NaN last") {
  for (int32_t n : {1, 2, 3, 8, 31, 33, 60, 128, 258, 512}) {
    const Row distinct = random_row(n, 16);
    Row tied = distinct;
    for (float& a : tied) a = std::round(a * 2) / 2;  // also -0 and +0
    Row holes = tied;
    for (size_t i = 0; i < holes.size(); i += 3) holes[i] = kNaN;
    for (size_t i = 1; i < holes.size(); i += 7) holes[i] = -kInfinity;
    for (size_t i = 4; i < holes.size(); i += 11) holes[i] = kInfinity;
    Row ascending = distinct;
    std::sort(ascending.begin(), ascending.end());
    for (int32_t k : {1, 2, 4, 8, 10, 16, 48, 49, 100, 512}) {
      for (const Row& scores : {distinct, tied, holes, ascending, Row(distinct.size(), kNaN)}) {
        check_top_k(scores, std::min(k, n));
      }
    }
  }
}

TEST_CASE("top_k: a vocabulary of logits") {
  Row logits = random_row(151936, 17, 5.0f);
  logits[100000] = logits[7] = 99.0f;
  logits[3] = -kNaN;
  for (int32_t k : {1, 40, 1000}) check_top_k(logits, k);
  std::sort(logits.begin() + 10, logits.end());
  for (int32_t k : {40, 1000}) check_top_k(logits, k);
}

TEST_CASE("vector ops: all_finite finds one bad number anywhere") {
  for (int64_t n : kSizes) {
    Row x = random_row(n, 18, 1e30f);
    for (const KernelSet* set : supported_sets()) {
      CHECK(set->vector.all_finite(x.data(), n));
      for (float bad : {kInfinity, -kInfinity, kNaN, -kNaN}) {
        for (size_t i = 0; i < x.size(); ++i) {
          std::swap(x[i], bad);
          CHECK_FALSE(set->vector.all_finite(x.data(), n));
          std::swap(x[i], bad);
        }
      }
    }
  }
}

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

}  // namespace
}  // namespace larder::quant

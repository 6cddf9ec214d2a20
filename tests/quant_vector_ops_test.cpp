// Every vector kernel on every instruction set of this machine: against double, and to the bit
// against the scalar set.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "tests/kernel_rows.h"

namespace larder::quant {
namespace {

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

TEST_CASE("vector ops: silu alone is silu times one") {
  for (int64_t n : kSizes) {
    const Row x = random_row(n, 16, 4.0f), ones(x.size(), 1.0f);
    const Row got = on_all_sets([&](const KernelSet& set) {
      Row out = x;
      set.vector.silu(out.data(), n);
      return out;
    });
    Row gated(x.size());
    supported_sets().back()->vector.swiglu(x.data(), ones.data(), n, gated.data());
    CHECK(same_bits(got, gated));
  }
}

TEST_CASE("vector ops: l2 norm has its epsilon inside the root, beside the sum") {
  for (int64_t n : kSizes) {
    for (float spread : {1.0f, 1e-4f}) {
      const Row x = random_row(n, 17, spread);
      const Row got = on_all_sets([&](const KernelSet& set) {
        Row out = x;
        set.vector.l2_norm(out.data(), 1e-6f, n, out.data());
        return out;
      });
      double sum = static_cast<double>(1e-6f);
      for (float a : x) sum += static_cast<double>(a) * static_cast<double>(a);
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = x[i] / std::sqrt(sum);
        CHECK(std::fabs(got[i] - exact) <= std::fabs(exact) * kEpsilon * (20 + n / 16.0));
      }
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

}  // namespace
}  // namespace larder::quant

// Kernels of layers that carry a state: short convolutions and the gated delta rule.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernel_rows.h"

namespace larder::quant {
namespace {

// One head's tokens, in rows that other heads' values lie between.
struct Tokens {
  Tokens(int32_t d_key, int32_t d_value, int32_t n)
      : d_key(d_key), d_value(d_value), n(n), width(2 * d_key + d_value + 3) {
    x = random_row(int64_t{n} * width, 31, 0.5f);
    gates = random_row(int64_t{n} * 5, 32);
    for (float& gate : gates) gate = 1 / (1 + std::exp(-gate));
    state = random_row(static_cast<int64_t>(delta_state_floats(d_key, d_value)), 33);
    for (int32_t c = 0; c < n_columns(); ++c)
      for (int32_t i = 0; i < d_key; ++i)
        if (c >= d_value) state[place(i, c)] = 0;
    for (int32_t i = n - 1; i >= 0; --i) rows.push_back(i);  // their order is not the rows' own
  }
  int32_t n_columns() const { return (d_value + 15) / 16 * 16; }
  size_t place(int32_t i, int32_t c) const {
    return static_cast<size_t>((c / 16 * d_key + i) * 16 + c % 16);
  }
  DeltaRuleArgs args(int32_t begin, int32_t end, const Row& from, Row& to, Row& out) const {
    DeltaRuleArgs args;
    args.rows = rows.data() + begin;
    args.n_tokens = end - begin;
    args.q = x.data();
    args.k = x.data() + d_key;
    args.v = x.data() + 2 * d_key;
    args.stride = static_cast<size_t>(width);
    args.decay = gates.data() + 1;
    args.rate = gates.data() + 3;
    args.gate_stride = 5;
    args.out = out.data();
    args.out_stride = static_cast<size_t>(d_value);
    args.state = from.data();
    args.next_state = to.data();
    args.d_key = d_key;
    args.d_value = d_value;
    return args;
  }

  int32_t d_key, d_value, n, width;
  Row x, gates, state;
  std::vector<int32_t> rows;
};

// State and outputs, one behind the other, in double.
std::vector<double> reference(const Tokens& t) {
  std::vector<double> s(t.state.begin(), t.state.end());
  std::vector<double> out(static_cast<size_t>(t.n * t.d_value));
  for (const int32_t row : t.rows) {
    const float* q = t.x.data() + row * t.width;
    const float *k = q + t.d_key, *v = k + t.d_key;
    const double decay = t.gates[static_cast<size_t>(row * 5 + 1)];
    const double rate = t.gates[static_cast<size_t>(row * 5 + 3)];
    for (int32_t c = 0; c < t.d_value; ++c) {
      double held = 0, sum = 0;
      for (int32_t i = 0; i < t.d_key; ++i) held += decay * s[t.place(i, c)] * k[i];
      const double update = rate * (v[c] - held);
      for (int32_t i = 0; i < t.d_key; ++i) {
        double& entry = s[t.place(i, c)];
        entry = decay * entry + k[i] * update;
        sum += entry * q[i];
      }
      out[static_cast<size_t>(row * t.d_value + c)] = sum;
    }
  }
  s.insert(s.end(), out.begin(), out.end());
  return s;
}

Row run(const KernelSet& set, const Tokens& t, int32_t piece) {
  Row from = t.state, to(t.state.size(), kNaN), out(static_cast<size_t>(t.n * t.d_value), kNaN);
  for (int32_t begin = 0; begin < t.n; begin += piece) {
    set.vector.delta_rule(t.args(begin, std::min(begin + piece, t.n), from, to, out));
    std::swap(from, to);
  }
  from.insert(from.end(), out.begin(), out.end());
  return from;
}

TEST_CASE("recurrence: the delta rule at odd sizes, on every set, in pieces of any size") {
  for (const int32_t d_key : {1, 16, 33, 128}) {
    for (const int32_t d_value : {1, 16, 17, 40, 64, 128}) {
      const Tokens tokens(d_key, d_value, 5);
      const Row got = on_all_sets([&](const KernelSet& set) { return run(set, tokens, 5); });
      for (const KernelSet* set : supported_sets())
        for (const int32_t piece : {1, 2}) CHECK(same_bits(run(*set, tokens, piece), got));
      const std::vector<double> exact = reference(tokens);
      // Each token's sums of d_key products, of values that grow with it, round some times each.
      double most = 0;
      for (const double value : exact) most = std::max(most, std::fabs(value));
      for (size_t i = 0; i < exact.size(); ++i)
        CHECK(std::fabs(got[i] - exact[i]) <= most * kEpsilon * 8 * (5 + d_key));
    }
  }
}

TEST_CASE("recurrence: columns past the last stay zero") {
  const Tokens tokens(16, 17, 3);
  const Row got = on_all_sets([&](const KernelSet& set) { return run(set, tokens, 3); });
  for (int32_t c = 17; c < 32; ++c)
    for (int32_t i = 0; i < 16; ++i) CHECK(got[tokens.place(i, c)] == 0);
}

TEST_CASE("recurrence: a convolution adds its taps in ascending order") {
  for (int64_t n : kSizes) {
    for (const int32_t n_taps : {1, 3, 4, 7}) {
      const Row x = random_row(n * n_taps, 41), taps = random_row(n * n_taps, 42);
      std::vector<const float*> rows;
      for (int32_t j = n_taps - 1; j >= 0; --j) rows.push_back(x.data() + j * n);
      const Row got = on_all_sets([&](const KernelSet& set) {
        Row out(static_cast<size_t>(n));
        set.vector.convolve(rows.data(), taps.data(), n_taps, n, out.data());
        return out;
      });
      for (int64_t i = 0; i < n; ++i) {
        float sum = 0;
        for (int32_t j = 0; j < n_taps; ++j)
          sum =
              std::fma(taps[static_cast<size_t>(j * n + i)], rows[static_cast<size_t>(j)][i], sum);
        CHECK(got[static_cast<size_t>(i)] == sum);
      }
    }
  }
}

}  // namespace
}  // namespace larder::quant

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "quant/dispatch.h"

namespace larder::quant {
namespace {

using Row = std::vector<float>;

constexpr double kEpsilon = 0x1p-24;

Row random_row(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Row row(n);
  for (float& x : row) x = normal(random);
  return row;
}

// One kv head with its queries. K and V rows are strided as in a cache of several heads.
struct Case {
  int32_t n_queries = 4, d_key = 64, d_value = 64, first = 0, last = 100;
  Format keys = Format::f32, values = Format::f32;
  bool has_sinks = false, has_bias = false;
  float scale = 0.3f;
};

struct Inputs {
  Case shape;
  size_t key_stride, value_stride;
  Row q, keys, values, sinks, bias;  // keys and values as they stand for
  std::vector<uint8_t> stored_keys, stored_values;

  explicit Inputs(const Case& c)
      : shape(c),
        key_stride(static_cast<size_t>(c.d_key) + (c.keys == Format::q8_0 ? 32 : 3)),
        value_stride(static_cast<size_t>(c.d_value) + (c.values == Format::q8_0 ? 64 : 5)),
        q(random_row(static_cast<size_t>(c.n_queries * c.d_key), 1)),
        keys(random_row(static_cast<size_t>(c.last + 1) * key_stride, 2)),
        values(random_row(static_cast<size_t>(c.last + 1) * value_stride, 3)),
        sinks(random_row(static_cast<size_t>(c.n_queries), 4)),
        bias(random_row(static_cast<size_t>(c.n_queries * (c.last + 1)), 5)) {
    stored_keys = store(keys, c.keys);
    stored_values = store(values, c.values);
  }

  static std::vector<uint8_t> store(Row& row, Format format) {
    const VectorKernels& v = find_kernels("scalar")->vector;
    const auto n = static_cast<int64_t>(row.size());
    std::vector<uint8_t> stored(row_bytes(format, n));
    if (format == Format::f32) std::memcpy(stored.data(), row.data(), stored.size());
    if (format == Format::f16) v.to_f16(row.data(), n, reinterpret_cast<uint16_t*>(stored.data()));
    if (format == Format::q8_0) v.quantize_q8_0(row.data(), n, stored.data());
    v.dequantize(format, stored.data(), n, row.data());
    return stored;
  }
  static CacheView view(const std::vector<uint8_t>& stored, size_t stride, Format format) {
    return {stored.data(), format == Format::q8_0 ? stride / 32 : stride, format};
  }

  // The queries [begin, end) in one call.
  Row attend(const KernelSet& set, int32_t begin, int32_t end) const {
    const auto n = static_cast<size_t>(end - begin), d_value = static_cast<size_t>(shape.d_value);
    Row out(n * d_value, 1e9f);
    const AttentionArgs args = ask(begin, end, out.data());
    set.vector.attend(&args, 1);
    return out;
  }
  AttentionArgs ask(int32_t begin, int32_t end, float* out) const {
    const auto skipped = static_cast<size_t>(begin);
    AttentionArgs args;
    args.q = q.data() + skipped * static_cast<size_t>(shape.d_key);
    args.q_stride = static_cast<size_t>(shape.d_key);
    args.out = out;
    args.out_stride = static_cast<size_t>(shape.d_value);
    args.keys = view(stored_keys, key_stride, shape.keys);
    args.values = view(stored_values, value_stride, shape.values);
    args.n_queries = end - begin;
    args.d_key = shape.d_key;
    args.d_value = shape.d_value;
    args.first = shape.first;
    args.last = shape.last;
    args.scale = shape.scale;
    if (shape.has_sinks) args.sinks = sinks.data() + skipped;
    args.bias_stride = static_cast<size_t>(shape.last) + 1;
    if (shape.has_bias) args.bias = bias.data() + skipped * args.bias_stride;
    return args;
  }
  Row attend(const KernelSet& set) const { return attend(set, 0, shape.n_queries); }
};

// The plain formula in double, and the largest error a float evaluation may make.
struct Expected {
  std::vector<double> out, tolerance;
};

Expected reference(const Inputs& in) {
  const Case& c = in.shape;
  Expected expected;
  const auto d_key = static_cast<size_t>(c.d_key);
  for (size_t h = 0; h < static_cast<size_t>(c.n_queries); ++h) {
    std::vector<double> scores;
    double most = -1e300, score_error = 0;
    for (int32_t p = c.first; p <= c.last; ++p) {
      double dot = 0, magnitude = 0;
      for (size_t d = 0; d < d_key; ++d) {
        const double product = static_cast<double>(in.q[h * d_key + d]) *
                               in.keys[static_cast<size_t>(p) * in.key_stride + d];
        dot += product;
        magnitude += std::fabs(product);
      }
      double score = dot * c.scale;
      if (c.has_bias)
        score += in.bias[h * static_cast<size_t>(c.last + 1) + static_cast<size_t>(p)];
      scores.push_back(score);
      most = std::max(most, score);
      score_error = std::max(score_error, kEpsilon * (magnitude * c.scale * (c.d_key / 16.0 + 6) +
                                                      2 * std::fabs(score)));
    }
    if (c.has_sinks) most = std::max<double>(most, in.sinks[h]);
    double sum = c.has_sinks ? std::exp(in.sinks[h] - most) : 0;
    for (double s : scores) sum += std::exp(s - most);
    // An error e of a score is a relative error of its weight, in numerator and in sum; rounding
    // adds a few eps for each block and each step of the longest chain of sums.
    const double n = static_cast<double>(scores.size());
    const double relative = 2 * score_error + kEpsilon * (n + 10 * (n / 64 + 2));
    for (size_t d = 0; d < static_cast<size_t>(c.d_value); ++d) {
      double value = 0, magnitude = 0;
      for (size_t i = 0; i < scores.size(); ++i) {
        const double term = std::exp(scores[i] - most) / sum *
                            in.values[(static_cast<size_t>(c.first) + i) * in.value_stride + d];
        value += term;
        magnitude += std::fabs(term);
      }
      expected.out.push_back(value);
      expected.tolerance.push_back(magnitude * relative + 1e-30);
    }
  }
  return expected;
}

bool same_bits(const Row& a, const Row& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check(const Case& c) {
  const Inputs in(c);
  const Expected expected = reference(in);
  const Row scalar = in.attend(*find_kernels("scalar"));
  size_t n_wrong = 0;
  for (size_t i = 0; i < scalar.size(); ++i) {
    n_wrong += !(std::fabs(scalar[i] - expected.out[i]) <= expected.tolerance[i]);
  }
  CAPTURE(c.n_queries);
  CAPTURE(c.d_key);
  CAPTURE(c.d_value);
  CAPTURE(c.first);
  CAPTURE(c.last);
  CHECK(n_wrong == 0);
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    CAPTURE(set->name);
    CHECK(same_bits(in.attend(*set), scalar));
  }
}

TEST_CASE("attention: any number of keys, from one to several blocks") {
  for (int32_t last : {0, 1, 2, 30, 32, 62, 63, 64, 65, 127, 128, 257}) {
    Case c;
    c.last = last;
    check(c);
  }
}

TEST_CASE("attention: odd widths and numbers of heads") {
  for (int32_t d_key : {1, 3, 16, 31, 33, 96, 128, 258, 576}) {
    for (int32_t n_queries : {1, 2, 3, 5, 8}) {
      Case c;
      c.n_queries = n_queries;
      c.d_key = d_key;
      c.d_value = d_key == 576 ? 512 : d_key;
      c.last = 70;
      c.scale = 1.0f / std::sqrt(static_cast<float>(d_key));
      check(c);
      c.keys = c.values = Format::f16;
      check(c);
    }
  }
}

TEST_CASE("attention: keys and values in any pair of formats, to the bit what they stand for") {
  for (const Format keys : {Format::f32, Format::f16, Format::q8_0}) {
    for (const Format values : {Format::f32, Format::f16, Format::q8_0}) {
      for (int32_t n_queries : {1, 4, 7}) {
        Case c;
        c.n_queries = n_queries;
        c.d_key = 96;
        c.d_value = 160;
        c.first = 5;
        c.last = 140;
        c.keys = keys;
        c.values = values;
        check(c);
        const Inputs in(c);
        Inputs plain = in;
        plain.shape.keys = plain.shape.values = Format::f32;
        plain.stored_keys = Inputs::store(plain.keys, Format::f32);
        plain.stored_values = Inputs::store(plain.values, Format::f32);
        CHECK(same_bits(in.attend(best_kernels()), plain.attend(best_kernels())));
      }
    }
  }
}

// Of n_rows rows the last one stands at c.last, the others one behind another before it.
void check_rows(const Case& c, int32_t n_rows, int32_t window) {
  const Inputs in(c);
  const auto n_out = static_cast<size_t>(c.n_queries * c.d_value);
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    CAPTURE(set->name);
    Row together(static_cast<size_t>(n_rows) * n_out), apart = together;
    std::vector<AttentionArgs> args;
    for (int32_t r = 0; r < n_rows; ++r) {
      const auto at = static_cast<size_t>(r) * n_out;
      args.push_back(in.ask(0, c.n_queries, together.data() + at));
      args.back().last = c.last - n_rows + 1 + r;
      args.back().first = std::max(0, args.back().last - window + 1);
      AttentionArgs alone = args.back();
      alone.out = apart.data() + at;
      set->vector.attend(&alone, 1);
    }
    set->vector.attend(args.data(), n_rows);
    CHECK(same_bits(together, apart));
  }
}

TEST_CASE("attention: a row's result does not depend on the rows that read keys with it") {
  for (int32_t n_queries : {1, 2, 3, 4, 8, 40}) {
    for (int32_t n_rows : {2, 5, 32}) {
      for (int32_t window : {1, 20, 64, 130, 1000}) {
        Case c;
        c.n_queries = n_queries;
        c.d_key = c.d_value = 32;
        c.last = 200;
        c.has_sinks = n_queries == 3;
        c.keys = c.values = window == 20 ? Format::q8_0 : Format::f16;
        check_rows(c, n_rows, window);
      }
    }
  }
}

TEST_CASE("attention: a ring of positions gives what all of them give") {
  Case c;
  c.first = 150;
  c.last = 300;
  c.d_key = c.d_value = 32;
  for (const Format format : {Format::f32, Format::f16, Format::q8_0}) {
    c.keys = c.values = format;
    const Inputs in(c);
    AttentionArgs args = in.ask(0, c.n_queries, nullptr);
    Row expected(static_cast<size_t>(c.n_queries * c.d_value)), got = expected;
    args.out = expected.data();
    best_kernels().vector.attend(&args, 1);
    constexpr int32_t kPlaces = 192;
    const VectorKernels& v = find_kernels("scalar")->vector;
    Row keys(kPlaces * in.key_stride), values(kPlaces * in.value_stride);
    for (size_t p = 150; p <= 300; ++p) {
      std::copy_n(&in.keys[p * in.key_stride], in.key_stride, &keys[p % kPlaces * in.key_stride]);
      std::copy_n(&in.values[p * in.value_stride], in.value_stride,
                  &values[p % kPlaces * in.value_stride]);
    }
    const std::vector<uint8_t> ring_keys = Inputs::store(keys, format);
    const std::vector<uint8_t> ring_values = Inputs::store(values, format);
    CHECK(v.all_finite(keys.data(), static_cast<int64_t>(keys.size())));
    args.keys.data = ring_keys.data();
    args.values.data = ring_values.data();
    args.keys.n_places = args.values.n_places = kPlaces;
    args.out = got.data();
    best_kernels().vector.attend(&args, 1);
    CHECK(same_bits(got, expected));
  }
}

TEST_CASE("attention: more heads than one pass holds") {
  Case c;
  c.n_queries = 130;
  c.d_key = c.d_value = 16;
  c.has_sinks = c.has_bias = true;
  check(c);
}

TEST_CASE("attention: windows begin and end anywhere") {
  for (int32_t first : {0, 1, 63, 64, 65, 100, 128, 200}) {
    for (int32_t length : {1, 2, 64, 128}) {
      Case c;
      c.first = first;
      c.last = first + length - 1;
      c.keys = c.values = Format::f16;
      check(c);
    }
  }
}

TEST_CASE("attention: sinks take weight and give no value, biases move scores") {
  for (int option = 0; option < 4; ++option) {
    Case c;
    c.has_sinks = option % 2 != 0;
    c.has_bias = option / 2 != 0;
    c.last = 150;
    c.first = 10;
    check(c);
  }
}

TEST_CASE("attention: a head's result does not depend on the heads beside it") {
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    Case c;
    c.n_queries = 7;
    c.has_sinks = c.has_bias = true;
    c.last = 200;
    const Inputs in(c);
    const Row together = in.attend(*set);
    Row apart;
    for (int32_t h = 0; h < 7; ++h) {
      const Row one = in.attend(*set, h, h + 1);
      apart.insert(apart.end(), one.begin(), one.end());
    }
    CHECK(same_bits(together, apart));
  }
}

TEST_CASE("attention: scores far apart neither overflow nor become NaN") {
  Case c;
  c.scale = 30.0f;
  c.last = 130;
  const Inputs in(c);
  const Row out = in.attend(best_kernels());
  CHECK(best_kernels().vector.all_finite(out.data(), static_cast<int64_t>(out.size())));
}

TEST_CASE("attention: keys masked by a bias of -infinity weigh nothing") {
  for (const KernelSet* set : kernel_sets()) {
    if (!is_supported(*set)) continue;
    Case c;
    c.has_bias = true;
    c.last = 200;
    Inputs in(c);
    Inputs masked = in;
    const size_t n = 201;
    for (size_t h = 0; h < 4; ++h) {
      for (size_t p = 0; p < 130; ++p) masked.bias[h * n + p] = -INFINITY;
    }
    in.shape.first = 130;
    const Row expected = in.attend(*set), got = masked.attend(*set);
    CHECK(same_bits(expected, got));
    for (float& b : masked.bias) b = -INFINITY;
    for (float x : masked.attend(*set)) CHECK(x == 0.0f);
  }
}

}  // namespace
}  // namespace larder::quant

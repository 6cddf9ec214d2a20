// The vocabulary of integer dot products, and its portable meaning. A tag of its own, so that what
// needs only floats does not see it.
//   Bytes  32 uint8 lanes: the quants of 32 weights
//   Pair   those of two times 32
//   Words  16 int16 lanes: scales, minimums, sums of activations
//   Sums   the lanes of one int32 sum, added up by reduce_rows (here one lane)
// Whatever loops over lanes is noinline here: expanded in every kernel it takes minutes to compile.
// A panel vector is 64 bytes, 4 consecutive k of each of 16 rows, and passes as Ints.
//
// Quants are unsigned, at most max_quant; activations are in [-127, 127]. Where an instruction set
// must turn quants of 8 bits into signed ones to stay exact, their offset of 128 is gone from its
// dots; offset_left says how much of a format's offset remains for the caller to subtract.
#pragma once

#include "quant/isa/dot.h"
#include "quant/isa/primitives_scalar.h"

namespace larder::quant::scalar {
namespace {

struct Bytes {
  uint8_t lane[32];

  template <class F>
  static Bytes make(F f) {
    Bytes r;
    for (int i = 0; i < 32; ++i) r.lane[i] = static_cast<uint8_t>(f(i));
    return r;
  }
  static Bytes broadcast(uint8_t x) {
    return make([=](int) { return x; });
  }
  static Bytes load(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return make([=](int i) { return bytes[i]; });
  }
  // 16 bytes: lanes 0 to 15 are the low nibbles, 16 to 31 the high ones.
  [[gnu::noinline]] static Bytes load_nibbles(const uint8_t* p) {
    return make([=](int i) { return i < 16 ? p[i] & 15 : p[i - 16] >> 4; });
  }
  // Lane i is `value` where bit i of the 4 bytes is set, else 0.
  [[gnu::noinline]] static Bytes spread_bits(const uint8_t* p, uint8_t value) {
    return make([=](int i) { return p[i / 8] >> i % 8 & 1 ? value : 0; });
  }

  friend Bytes operator&(Bytes a, Bytes b) {
    return make([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  friend Bytes operator|(Bytes a, Bytes b) {
    return make([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  friend Bytes operator^(Bytes a, Bytes b) {
    return make([&](int i) { return a.lane[i] ^ b.lane[i]; });
  }
};

// Bits that cross from one byte to the next are unspecified: the caller masks them.
template <int n>
[[gnu::noinline]] Bytes shift_left(Bytes a) {
  return Bytes::make([&](int i) { return a.lane[i] << n; });
}
template <int n>
[[gnu::noinline]] Bytes shift_right(Bytes a) {
  return Bytes::make([&](int i) { return a.lane[i] >> n; });
}
// table[lane]. REQUIRES: lanes below 16.
[[gnu::noinline]] inline Bytes look_up(const uint8_t* table, Bytes a) {
  return Bytes::make([&](int i) { return table[a.lane[i]]; });
}

struct Words {
  int16_t lane[16];

  template <class F>
  static Words make(F f) {
    Words r;
    for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<int16_t>(f(i));
    return r;
  }
  static Words broadcast(int16_t x) {
    return make([=](int) { return x; });
  }
  static Words load(const int16_t* p) {
    return make([=](int i) { return p[i]; });
  }
  static Words from_uint8(const uint8_t* p) {
    return make([=](int i) { return p[i]; });
  }
  static Words from_int8(const int8_t* p) {
    return make([=](int i) { return p[i]; });
  }
  // The 8 bytes of x, lowest first, then 8 zeros.
  [[gnu::noinline]] static Words from_8_bytes(uint64_t x) {
    return make([=](int i) { return i < 8 ? x >> 8 * i & 0xff : 0; });
  }
  [[gnu::noinline]] static Words from_16_bytes(uint64_t low, uint64_t high) {
    return make([=](int i) { return (i < 8 ? low : high) >> 8 * (i % 8) & 0xff; });
  }

  // Eight 6-bit scales and minimums out of 12 bytes (block.h, ScalesAndMins); scales in words 0 to
  // 7, minimums in words 8 to 15.
  [[gnu::noinline]] static Words from_6_bit_scales(const uint8_t* p) {
    return Words::make([=](int i) {
      const int k = i % 4, own = i < 8 ? 0 : 4;  // where the group's own bytes start
      if (i % 8 < 4) return p[own + k] & 63;
      return (i < 8 ? p[8 + k] & 15 : p[8 + k] >> 4) | p[own + k] >> 6 << 4;
    });
  }

  friend Words operator-(Words a, Words b) {
    return make([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  friend Words operator*(Words a, Words b) {
    return make([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  friend Words operator&(Words a, Words b) {
    return make([&](int i) { return a.lane[i] & b.lane[i]; });
  }
};
template <int n>
[[gnu::noinline]] Words shift_right(Words a) {  // zeros come in
  return Words::make([&](int i) { return static_cast<uint16_t>(a.lane[i]) >> n; });
}

inline Words low_words(Words a) {  // the upper 8 become zeros
  return Words::make([&](int i) { return i < 8 ? a.lane[i] : 0; });
}
inline Words high_words(Words a) {  // words 8 to 15, then zeros
  return Words::make([&](int i) { return i < 8 ? a.lane[i + 8] : 0; });
}

struct Sums {
  int32_t total;
  static Sums zero() { return {0}; }
};

struct ScalarInt8 : Scalar {
  using Bytes = scalar::Bytes;
  using Words = scalar::Words;
  using Sums = scalar::Sums;
  using Pair = BytePair<Bytes>;

  static constexpr int kTilePanels = 1, kTileTokens = 2;  // of the panel kernel
  static constexpr int kRowTokens = 1;                    // of the row kernel
  template <int max_quant>
  static constexpr int offset_left(int offset) {
    return offset;
  }

  struct PairSums {
    Sums first, second;
  };
  // The first 32 quants . a, the second . b
  template <int max_quant>
  [[gnu::noinline]] static PairSums dot_pair(Pair quants, const int8_t* a, const int8_t* b) {
    PairSums sums{};
    for (int i = 0; i < 32; ++i) {
      sums.first.total += quants.first.lane[i] * a[i];
      sums.second.total += quants.second.lane[i] * b[i];
    }
    return sums;
  }
  // The scales of quants 32 i to 32 i + 31, ready for dot_scaled, out of 8 or 16 of them.
  template <int group, int i>
  [[gnu::noinline]] static Words spread(Words scales) {
    return Words::make([&](int k) { return scales.lane[group == 32 ? i : 2 * i + k / 8]; });
  }
  // A sum over 64 quants at a time: wider where the instruction set is.
  using WideSums = Sums;
  static Sums narrow(WideSums sums) { return sums; }
  // sum + quants 64 i to 64 i + 63, scaled, . a
  template <int max_quant, int group, int i>
  static WideSums dot_scaled_64(WideSums sum, Pair quants, const int8_t* a, Words scales) {
    sum = dot_scaled<max_quant>(sum, quants.first, a, spread<group, 2 * i>(scales));
    return dot_scaled<max_quant>(sum, quants.second, a + 32, spread<group, 2 * i + 1>(scales));
  }
  template <BitField first, BitField second>
  static Pair pair_of_bits(const uint8_t* block) {
    return quant::pair_of_bits<first, second, Bytes>(block);
  }
  template <int max_quant>
  [[gnu::noinline]] static Sums dot_scaled(Sums sum, Bytes quants, const int8_t* a, Words scales) {
    for (int i = 0; i < 32; ++i) sum.total += scales.lane[i / 2] * (quants.lane[i] * a[i]);
    return sum;
  }
  [[gnu::noinline]] static Sums dot_words(Sums sum, Words a, Words b) {
    for (int i = 0; i < 16; ++i) sum.total += a.lane[i] * b.lane[i];
    return sum;
  }
  // Lane r is the total of rows[r].
  [[gnu::noinline]] static Ints reduce_rows(const Sums* rows) {
    return Ints::make([=](int r) { return rows[r].total; });
  }
  struct Reduced {
    Ints first, second;
  };
  [[gnu::noinline]] static Reduced reduce_pairs(const PairSums* rows) {
    return {Ints::make([=](int r) { return rows[r].first.total; }),
            Ints::make([=](int r) { return rows[r].second.total; })};
  }
  // Lane r is the float16 at `offset` bytes from rows[r].
  [[gnu::noinline]] static Floats gather_f16(const uint8_t* const* rows, size_t offset) {
    return Floats::make([=](int r) {
      const uint8_t* p = rows[r] + offset;
      return scalar::widen_f16(static_cast<uint16_t>(p[0] | p[1] << 8));
    });
  }

  // 16 rows of 32 quants to 8 panel vectors.
  template <int max_quant>
  [[gnu::noinline]] static void store_panel(const Bytes* rows, uint8_t* panel) {
    for (int k = 0; k < 32; ++k) {
      for (int r = 0; r < 16; ++r) panel[k / 4 * 64 + r * 4 + k % 4] = rows[r].lane[k];
    }
  }
  // 16 rows of 16 words to 8 vectors of pairs: lane r of vector i is words 2 i and 2 i + 1 of row
  // r.
  [[gnu::noinline]] static void store_pairs(const Words* rows, int32_t* pairs) {
    for (int i = 0; i < 8; ++i) {
      for (int r = 0; r < 16; ++r) __builtin_memcpy(pairs + 16 * i + r, rows[r].lane + 2 * i, 4);
    }
  }
  // Lane c of row r and lane r of row c change places.
  [[gnu::noinline]] static void transpose_16x16(Ints* rows) {
    for (int r = 0; r < 16; ++r) {
      for (int c = 0; c < r; ++c) {
        const int32_t lane = rows[r].lane[c];
        rows[r].lane[c] = rows[c].lane[r];
        rows[c].lane[r] = lane;
      }
    }
  }
  // Dword i of the 16 bytes at `offset` from each row goes to lane r of columns[i].
  [[gnu::noinline]] static void load_columns(const uint8_t* const* rows, size_t offset,
                                             Ints* columns) {
    for (int i = 0; i < 4; ++i) {
      for (int r = 0; r < 16; ++r) {
        __builtin_memcpy(&columns[i].lane[r], rows[r] + offset + 4 * i, 4);
      }
    }
  }
  // Lane r is the float16 in the low or high half of lane r.
  [[gnu::noinline]] static Floats low_f16(Ints x) {
    return Floats::make([&](int r) { return scalar::widen_f16(static_cast<uint16_t>(x.lane[r])); });
  }
  static Floats high_f16(Ints x) { return low_f16(shift_right<16>(x)); }
  // One word of each pair, in the form that add_scaled reads.
  static Ints low_scale(Ints pairs) { return shift_right_signed<16>(shift_left<16>(pairs)); }
  static Ints high_scale(Ints pairs) { return shift_right_signed<16>(pairs); }

  // table[byte] of every byte. REQUIRES: bytes below 16.
  [[gnu::noinline]] static Ints look_up_bytes(const uint8_t* table, Ints x) {
    uint8_t bytes[64];
    __builtin_memcpy(bytes, x.lane, 64);
    for (uint8_t& b : bytes) b = table[b];
    __builtin_memcpy(x.lane, bytes, 64);
    return x;
  }

  // Whether quants that are a shift and a mask away from the native bytes are unpacked while they
  // are multiplied: on processors whose dot products leave ports for it.
  static constexpr bool kUnpacksInStep = false;
  // Whether few tokens meet blocks of nibbles transposed: where four steps may follow each other.
  template <int max_quant>
  static constexpr bool transposes_rows() {
    return false;
  }
  // Panel steps that may follow each other before the partial sums must be added up.
  template <int max_quant>
  static constexpr int steps_exact() {
    return 64;
  }
  // Partial sums of 16 rows plus 4 quants each . the 4 activations at a.
  template <int max_quant>
  [[gnu::noinline]] static Ints step(Ints partial, Ints quants, const int8_t* a) {
    uint8_t q[64];
    __builtin_memcpy(q, quants.lane, 64);
    return Ints::make([&](int r) {
      return partial.lane[r] + q[4 * r] * a[0] + q[4 * r + 1] * a[1] + q[4 * r + 2] * a[2] +
             q[4 * r + 3] * a[3];
    });
  }
  static Ints add_partial(Ints sum, Ints partial) { return sum + partial; }
  [[gnu::noinline]] static Ints add_scaled(Ints sum, Ints partial, Ints scale) {
    return sum + partial * scale;
  }
  // sum + pair . the two words at a, per row.
  [[gnu::noinline]] static Ints step_pairs(Ints sum, Ints pairs, const int16_t* a) {
    return sum + low_scale(pairs) * Ints::broadcast(a[0]) +
           high_scale(pairs) * Ints::broadcast(a[1]);
  }
};

}  // namespace
}  // namespace larder::quant::scalar

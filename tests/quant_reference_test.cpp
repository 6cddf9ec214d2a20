// The oracle itself: against blocks worked out by hand from the layouts, against another
// implementation's values, and through its own quantisers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "quant/activation_block.h"
#include "quant/reference.h"

using namespace larder::quant;

namespace {

std::vector<double> dequantized(Format format, const std::vector<uint8_t>& block) {
  const FormatTraits& traits = *find_format(static_cast<int32_t>(format));
  REQUIRE(block.size() == static_cast<size_t>(traits.block_bytes));
  std::vector<double> out(static_cast<size_t>(traits.block_elements));
  reference::dequantize(format, block.data(), traits.block_elements, out.data());
  return out;
}

// A block of zeros with some bytes set.
struct Byte {
  size_t at;
  int value;
};
std::vector<uint8_t> block_with(Format format, std::initializer_list<Byte> bytes) {
  const FormatTraits& traits = *find_format(static_cast<int32_t>(format));
  std::vector<uint8_t> block(static_cast<size_t>(traits.block_bytes));
  for (const Byte& b : bytes) block[b.at] = static_cast<uint8_t>(b.value);
  return block;
}

// float16: 0x4000 is 2, 0x3c00 is 1, 0xb800 is -0.5.

}  // namespace

TEST_CASE("reference: float16 by its definition") {
  CHECK(reference::widen_f16(0x3c00) == 1);
  CHECK(reference::widen_f16(0xc000) == -2);
  CHECK(reference::widen_f16(0x0001) == 0x1p-24);
  CHECK(reference::widen_f16(0x03ff) == 1023 * 0x1p-24);
  CHECK(reference::widen_f16(0x7bff) == 65504);
  CHECK(std::isinf(reference::widen_f16(0xfc00)));
  CHECK(std::isnan(reference::widen_f16(0x7c01)));
  CHECK(std::signbit(reference::widen_f16(0x8000)));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0) continue;  // NaN
    REQUIRE(reference::narrow_f16(reference::widen_f16(half)) == half);
  }
}

TEST_CASE("reference: float16 rounds to nearest, ties to even") {
  CHECK(reference::narrow_f16(1 + 0x1p-11) == 0x3c00);
  CHECK(reference::narrow_f16(1 + 3 * 0x1p-11) == 0x3c02);
  CHECK(reference::narrow_f16(1 + 0x1p-11 + 0x1p-30) == 0x3c01);
  CHECK(reference::narrow_f16(65519) == 0x7bff);
  CHECK(reference::narrow_f16(65520) == 0x7c00);
  CHECK(reference::narrow_f16(0x1p-25) == 0);
  CHECK(reference::narrow_f16(1.5 * 0x1p-24) == 2);
  CHECK(reference::narrow_f16(0x1p-14 - 0x1p-26) == 0x0400);
}

TEST_CASE("reference: blocks of 32 by hand") {
  // d = 2; byte 3 holds elements 3 (low nibble 1) and 19 (high nibble 15).
  auto x = dequantized(Format::q4_0, block_with(Format::q4_0, {{1, 0x40}, {5, 0xf1}}));
  CHECK(x[3] == 2 * (1 - 8));
  CHECK(x[19] == 2 * (15 - 8));
  CHECK(x[0] == -16);

  // d = 2, m = -0.5.
  x = dequantized(Format::q4_1, block_with(Format::q4_1, {{1, 0x40}, {3, 0xb8}, {19, 0x92}}));
  CHECK(x[15] == 2 * 2 - 0.5);
  CHECK(x[31] == 2 * 9 - 0.5);
  CHECK(x[0] == -0.5);

  // qh: bit 9 is byte 1 bit 1, bit 31 is byte 3 bit 7.
  x = dequantized(Format::q5_0,
                  block_with(Format::q5_0, {{1, 0x3c}, {3, 0x02}, {5, 0x80}, {15, 5}, {21, 0x30}}));
  CHECK(x[9] == 5 + 16 - 16);
  CHECK(x[31] == 3 + 16 - 16);
  CHECK(x[15] == -16);

  x = dequantized(Format::q5_1,
                  block_with(Format::q5_1, {{1, 0x40}, {3, 0x3c}, {4, 0x01}, {8, 7}}));
  CHECK(x[0] == 2 * (7 + 16) + 1);
  CHECK(x[16] == 1);

  x = dequantized(Format::q8_0, block_with(Format::q8_0, {{1, 0xb8}, {2, 0x80}, {33, 127}}));
  CHECK(x[0] == 64);
  CHECK(x[31] == -63.5);

  x = dequantized(Format::iq4_nl, block_with(Format::iq4_nl, {{1, 0x3c}, {2, 0xf8}}));
  CHECK(x[0] == 1);
  CHECK(x[16] == 113);
  CHECK(x[1] == -127);

  // e = 129: quants times 2^(129 - 127), E2M1 code 7 is 6, 9 is -0.5.
  x = dequantized(Format::mxfp4, block_with(Format::mxfp4, {{0, 129}, {16, 0x97}}));
  CHECK(x[15] == 24);
  CHECK(x[31] == -2);
  CHECK(x[0] == 0);
  x = dequantized(Format::mxfp4, block_with(Format::mxfp4, {{0, 0}, {1, 0x02}}));
  CHECK(x[0] == 0x1p-127);
}

TEST_CASE("reference: super-blocks by hand") {
  // Element 128 + 2 * 32 + 17: bits 4, 5 of qs[32 + 17]; sub-block 8 + 4 + 1 = 13.
  auto x = dequantized(
      Format::q2_k,
      block_with(Format::q2_k, {{13, 0x35}, {16 + 49, 2 << 4}, {81, 0x40}, {83, 0x3c}}));
  CHECK(x[209] == 2 * 5 * 2 - 1 * 3);
  CHECK(x[208] == -3);
  CHECK(x[207] == 0);

  // The same element; bit 4 + 2 of hmask[17]. Scale 13: high nibble of scales[5], bits 6, 7 of
  // scales[9].
  x = dequantized(
      Format::q3_k,
      block_with(Format::q3_k,
                 {{17, 1 << 6}, {32 + 49, 2 << 4}, {96 + 5, 0x70}, {96 + 9, 0x80}, {109, 0x40}}));
  CHECK(x[209] == 2 * (7 + 32 - 32) * 2);
  CHECK(x[208] == 2 * 7 * -4);
  CHECK(x[0] == 2 * -32 * -4);

  // Sub-block 6: scale (b[10] & 15) | b[2] >> 6 << 4, minimum b[10] >> 4 | b[6] >> 6 << 4.
  // Element 6 * 32 + 7: low nibble of qs[96 + 7].
  x = dequantized(Format::q4_k, block_with(Format::q4_k, {{1, 0x40},
                                                          {3, 0x3c},
                                                          {4 + 10, 0x29},
                                                          {4 + 2, 0x80 | 17},
                                                          {4 + 6, 0x40 | 5},
                                                          {16 + 103, 0xb3}}));
  CHECK(x[199] == 2 * (9 + 32) * 3 - (2 + 16));
  CHECK(x[198] == -18);
  CHECK(x[64] == -5);       // sub-block 2: scale 17, minimum 5
  CHECK(x[199 + 32] == 0);  // sub-block 7: scale 0

  // Sub-block 1: scale b[1] & 63; element 32 + 7: high nibble of qs[7], bit 1 of qh[7].
  x = dequantized(
      Format::q5_k,
      block_with(Format::q5_k, {{1, 0x40}, {3, 0x3c}, {4 + 1, 63}, {16 + 7, 2}, {48 + 7, 0xb3}}));
  CHECK(x[39] == 2 * 63 * (11 + 16));
  CHECK(x[7] == 0);

  // Element 128 + 32 * 3 + 20: high nibble of ql[64 + 32 + 20], bits 6, 7 of qh[32 + 20];
  // scale 8 + 6 + 1.
  x = dequantized(
      Format::q6_k,
      block_with(Format::q6_k, {{116, 0xd0}, {128 + 52, 0xc0}, {192 + 15, 0xfe}, {209, 0x40}}));
  CHECK(x[244] == 2 * -2 * (13 + 48 - 32));
  CHECK(x[243] == 2 * -2 * -32);
  CHECK(x[0] == 0);

  // Sub-block 5: high nibble of scales_l[2], bits 10, 11 of scales_h.
  x = dequantized(
      Format::iq4_xs,
      block_with(Format::iq4_xs, {{1, 0x3c}, {3, 0x0c}, {4 + 2, 0x30}, {8 + 16 * 5 + 1, 0x0f}}));
  CHECK(x[161] == (3 + 48 - 32) * 113);
  CHECK(x[177] == 19 * -127);
  CHECK(x[0] == -32 * -127);
}

TEST_CASE("reference: the values that another implementation gives to random blocks") {
  std::ifstream file(LARDER_TEST_DATA_DIR "/quant_blocks.bin", std::ios::binary);
  REQUIRE(file.good());
  const std::vector<char> data((std::istreambuf_iterator<char>(file)), {});
  size_t at = 0, n_formats = 0;
  while (at < data.size()) {
    int32_t header[3];  // type, bytes, elements
    std::memcpy(header, data.data() + at, sizeof header);
    at += sizeof header;
    const FormatTraits* traits = find_format(header[0]);
    REQUIRE(traits != nullptr);
    CAPTURE(traits->name);
    const auto n = static_cast<size_t>(header[2]);
    std::vector<double> ours(n);
    reference::dequantize(traits->format, reinterpret_cast<const uint8_t*>(data.data() + at),
                          header[2], ours.data());
    at += static_cast<size_t>(header[1]);
    std::vector<float> theirs(n);
    std::memcpy(theirs.data(), data.data() + at, n * sizeof(float));
    at += n * sizeof(float);
    const auto block = static_cast<size_t>(traits->block_elements);
    for (size_t i = 0; i < n; ++i) {
      // Theirs are float32: three roundings of parts no larger than twice the block's largest.
      double most = 0;
      for (size_t k = i / block * block; k < (i / block + 1) * block; ++k) {
        most = std::max(most, std::fabs(ours[k]));
      }
      CAPTURE(i);
      REQUIRE(std::fabs(ours[i] - static_cast<double>(theirs[i])) <= 6 * 0x1p-24 * most);
    }
    ++n_formats;
  }
  CHECK(n_formats == format_traits().size());
}

TEST_CASE("reference: quantising is off by at most a step") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(512);
  for (float& v : x) v = normal(random);
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    std::vector<uint8_t> row(row_bytes(traits.format, 512));
    reference::quantize(traits.format, x.data(), 512, row.data());
    std::vector<double> back(512);
    reference::dequantize(traits.format, row.data(), 512, back.data());
    double error = 0, norm = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      error += (back[i] - x[i]) * (back[i] - x[i]);
      norm += double(x[i]) * x[i];
    }
    // Uniform error of a step of about range / 2^bits, range +-3 sigma, bits without scales.
    const double bits = 8.0 * traits.block_bytes / traits.block_elements;
    const double step = 6 / std::exp2(std::min(std::floor(bits), 11.0));
    CHECK(std::sqrt(error / norm) < step);
  }
}

TEST_CASE("reference: quantising what a format can express changes nothing") {
  for (const FormatTraits& traits : format_traits()) {
    CAPTURE(traits.name);
    const std::vector<float> zeros(256);
    std::vector<uint8_t> row(row_bytes(traits.format, 256), 0xee);
    reference::quantize(traits.format, zeros.data(), 256, row.data());
    std::vector<double> back(256, 1);
    reference::dequantize(traits.format, row.data(), 256, back.data());
    CHECK(std::all_of(back.begin(), back.end(), [](double v) { return v == 0; }));
  }
}

TEST_CASE("reference: activations keep their sums, and zeros have scale 0") {
  std::vector<float> x(512);
  for (size_t i = 0; i < 256; ++i) x[i] = static_cast<float>(i) - 100.5f;
  std::vector<ActivationBlock256> wide(2);
  reference::quantize_activations(ActivationFormat::q8_256, x.data(), 512, wide.data());
  CHECK(wide[0].scale == 154.5f / 127);
  CHECK(wide[0].q[255] == 127);
  CHECK(wide[1].scale == 0);
  for (int i = 0; i < 16; ++i) {
    int sum = 0;
    for (int k = 0; k < 16; ++k) sum += wide[0].q[16 * i + k];
    CHECK(wide[0].sums_16[i] == sum);
  }
  for (int i = 0; i < 8; ++i) {
    CHECK(wide[0].sums_32[i] == wide[0].sums_16[2 * i] + wide[0].sums_16[2 * i + 1]);
  }
  std::vector<ActivationBlock32> narrow(16);
  reference::quantize_activations(ActivationFormat::q8_32, x.data(), 512, narrow.data());
  CHECK(narrow[0].q[0] == -127);
  CHECK(narrow[0].scale == 100.5f / 127);
  CHECK(narrow[15].sum == 0);
}

#include "quant/format.h"

#include <array>
#include <cassert>

#include "quant/activation_block.h"
#include "quant/block.h"

namespace larder::quant {
namespace {

template <class Block>
constexpr FormatTraits blocks_of_32(Format format, const char* name) {
  return {format, name, 32, sizeof(Block), ActivationFormat::q8_32};
}
template <class Block>
constexpr FormatTraits blocks_of_256(Format format, const char* name) {
  return {format, name, 256, sizeof(Block), ActivationFormat::q8_256};
}
template <class Element>
constexpr FormatTraits floats(Format format, const char* name) {
  return {format, name, 1, sizeof(Element), ActivationFormat::f32};
}

constexpr std::array kTraits = {
    floats<float>(Format::f32, "F32"),
    floats<uint16_t>(Format::f16, "F16"),
    blocks_of_32<BlockQ4_0>(Format::q4_0, "Q4_0"),
    blocks_of_32<BlockQ4_1>(Format::q4_1, "Q4_1"),
    blocks_of_32<BlockQ5_0>(Format::q5_0, "Q5_0"),
    blocks_of_32<BlockQ5_1>(Format::q5_1, "Q5_1"),
    blocks_of_32<BlockQ8_0>(Format::q8_0, "Q8_0"),
    blocks_of_256<BlockQ2_K>(Format::q2_k, "Q2_K"),
    blocks_of_256<BlockQ3_K>(Format::q3_k, "Q3_K"),
    blocks_of_256<BlockQ4_K>(Format::q4_k, "Q4_K"),
    blocks_of_256<BlockQ5_K>(Format::q5_k, "Q5_K"),
    blocks_of_256<BlockQ6_K>(Format::q6_k, "Q6_K"),
    blocks_of_32<BlockIQ4_NL>(Format::iq4_nl, "IQ4_NL"),
    blocks_of_256<BlockIQ4_XS>(Format::iq4_xs, "IQ4_XS"),
    floats<uint16_t>(Format::bf16, "BF16"),
    blocks_of_32<BlockMXFP4>(Format::mxfp4, "MXFP4"),
};

// Position in kTraits by id, -1 where there is none.
constexpr auto kSlots = [] {
  std::array<int8_t, kFormatSlots> slots{};
  for (int8_t& slot : slots) slot = -1;
  for (size_t i = 0; i < kTraits.size(); ++i) {
    slots[static_cast<size_t>(kTraits[i].format)] = static_cast<int8_t>(i);
  }
  return slots;
}();

}  // namespace

std::span<const FormatTraits> format_traits() noexcept { return kTraits; }

const FormatTraits* find_format(int32_t id) noexcept {
  if (id < 0 || id >= kFormatSlots) return nullptr;
  const int8_t slot = kSlots[static_cast<size_t>(id)];
  return slot < 0 ? nullptr : &kTraits[static_cast<size_t>(slot)];
}

size_t row_bytes(Format format, int64_t n_cols) noexcept {
  const FormatTraits* traits = find_format(static_cast<int32_t>(format));
  assert(traits != nullptr && n_cols >= 0 && n_cols % traits->block_elements == 0);
  return static_cast<size_t>(n_cols / traits->block_elements) *
         static_cast<size_t>(traits->block_bytes);
}

size_t activation_row_bytes(ActivationFormat format, int64_t n_cols) noexcept {
  const auto n = static_cast<size_t>(n_cols);
  size_t bytes = 0;
  switch (format) {
    case ActivationFormat::f32:
      bytes = n * sizeof(float);
      break;
    case ActivationFormat::q8_32:
      bytes = n / 32 * sizeof(ActivationBlock32);
      break;
    case ActivationFormat::q8_256:
      bytes = n / 256 * sizeof(ActivationBlock256);
      break;
  }
  return (bytes + 63) / 64 * 64;
}

}  // namespace larder::quant

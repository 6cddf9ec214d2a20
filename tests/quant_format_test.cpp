#include <doctest/doctest.h>

#include "formats/gguf/tensor_type.h"
#include "quant/format.h"

using namespace larder;

TEST_CASE("format: sizes agree with the container's") {
  for (const quant::FormatTraits& traits : quant::format_traits()) {
    CAPTURE(traits.name);
    const auto* type = formats::find_tensor_type(static_cast<int32_t>(traits.format));
    REQUIRE(type != nullptr);
    CHECK(type->name == traits.name);
    CHECK(static_cast<int>(type->block_elements) == traits.block_elements);
    CHECK(static_cast<int>(type->block_bytes) == traits.block_bytes);
  }
}

TEST_CASE("format: found by id, and only where there are kernels") {
  for (const quant::FormatTraits& traits : quant::format_traits()) {
    CHECK(quant::find_format(static_cast<int32_t>(traits.format)) == &traits);
  }
  for (const int32_t id : {-1, 4, 5, 9, 15, 16, 24, 38, 40, 1000}) {
    CHECK(quant::find_format(id) == nullptr);
  }
}

TEST_CASE("format: rows are whole blocks, activation rows whole cache lines") {
  CHECK(quant::row_bytes(quant::Format::q4_k, 2048) == 8 * 144);
  CHECK(quant::row_bytes(quant::Format::mxfp4, 2880) == 90 * 17);
  CHECK(quant::row_bytes(quant::Format::bf16, 7) == 14);
  CHECK(quant::activation_row_bytes(quant::ActivationFormat::q8_256, 512) == 2 * 320);
  CHECK(quant::activation_row_bytes(quant::ActivationFormat::q8_32, 96) == 128);
  CHECK(quant::activation_row_bytes(quant::ActivationFormat::f32, 17) == 128);
  CHECK(quant::activation_row_bytes(quant::ActivationFormat::f32, 0) == 0);
}

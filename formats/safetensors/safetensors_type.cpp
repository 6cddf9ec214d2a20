#include "formats/safetensors/safetensors_type.h"

#include <array>

namespace larder::formats {
namespace {

// In the order of the enum.
constexpr std::array<SafetensorsTypeTraits, 11> kTypes = {{
    {SafetensorsType::boolean, "BOOL", 1},
    {SafetensorsType::u8, "U8", 1},
    {SafetensorsType::i8, "I8", 1},
    {SafetensorsType::f8_e4m3, "F8_E4M3", 1},
    {SafetensorsType::f8_e5m2, "F8_E5M2", 1},
    {SafetensorsType::i16, "I16", 2},
    {SafetensorsType::f16, "F16", 2},
    {SafetensorsType::bf16, "BF16", 2},
    {SafetensorsType::i32, "I32", 4},
    {SafetensorsType::f32, "F32", 4},
    {SafetensorsType::i64, "I64", 8},
}};

}  // namespace

const SafetensorsTypeTraits& traits_of(SafetensorsType type) noexcept {
  return kTypes[static_cast<size_t>(type)];
}

const SafetensorsTypeTraits* find_safetensors_type(std::string_view name) noexcept {
  for (const SafetensorsTypeTraits& traits : kTypes)
    if (traits.name == name) return &traits;
  return nullptr;
}

}  // namespace larder::formats

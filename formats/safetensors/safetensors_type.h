// The element types of safetensors files. Source: the format's description, 2026-08.
#pragma once

#include <cstdint>
#include <string_view>

namespace larder::formats {

enum class SafetensorsType : uint8_t {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  i16,
  f16,
  bf16,
  i32,
  f32,
  i64
};

struct SafetensorsTypeTraits {
  SafetensorsType type;
  std::string_view name;  // "BF16"
  uint32_t bytes;         // of an element
};

const SafetensorsTypeTraits& traits_of(SafetensorsType type) noexcept;
// Null for an unknown name.
const SafetensorsTypeTraits* find_safetensors_type(std::string_view name) noexcept;

}  // namespace larder::formats

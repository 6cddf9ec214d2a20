// What keys and values are kept as.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/format.h"

namespace larder::runtime {

enum class CacheType : uint8_t { f16, f32, q8_0 };

// A latent is both: it has the type of keys.
struct CacheTypes {
  CacheType keys = CacheType::f16, values = CacheType::f16;

  constexpr CacheTypes() = default;
  constexpr CacheTypes(CacheType both) noexcept : keys(both), values(both) {}
  constexpr CacheTypes(CacheType k, CacheType v) noexcept : keys(k), values(v) {}
  friend constexpr bool operator==(CacheTypes, CacheTypes) noexcept = default;
};

constexpr quant::Format format_of(CacheType type) noexcept {
  switch (type) {
    case CacheType::f32:
      return quant::Format::f32;
    case CacheType::q8_0:
      return quant::Format::q8_0;
    case CacheType::f16:
      break;
  }
  return quant::Format::f16;
}

// Of so many elements of one position and head. REQUIRES: whole blocks.
inline size_t cached_bytes(CacheType type, int32_t width) noexcept {
  return quant::row_bytes(format_of(type), width);
}

}  // namespace larder::runtime

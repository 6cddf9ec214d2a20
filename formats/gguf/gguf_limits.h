// The limits of the GGUF reader. An error names the limit that it met.
#pragma once

#include <cstdint>

namespace larder::formats {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// The largest vocabularies in the wild make headers of about 15 MB.
inline constexpr uint64_t kMaxHeaderBytes = 256 * kMiB;
inline constexpr uint64_t kMaxEntries = uint64_t{1} << 20;
inline constexpr uint64_t kMaxTensors = uint64_t{1} << 20;

inline constexpr uint64_t kMaxKeyBytes = 65535;      // Source: GGUF specification
inline constexpr uint64_t kMaxTensorNameBytes = 64;  // Source: GGUF specification
inline constexpr uint64_t kMaxStringBytes = 16 * kMiB;
inline constexpr uint64_t kMaxArrayElements = 64 * kMiB;
inline constexpr int kMaxArrayNesting = 4;  // arrays inside an array; a plain array has none

inline constexpr uint32_t kMaxTensorDims = 4;
inline constexpr uint32_t kDefaultAlignment = 32;  // Source: GGUF specification
inline constexpr uint32_t kMinAlignment = 8;       // Source: GGUF specification, a multiple of 8
inline constexpr uint32_t kMaxAlignment = 65536;

}  // namespace larder::formats

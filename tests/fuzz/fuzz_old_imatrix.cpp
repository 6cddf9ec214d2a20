// Reads arbitrary bytes as an importance file of the old kind.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/imatrix/old_imatrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = larder::formats::parse_old_imatrix(std::as_bytes(std::span(data, size)));
  if (!file.ok()) return 0;
  for (const auto& entry : file->entries)
    for (const float value : entry.values)
      if (!std::isfinite(value) || value < 0) __builtin_trap();
  return 0;
}

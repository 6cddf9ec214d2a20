// Importance files as llama-imatrix wrote them before it wrote GGUF, usually named *.dat: little
// endian, without a mark that tells the kind. Source: llama.cpp's imatrix tool, 2024-01 to 2025-06.
//
//   i32 entries; of each: i32 name bytes, name, i32 calls, i32 values, f32 values, each the mean
//   square of a column times the calls; then, in later files: i32 chunks, i32 name bytes, the
//   text's name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/status.h"

namespace larder::formats {

struct OldImatrix {
  struct Entry {
    std::string tensor;
    int32_t n_calls = 0;
    std::vector<float> values;  // of all matrices of a stack, one behind another
  };
  std::vector<Entry> entries;
  int32_t n_chunks = 0;  // 0: not told
  std::string dataset;   // empty: not told
};

// Errors: `truncated`, `limit` for counts that are none, `numeric` for a value that is negative or
// not finite, `name`; with the entry and the offset.
Result<OldImatrix> parse_old_imatrix(std::span<const std::byte> bytes);

}  // namespace larder::formats

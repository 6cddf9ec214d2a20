// The key-value section of a header.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/gguf/byte_reader.h"
#include "formats/gguf/gguf_value.h"
#include "formats/gguf/name_index.h"
#include "formats/status.h"

namespace larder::formats {

class GgufMetadata {
 public:
  // Reads `n_entries` pairs. All that a value announces is checked: lengths, element types,
  // nesting, bools, and UTF-8 where text is shown to people or run as a template.
  // REQUIRES: the file is long enough for n_entries of the smallest kind.
  static Result<GgufMetadata> read(ByteReader& reader, uint64_t n_entries);

  const std::vector<GgufEntry>& entries() const noexcept { return entries_; }
  const GgufValue* find(std::string_view key) const noexcept;  // O(1); null if absent

 private:
  Status read_entry(ByteReader& reader);

  std::vector<GgufEntry> entries_;
  NameIndex index_;
};

// The value of general.alignment, or its default. Error: `alignment`.
Result<uint64_t> alignment_of(const GgufMetadata& metadata);

}  // namespace larder::formats

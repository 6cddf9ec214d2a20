// One file's header, read and validated completely.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf/gguf_metadata.h"
#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/header_bytes.h"
#include "formats/status.h"

namespace larder::formats {

struct GgufHeader {
  uint32_t version = 0;
  uint64_t alignment_bytes = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // placed; shard is 0; names may still repeat
  std::vector<std::string> warnings;
};

// Everything in the result views `bytes`, which are sealed.
Result<GgufHeader> read_header(HeaderBytes& bytes);

}  // namespace larder::formats

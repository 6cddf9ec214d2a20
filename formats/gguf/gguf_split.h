// Split files: "<prefix>-00001-of-00003.gguf" and its siblings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_header.h"
#include "formats/status.h"

namespace larder::formats {

// A shard's path, taken apart.
struct ShardName {
  std::string prefix;  // with the directory, so that siblings stay beside it
  int64_t number = 0;  // from 1
  int64_t count = 0;

  static std::optional<ShardName> parse(std::string_view path);
  std::string sibling(int64_t other_number) const;
};

// What the first file says about the split.
struct SplitPlan {
  int64_t n_shards = 1;
  std::optional<int64_t> n_tensors;  // of all shards; absent where the file is not split
  ShardName name;                    // meaningful if n_shards > 1
};

// Error: `split` unless `first` is the first shard and `path` is named so.
Result<SplitPlan> plan_split(const GgufMetadata& first, const std::string& path);

// Whether shard `index` (from 1) belongs to the first one. Errors: `split`.
Status check_shard(const GgufMetadata& first, const GgufMetadata& shard, int64_t index,
                   int64_t n_shards);

}  // namespace larder::formats

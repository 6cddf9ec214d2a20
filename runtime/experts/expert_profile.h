// How often a model used its experts in earlier runs, kept in a file beside no model: in a cache
// folder that the caller knows. Any file may be missing, foreign, old or damaged; then there is no
// profile, and nothing else is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::runtime {

// Tells models apart by what their files say, not by where they are.
struct ModelFingerprint {
  uint64_t file_bytes = 0;   // of all shards
  uint64_t header_hash = 0;  // of every byte before the first tensor's, shard after shard
  bool operator==(const ModelFingerprint&) const = default;
  std::string name() const;  // 16 hexadecimal digits, for file names
};
// Reads the headers once more. Errors: `io`, `truncated`; `unsupported` for models in memory.
Result<ModelFingerprint> fingerprint_of(const formats::GgufFile& file);

struct ExpertProfile {
  float n_tokens = 0;      // that were counted, older ones less
  std::vector<float> use;  // a token, by layer, then by expert: what ExpertForecast exports
};

// The profile that was written for this model. Errors: `io` (with a missing file too), `magic`,
// `version`, `truncated`, `changed` (another model's), `numeric` (damaged).
Result<ExpertProfile> read_expert_profile(const std::string& path, const ModelFingerprint& model,
                                          size_t n_experts);
// The file appears whole or not at all, readable by its owner alone, as are the folders that are
// made for it. Error: `io`.
Status write_expert_profile(const std::string& path, const ModelFingerprint& model,
                            const ExpertProfile& profile);

}  // namespace larder::runtime

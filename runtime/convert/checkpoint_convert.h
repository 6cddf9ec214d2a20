// A Hugging Face folder to a GGUF file: planned as a whole, so that what is not understood stops it
// at once, then streamed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "formats/gguf/gguf_split_writer.h"
#include "formats/safetensors/safetensors_set.h"
#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/convert/checkpoint_tensors.h"
#include "runtime/convert/quant_mix.h"

namespace larder::runtime {

struct CheckpointOptions {
  const QuantMix* mix = nullptr;          // null: float types stay what they are, FP8 becomes BF16
  std::vector<std::string> ignored_keys;  // of config.json, that change nothing
  uint64_t most_shard_bytes = 0;          // 0: one file
};

// What will be done.
class CheckpointPlan {
 public:
  // Errors: `io` for what cannot be read; `architecture`, `hyper_parameter`, `vocabulary`, `name`,
  // `missing`, `shape` with the key, tensor or rule that is not supported.
  static Result<CheckpointPlan> create(const std::string& folder, const CheckpointOptions& options);

  const CheckpointTensors& tensors() const noexcept { return tensors_; }
  const formats::SafetensorsSet& source() const noexcept { return set_; }
  uint64_t size_bytes() const noexcept { return size_bytes_; }  // of all tensors of the file
  const std::string& architecture() const noexcept { return architecture_; }

  struct RunOptions {
    const quant::KernelSet* kernels = nullptr;
    int n_threads = 1;
    // Asked before every piece is written; false cancels. Bytes of the file.
    std::function<bool(uint64_t n_done, uint64_t n_total)> progress;
  };
  // REQUIRES: not called before. The file appears whole or not at all. The paths of all shards.
  Result<std::vector<std::string>> run(const std::string& out, const RunOptions& options);

 private:
  explicit CheckpointPlan(formats::SafetensorsSet set, uint64_t most_shard_bytes);
  Status prepare(const std::string& folder, const CheckpointOptions& options);
  Status choose_types(const CheckpointOptions& options);
  Status write_tensors(formats::GgufSplitWriter& writer, const std::string& out,
                       const RunOptions& options);

  formats::SafetensorsSet set_;
  std::unique_ptr<formats::GgufSplitWriter> writer_;
  CheckpointTensors tensors_;
  std::string architecture_;
  uint64_t size_bytes_ = 0;
};

}  // namespace larder::runtime

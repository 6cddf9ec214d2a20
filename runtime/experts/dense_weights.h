// The weights that every token may need, in memory of their own: read once, past the page cache, so
// that none of them is dropped while experts come and go.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/experts/weight_files.h"
#include "runtime/model/weights.h"
#include "runtime/session/anonymous_memory.h"

namespace larder::runtime {

// Bytes done of a total; returning false cancels.
using LoadProgress = std::function<bool(uint64_t done, uint64_t total)>;

class DenseWeights final : public TensorMemory {
 public:
  using Tensors = std::span<const formats::GgufTensor* const>;
  // Errors: `io`, `truncated`, `changed`, `out_of_memory`, `cancelled`.
  static Result<std::shared_ptr<const DenseWeights>> load(const WeightFiles& files, Tensors tensors,
                                                          const LoadProgress& progress);
  // What load() allocates.
  static uint64_t bytes_for(Tensors tensors);

  std::span<const std::byte> bytes(const formats::GgufTensor& tensor) const noexcept override;

 private:
  // Tensors whose blocks touch; they lie in memory as they do in the file.
  struct Run {
    FileRange range;
    uint64_t at = 0;  // of the block that range begins in
  };
  static std::vector<Run> runs_of(Tensors tensors);
  static uint64_t end_of(const std::vector<Run>& runs) noexcept;
  Status read(const WeightFiles& files, const LoadProgress& progress);

  std::vector<Run> runs_;
  AnonymousMemory memory_;
};

}  // namespace larder::runtime

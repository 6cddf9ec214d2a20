// Turns a GGUF file into another one, tensor after tensor, as planned: in pieces, so that memory
// does not grow with the file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/kernel_set.h"
#include "runtime/convert/quantize_plan.h"
#include "runtime/importance/importance.h"

namespace larder::runtime {

// Where no one name says it. Source: llama.cpp's LLAMA_FTYPE_GUESSED, 2026-08.
inline constexpr int32_t kMixedFileType = 1024;

// A key of files whose types were chosen by what they are predicted to lose.
inline constexpr std::string_view kPredictedDivergenceKey = "larder.predicted_divergence";

struct FileQuantizerOptions {
  const quant::KernelSet* kernels = nullptr;
  int n_threads = 1;
  int32_t file_type = 0;                   // general.file_type
  uint64_t most_shard_bytes = 0;           // 0: one file
  const Importance* importance = nullptr;  // may be null
  std::string importance_path;             // told in the file
  // Of the types, in nats; told in the file.
  std::optional<double> predicted_divergence;
  // Asked between pieces; false cancels.
  std::function<bool(uint64_t n_read, uint64_t n_total)> progress;
};

// What was done.
struct QuantizedFile {
  std::vector<std::string> paths;               // one, or all shards
  std::vector<std::string> without_importance;  // tensors of which the importance file says nothing
};

// Metadata are kept, with general.file_type, general.quantization_version and quantize.imatrix.*
// set. The file appears whole or not at all. Errors: those of reading and writing; `numeric` naming
// a tensor and the weight in it that is not finite, or too large for float16; `shape` for an
// importance of other columns; `invalid_argument` where a file that is read would be written;
// `out_of_memory`, also for threads; `cancelled`.
Result<QuantizedFile> quantize_file(const formats::GgufFile& in, const QuantizePlan& plan,
                                    const std::string& out, const FileQuantizerOptions& options);

}  // namespace larder::runtime

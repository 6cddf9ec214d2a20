// What becomes of each tensor of a file, from its header alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "quant/format.h"

namespace larder::runtime {

// The type that a weight matrix shall have: a mix's, or whatever else chooses. Asked for matrices
// that may be quantised, and for these alone.
using FormatChoice = std::function<quant::Format(const formats::GgufTensor& tensor)>;

// Tensors by a part of their name, in which * stands for anything: "ffn_down_exps", "blk.3.*_v".
struct TensorOverride {
  std::string pattern;
  quant::Format format;
};
bool matches(std::string_view pattern, std::string_view tensor) noexcept;

struct QuantizePlanOptions {
  std::vector<TensorOverride> overrides;  // the last one that matches wins over the choice
  std::optional<quant::Format> output_format, embedding_format;
  bool allows_requantize = false;  // of tensors that are quantised already
};

struct TensorPlan {
  const formats::GgufTensor* source = nullptr;
  const formats::TensorType* type = nullptr;
  uint64_t size_bytes = 0;
  bool is_fallback = false;  // rows are no whole number of blocks of the type chosen

  bool is_copied() const noexcept { return type == source->type; }
};

struct QuantizePlan {
  std::vector<TensorPlan> tensors;  // in file order
  uint64_t source_bytes = 0, size_bytes = 0;
  std::vector<std::string> unmatched;  // patterns that no tensor has
};

// Norms, routers, biases, convolutions and all else that is small or easily hurt stays as it is.
bool may_be_quantized(const formats::GgufTensor& tensor) noexcept;

// `format`, or what takes its place for rows of n_cols. Source: llama.cpp's quantiser, 2026-08.
quant::Format fitting_format(quant::Format format, uint64_t n_cols) noexcept;

// Errors: `unsupported` for a tensor whose present type cannot be read, or that is quantised while
// that is not allowed, naming it.
Result<QuantizePlan> plan_quantization(const formats::GgufFile& file, const FormatChoice& choice,
                                       const QuantizePlanOptions& options);

}  // namespace larder::runtime

// What a model file is, in figures.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/template/value.h"
#include "formats/text/tokenizer.h"
#include "runtime/model/model.h"
#include "runtime/session/session.h"

namespace larder::apps {

// All tensors of one type.
struct TypeShare {
  std::string type;
  uint64_t n_tensors = 0, n_weights = 0, size_bytes = 0;
};

// Weights that a token meets: all but the routed experts that its routers leave out.
struct ExpertFigures {
  int32_t n_moe_layers = 0, n_experts = 0, n_active = 0;  // of a layer; the largest
  uint64_t n_weights = 0, size_bytes = 0;                 // of all routed experts
  uint64_t n_active_weights = 0;                          // of the whole model
};

struct FileSummary {
  std::string path, architecture, name;
  uint32_t version = 0;
  int n_shards = 0;
  uint64_t size_bytes = 0, tensor_bytes = 0, n_tensors = 0, n_weights = 0;
  std::vector<TypeShare> types;  // most bytes first
  std::string tokenizer;         // "gpt2, qwen2"; empty if it cannot be read
  int32_t n_vocab = 0;
  uint64_t template_bytes = 0;  // 0: none
  std::string template_sha256;

  // Where the model can be run; else why not.
  Status model_status;
  ExpertFigures experts;
  int32_t n_layers = 0, n_encoder_layers = 0, d_model = 0, context_length = 0;
};

// `model`: of the same file, or why there is none.
FileSummary summarize(const formats::GgufFile& file,
                      const Result<std::shared_ptr<const runtime::Model>>& model);

formats::DataValue to_data(const FileSummary& summary);
std::string to_text(const FileSummary& summary);

// "1.5 GiB", "8.3 MiB"; "11.7 M", "30.5 B".
std::string size_text(uint64_t bytes);
// "[256, 256, 8]", contiguous width first.
std::string shape_text(const formats::GgufTensor& tensor);
std::string count_text(uint64_t n);

}  // namespace larder::apps

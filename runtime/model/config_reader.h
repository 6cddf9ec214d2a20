// Metadata -> ModelConfig. Every value is validated; nothing is allocated by a size from the file
// beyond the stated limits (model_config.h).
#pragma once

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/model/model_config.h"

namespace larder::runtime {

struct ArchRow;

// The row that general.architecture names. Error: `architecture`.
Result<const ArchRow*> read_architecture(const formats::GgufFile& file);

// Widths that only tensors know (n_vocab, d_ff without a key, shared experts) stay 0. Errors:
// `hyper_parameter` naming the key, `vocabulary`.
Result<ModelConfig> read_config(const formats::GgufFile& file, const ArchRow& row);

}  // namespace larder::runtime

// A model's file as a builder, so that a case can lay it out anew or change one thing in it.
#pragma once

#include <optional>
#include <string>

#include "formats/gguf/gguf_reader.h"
#include "tests/gguf_builder.h"

namespace larder::tests {

GgufBuilder copy_of(const formats::GgufFile& file);
// The model of a case with known answers; nothing where the reference data are not on this machine.
std::optional<GgufBuilder> copy_of_golden(const std::string& name);

// Nothing if absent.
const RawTensor* find_tensor(const GgufBuilder& file, const std::string& name);
void drop_key(GgufBuilder& file, const std::string& key);
void drop_tensor(GgufBuilder& file, const std::string& name);

}  // namespace larder::tests

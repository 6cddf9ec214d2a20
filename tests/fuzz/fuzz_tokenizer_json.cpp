// Reads arbitrary bytes as tokenizer.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/gguf/gguf_writer.h"
#include "formats/tokenizer_files/vocabulary_tables.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::formats;
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  const auto tables = read_tokenizer_json(json, "qwen2");
  if (!tables.ok()) return 0;
  if (tables->types.size() != tables->tokens.size()) __builtin_trap();
  if (!tables->scores.empty() && tables->scores.size() != tables->tokens.size()) __builtin_trap();
  GgufWriter out;
  tables->write(out);
  return 0;
}

// A vocabulary as GGUF files carry it, read from a checkpoint's tokenizer files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_writer.h"
#include "formats/status.h"
#include "formats/text/tokenizer.h"

namespace larder::formats {

struct VocabularyTables {
  std::string model;  // tokenizer.ggml.model: "gpt2", "llama" or "t5"
  std::string pre = "default";
  std::vector<std::string> tokens;
  std::vector<TokenType> types;
  std::vector<float> scores;  // of "llama" and "t5"
  std::vector<std::string> merges;
  std::string charsmap;
  // Of "t5", and where a file of "llama" says otherwise.
  bool adds_space_prefix = true, removes_extra_spaces = false;
  // What the file's own template puts around a text.
  bool puts_bos = false, puts_eos = false;

  // -1 for none.
  int64_t find(std::string_view token) const;
  // Grows to n tokens that no text is.
  void pad(size_t n);
  void write(GgufWriter& out) const;
};

// tokenizer.json. `pre`: the name that is preferred where a rule has several; may be empty. Errors:
// those of JSON; `vocabulary` with the part that is not supported, `merges`.
Result<VocabularyTables> read_tokenizer_json(std::string_view json, std::string_view pre);
// tokenizer.model and spiece.model.
Result<VocabularyTables> read_sentencepiece(std::string_view bytes);

}  // namespace larder::formats

// What all tokenizer kinds share: the tokens, the ids with a meaning, the flags.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/text/token_table.h"
#include "formats/text/tokenizer.h"
#include "formats/text/tokenizer_metadata.h"

namespace larder::formats {

// What holds where the file says nothing; differs by model and pre-tokenizer.
struct VocabularyDefaults {
  TokenId bos = kNoToken, eos = kNoToken, unknown = kNoToken, padding = kNoToken;
  bool adds_bos = false, adds_eos = false;
};

struct Tokenizer::Vocabulary {
  TokenTable tokens;
  std::string model_name, pre_tokenizer_name;
  TokenId bos = kNoToken, eos = kNoToken, unknown = kNoToken, padding = kNoToken;
  bool adds_bos = false, adds_eos = false;
  std::string_view unknown_surface;  // what whole texts show for the unknown token; empty: its text
  std::vector<TokenId> ends_generation;  // ascending

  // Defaults that are no tokens of this vocabulary count as absent.
  static Result<std::unique_ptr<Vocabulary>> read(const TokenizerMetadata& metadata,
                                                  const VocabularyDefaults& defaults);

 private:
  Status read_ids(const TokenizerMetadata& metadata, const VocabularyDefaults& defaults);
  Status find_ends_of_generation(const TokenizerMetadata& metadata);
};

}  // namespace larder::formats

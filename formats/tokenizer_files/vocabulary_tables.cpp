#include "formats/tokenizer_files/vocabulary_tables.h"

#include <algorithm>

#include "formats/text/tokenizer_metadata.h"

namespace larder::formats {

namespace keys = tokenizer_keys;

int64_t VocabularyTables::find(std::string_view token) const {
  const auto found = std::find(tokens.begin(), tokens.end(), token);
  return found == tokens.end() ? -1 : found - tokens.begin();
}

void VocabularyTables::pad(size_t n) {
  for (size_t id = tokens.size(); id < n; ++id) {
    tokens.push_back("[PAD" + std::to_string(id) + "]");  // source: llama.cpp's converter
    types.push_back(TokenType::unused);
    if (!scores.empty()) scores.push_back(0);
  }
}

void VocabularyTables::write(GgufWriter& out) const {
  const auto views = [](const std::vector<std::string>& texts) {
    return std::vector<std::string_view>(texts.begin(), texts.end());
  };
  out.set_string(keys::kModel, model);
  out.set_string(keys::kPre, pre);
  out.set_strings(keys::kTokens, views(tokens));
  if (!scores.empty()) out.set_floats(keys::kScores, scores);
  std::vector<int64_t> type_ids;
  for (const TokenType type : types) type_ids.push_back(static_cast<int64_t>(type));
  out.set_integers(keys::kTokenType, GgufType::i32, type_ids);
  if (model == "gpt2") out.set_strings(keys::kMerges, views(merges));
  if (model != "gpt2") out.set_bool(keys::kAddSpacePrefix, adds_space_prefix);
  if (model == "t5") out.set_bool(keys::kRemoveExtraSpace, removes_extra_spaces);
  if (charsmap.empty()) return;
  std::vector<int64_t> bytes;
  for (const char c : charsmap) bytes.push_back(static_cast<uint8_t>(c));
  out.set_integers(keys::kCharsmap, GgufType::u8, bytes);
}

}  // namespace larder::formats

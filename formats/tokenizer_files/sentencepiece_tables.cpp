// SentencePiece models as tables.
#include <utility>

#include "formats/sentencepiece/sentencepiece_model.h"
#include "formats/tokenizer_files/vocabulary_tables.h"

namespace larder::formats {

Result<VocabularyTables> read_sentencepiece(std::string_view bytes) {
  Result<SentencePieceModel> model = SentencePieceModel::parse(bytes);
  if (!model) return model.status();
  VocabularyTables tables;
  switch (model->kind) {
    case SentencePieceKind::bpe:
      tables.model = "llama";
      if (!model->falls_back_to_bytes)
        return Status(Cause::vocabulary, "a SentencePiece BPE without bytes is not supported");
      break;
    case SentencePieceKind::unigram:
      tables.model = "t5";
      break;
    default:
      return Status(Cause::vocabulary, "neither a BPE nor a unigram model of SentencePiece");
  }
  for (SentencePiece& piece : model->pieces) {
    tables.tokens.push_back(std::move(piece.text));
    tables.scores.push_back(piece.score);
    tables.types.push_back(static_cast<TokenType>(piece.type));
  }
  tables.adds_space_prefix = model->adds_space_prefix;
  tables.removes_extra_spaces = model->removes_extra_spaces;
  // SPM's own normaliser changes nothing that its byte tokens could not spell.
  if (model->kind == SentencePieceKind::unigram) tables.charsmap = std::move(model->charsmap);
  tables.puts_bos = model->kind == SentencePieceKind::bpe;
  tables.puts_eos = model->kind == SentencePieceKind::unigram;
  return tables;
}

}  // namespace larder::formats

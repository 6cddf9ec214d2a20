// Reads arbitrary bytes as a SentencePiece model.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/sentencepiece/sentencepiece_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace larder::formats;
  const auto model =
      SentencePieceModel::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!model.ok()) return 0;
  for (const SentencePiece& piece : model->pieces)
    if (!std::isfinite(piece.score) || piece.text.size() > size) __builtin_trap();
  return 0;
}

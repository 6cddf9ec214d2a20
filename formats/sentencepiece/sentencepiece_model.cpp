#include "formats/sentencepiece/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <new>
#include <utility>

#include "formats/sentencepiece/protobuf_reader.h"

namespace larder::formats {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 22;  // vocabularies in the wild have 2^18

// Field numbers of the file.
namespace model_fields {
constexpr uint32_t kPiece = 1, kTrainer = 2, kNormalizer = 3;
}
namespace piece_fields {
constexpr uint32_t kText = 1, kScore = 2, kType = 3;
}
namespace trainer_fields {
constexpr uint32_t kKind = 3, kByteFallback = 35, kUnknown = 40, kBos = 41, kEos = 42, kPad = 43;
}
namespace normalizer_fields {
constexpr uint32_t kCharsmap = 2, kSpacePrefix = 3, kRemovesSpaces = 4;
}

// A 32-bit integer, whose negative values are written with 64 bits.
int64_t as_int32(uint64_t value) noexcept {
  return static_cast<int32_t>(static_cast<uint32_t>(value));
}

// Calls on_field for each field; false where the message is malformed or on_field says so.
template <class F>
bool read_fields(std::string_view message, F&& on_field) {
  ProtobufReader reader(message);
  for (ProtobufField field; reader.next(field);)
    if (!on_field(field)) return false;
  return !reader.is_malformed();
}

bool is_varint(const ProtobufField& field) noexcept { return field.type == WireType::varint; }
bool is_bytes(const ProtobufField& field) noexcept { return field.type == WireType::bytes; }

bool read_piece(std::string_view message, SentencePiece& piece) {
  return read_fields(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case piece_fields::kText:
        piece.text = field.bytes;
        return is_bytes(field);
      case piece_fields::kScore:
        piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
        return field.type == WireType::fixed32 && std::isfinite(piece.score);
      case piece_fields::kType:
        piece.type = static_cast<SentencePiece::Type>(field.value);
        return is_varint(field) && field.value >= 1 && field.value <= 6;
      default:
        return true;
    }
  });
}

bool read_trainer(std::string_view message, SentencePieceModel& model) {
  return read_fields(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case trainer_fields::kKind:
        model.kind = static_cast<SentencePieceKind>(field.value);
        return is_varint(field) && field.value >= 1 && field.value <= 4;
      case trainer_fields::kByteFallback:
        model.falls_back_to_bytes = field.value != 0;
        return is_varint(field);
      case trainer_fields::kUnknown:
        model.unknown_id = as_int32(field.value);
        return is_varint(field);
      case trainer_fields::kBos:
        model.bos_id = as_int32(field.value);
        return is_varint(field);
      case trainer_fields::kEos:
        model.eos_id = as_int32(field.value);
        return is_varint(field);
      case trainer_fields::kPad:
        model.pad_id = as_int32(field.value);
        return is_varint(field);
      default:
        return true;
    }
  });
}

bool read_normalizer(std::string_view message, SentencePieceModel& model) {
  return read_fields(message, [&](const ProtobufField& field) {
    switch (field.number) {
      case normalizer_fields::kCharsmap:
        model.charsmap = field.bytes;
        return is_bytes(field);
      case normalizer_fields::kSpacePrefix:
        model.adds_space_prefix = field.value != 0;
        return is_varint(field);
      case normalizer_fields::kRemovesSpaces:
        model.removes_extra_spaces = field.value != 0;
        return is_varint(field);
      default:
        return true;
    }
  });
}

bool read_part(const ProtobufField& field, SentencePieceModel& model) {
  switch (field.number) {
    case model_fields::kPiece:
      model.pieces.emplace_back();
      return is_bytes(field) && read_piece(field.bytes, model.pieces.back());
    case model_fields::kTrainer:
      return is_bytes(field) && read_trainer(field.bytes, model);
    case model_fields::kNormalizer:
      return is_bytes(field) && read_normalizer(field.bytes, model);
    default:
      return true;
  }
}

}  // namespace

Result<SentencePieceModel> SentencePieceModel::parse(std::string_view bytes) try {
  SentencePieceModel model;
  ProtobufReader reader(bytes);
  for (ProtobufField field; reader.next(field);) {
    if (model.pieces.size() > kMaxPieces)
      return Status(Cause::limit, "more than " + std::to_string(kMaxPieces) + " pieces");
    if (!read_part(field, model))
      return Status(Cause::value_type, "malformed part of a SentencePiece model", {},
                    reader.offset(bytes));
  }
  if (reader.is_malformed())
    return Status(Cause::truncated, "not a SentencePiece model, or cut short", {},
                  reader.offset(bytes));
  if (model.pieces.size() < 2)
    return Status(Cause::vocabulary, "a SentencePiece model of fewer than two pieces");
  return model;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::formats

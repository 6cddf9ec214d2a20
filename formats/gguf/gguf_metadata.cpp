#include "formats/gguf/gguf_metadata.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "formats/gguf/gguf_limits.h"
#include "formats/gguf/printable_name.h"

namespace larder::formats {
namespace {

std::string count_of(uint64_t n) { return std::to_string(n); }

Status check_key(std::string_view key, uint64_t offset) {
  const auto bad = [&](const char* why) {
    return Status(Cause::key, why, key_subject(key), offset);
  };
  if (key.empty()) return bad("a key must not be empty");
  for (const char c : key) {
    if (c == '\0') return bad("a key must not contain NUL");
    if (static_cast<unsigned char>(c) > 0x7f) return bad("a key must be ASCII");
  }
  return {};
}

Result<std::string_view> read_key(ByteReader& reader, size_t position) {
  const uint64_t offset = reader.offset();
  const auto subject = [&] { return "key number " + count_of(position); };
  uint64_t length = 0;
  if (!reader.read_length(length)) return reader.failure(subject());
  if (length > kMaxKeyBytes) {
    return Status(Cause::key,
                  "expected a key of at most " + count_of(kMaxKeyBytes) + " bytes, this one has " +
                      count_of(length),
                  subject(), offset);
  }
  std::string_view key;
  if (!reader.read_text(length, key)) return reader.failure(subject());
  if (Status status = check_key(key, offset); !status.ok()) return status;
  return key;
}

// Text that is shown to people or decides what runs must be text.
bool must_be_utf8(std::string_view key) noexcept {
  return key == "general.architecture" || key.starts_with("tokenizer.chat_template");
}

// Walks over one value of one key and checks it on the way.
class ValueScanner {
 public:
  ValueScanner(ByteReader& reader, std::string_view key) noexcept
      : reader_(reader), key_(key), must_be_utf8_(must_be_utf8(key)) {}

  Status scan(GgufType type) {
    switch (type) {
      case GgufType::string:
        return scan_string();
      case GgufType::array:
        return scan_array();
      case GgufType::boolean:
        return scan_bools(1);
      default:
        return reader_.skip(gguf_type_bytes(type)) ? Status() : failure();
    }
  }

 private:
  Status failure() const { return reader_.failure(key_subject(key_)); }
  Status bad(Cause cause, std::string message, uint64_t offset) const {
    return Status(cause, std::move(message), key_subject(key_), offset);
  }

  Status scan_string() {
    const uint64_t offset = reader_.offset();
    uint64_t length = 0;
    if (!reader_.read_length(length)) return failure();
    if (length > kMaxStringBytes) {
      return bad(Cause::limit,
                 "expected a string of at most " + count_of(kMaxStringBytes) +
                     " bytes, this one has " + count_of(length),
                 offset);
    }
    std::string_view text;
    if (!reader_.read_text(length, text)) return failure();
    if (must_be_utf8_ && !is_utf8(text)) return bad(Cause::utf8, "expected UTF-8", offset);
    return {};
  }

  Status scan_bools(uint64_t count) {
    const uint64_t begin = reader_.offset();
    if (!reader_.skip(count)) return failure();
    const auto bytes = reader_.since(begin);
    const auto* odd = std::find_if(bytes.data(), bytes.data() + bytes.size(),
                                   [](std::byte b) { return b > std::byte{1}; });
    if (odd == bytes.data() + bytes.size()) return {};
    return bad(Cause::boolean,
               "expected a bool of 0 or 1, found " + count_of(std::to_integer<uint64_t>(*odd)),
               begin + static_cast<uint64_t>(odd - bytes.data()));
  }

  // Depth first and without recursion: `left` holds, per level, the arrays still to come.
  Status scan_array() {
    std::array<uint64_t, kMaxArrayNesting> left = {};
    size_t depth = 0;
    for (;;) {
      const uint64_t offset = reader_.offset();
      GgufType type{};
      uint64_t count = 0;
      if (Status status = read_prefix(type, count); !status.ok()) return status;
      if (type == GgufType::array && count != 0) {
        if (depth == left.size()) {
          return bad(Cause::array,
                     "arrays are nested deeper than the limit of " + count_of(kMaxArrayNesting),
                     offset);
        }
        left[depth++] = count;
        continue;
      }
      if (Status status = scan_elements(type, count); !status.ok()) return status;
      while (depth != 0 && --left[depth - 1] == 0) --depth;
      if (depth == 0) return {};
    }
  }

  // An array's element type and count, which the file's end and the limit allow.
  Status read_prefix(GgufType& type, uint64_t& count) {
    const uint64_t offset = reader_.offset();
    uint32_t type_id = 0;
    if (!reader_.read(type_id) || !reader_.read(count)) return failure();
    if (type_id >= kGgufTypeCount) {
      return bad(Cause::array,
                 "expected an element type below " + count_of(kGgufTypeCount) + ", found " +
                     count_of(type_id),
                 offset);
    }
    type = static_cast<GgufType>(type_id);
    const uint64_t element_bytes = smallest_element_bytes(type);
    if (count > reader_.left() / element_bytes) {
      return bad(Cause::truncated,
                 "announces " + count_of(count) + " elements of type " +
                     std::string(gguf_type_name(type)) + ", the file has " +
                     count_of(reader_.left()) + " bytes left",
                 offset);
    }
    if (count > kMaxArrayElements) {
      return bad(Cause::limit,
                 "expected an array of at most " + count_of(kMaxArrayElements) +
                     " elements, this one has " + count_of(count),
                 offset);
    }
    return {};
  }

  static uint64_t smallest_element_bytes(GgufType type) noexcept {
    if (type == GgufType::string) return sizeof(uint64_t);
    if (type == GgufType::array) return sizeof(uint32_t) + sizeof(uint64_t);
    return gguf_type_bytes(type);
  }

  Status scan_elements(GgufType type, uint64_t count) {
    if (type == GgufType::boolean) return scan_bools(count);
    if (type == GgufType::string) {
      for (uint64_t i = 0; i < count; ++i) {
        if (Status status = scan_string(); !status.ok()) return status;
      }
      return {};
    }
    return reader_.skip(count * gguf_type_bytes(type)) ? Status() : failure();
  }

  ByteReader& reader_;
  std::string_view key_;
  bool must_be_utf8_;
};

}  // namespace

Result<GgufMetadata> GgufMetadata::read(ByteReader& reader, uint64_t n_entries) {
  GgufMetadata metadata;
  metadata.entries_.reserve(n_entries);
  for (uint64_t i = 0; i < n_entries; ++i) {
    if (Status status = metadata.read_entry(reader); !status.ok()) return status;
  }
  return metadata;
}

Status GgufMetadata::read_entry(ByteReader& reader) {
  const uint64_t key_offset = reader.offset();
  const auto key = read_key(reader, entries_.size());
  if (!key.ok()) return key.status();
  if (!index_.insert(*key, static_cast<uint32_t>(entries_.size()))) {
    return Status(Cause::duplicate_key, "the key occurs twice", key_subject(*key), key_offset);
  }
  const uint64_t type_offset = reader.offset();
  uint32_t type_id = 0;
  if (!reader.read(type_id)) return reader.failure(key_subject(*key));
  if (type_id >= kGgufTypeCount) {
    return Status(
        Cause::value_type,
        "expected a value type below " + count_of(kGgufTypeCount) + ", found " + count_of(type_id),
        key_subject(*key), type_offset);
  }
  GgufValue value;
  value.type_ = static_cast<GgufType>(type_id);
  value.offset_ = reader.offset();
  Status scanned = ValueScanner(reader, *key).scan(value.type_);
  if (!scanned.ok()) return scanned;
  value.raw_ = reader.since(value.offset_);
  entries_.push_back({*key, value});
  return {};
}

const GgufValue* GgufMetadata::find(std::string_view key) const noexcept {
  const uint32_t position = index_.find(key);
  return position == NameIndex::kAbsent ? nullptr : &entries_[position].value;
}

Result<uint64_t> alignment_of(const GgufMetadata& metadata) {
  static constexpr std::string_view kKey = "general.alignment";
  const GgufValue* value = metadata.find(kKey);
  if (value == nullptr) return uint64_t{kDefaultAlignment};
  if (value->type() != GgufType::u32) {
    return Status(Cause::alignment,
                  "expected a u32, the file has " + std::string(gguf_type_name(value->type())),
                  key_subject(kKey), value->offset());
  }
  uint32_t alignment = 0;
  std::memcpy(&alignment, value->raw().data(), sizeof(alignment));
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    return Status(Cause::alignment,
                  "expected a power of two from " + count_of(kMinAlignment) + " to " +
                      count_of(kMaxAlignment) + ", the file has " + count_of(alignment),
                  key_subject(kKey), value->offset());
  }
  return uint64_t{alignment};
}

}  // namespace larder::formats

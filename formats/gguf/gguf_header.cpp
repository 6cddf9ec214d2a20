#include "formats/gguf/gguf_header.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "formats/gguf/byte_reader.h"
#include "formats/gguf/checked_size.h"
#include "formats/gguf/gguf_limits.h"
#include "formats/gguf/printable_name.h"
#include "formats/gguf/tensor_table.h"

namespace larder::formats {
namespace {

constexpr std::string_view kMagic = "GGUF";

// The smallest entry: a key of one byte with its length, a type, a value of one byte.
constexpr uint64_t kSmallestEntryBytes = 8 + 1 + 4 + 1;
// The smallest tensor info: a name of one byte with its length, n_dims, one dim, type, offset.
constexpr uint64_t kSmallestInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;

// What people most often take for a GGUF file.
std::string_view kind_behind(std::string_view magic) noexcept {
  struct Kind {
    std::string_view magic, name;
  };
  static constexpr std::array kKinds = {Kind{"lmgg", "a GGML file older than GGUF"},
                                        Kind{"tjgg", "a GGML file older than GGUF"},
                                        Kind{"GGML", "a GGML file older than GGUF"},
                                        Kind{"PK\x03\x04", "a ZIP archive"},
                                        Kind{"\x7f"
                                             "ELF",
                                             "a program"},
                                        Kind{"\x1f\x8b", "compressed with gzip"},
                                        Kind{"vers", "a Git LFS pointer"},
                                        Kind{"<!DO", "an HTML page"}};
  for (const Kind& kind : kKinds) {
    if (magic.starts_with(kind.magic)) return kind.name;
  }
  return {};
}

Status check_magic(ByteReader& reader) {
  std::string_view magic;
  if (!reader.read_text(std::min<uint64_t>(kMagic.size(), reader.left()), magic)) {
    return reader.failure({});
  }
  if (magic == kMagic) return {};
  if (kMagic.starts_with(magic)) {
    return Status(Cause::truncated,
                  "the file ends after " + std::to_string(magic.size()) + " bytes", {}, 0);
  }
  std::string message = "expected a GGUF file, this one begins with \"" + printable_name(magic);
  message += '"';
  if (const auto kind = kind_behind(magic); !kind.empty()) {
    message += ": it is " + std::string(kind);
  }
  return Status(Cause::magic, std::move(message), {}, 0);
}

Status read_version(ByteReader& reader, uint32_t& version) {
  const uint64_t offset = reader.offset();
  if (!reader.read(version)) return reader.failure({});
  if (version == 2 || version == 3) return {};
  if ((version & 0xffff) == 0 && version != 0) {
    return Status(Cause::version, "the file is big-endian; only little-endian files are read", {},
                  offset);
  }
  return Status(Cause::version,
                "expected GGUF version 2 or 3, the file has " + std::to_string(version), {},
                offset);
}

struct CountRule {
  std::string_view what;
  uint64_t limit;
  uint64_t smallest_bytes;  // that one of them takes
};

Status read_count(ByteReader& reader, const CountRule& rule, uint64_t& count) {
  const uint64_t offset = reader.offset();
  if (!reader.read(count)) return reader.failure({});
  const std::string what(rule.what);
  if (count > rule.limit) {
    return Status(Cause::limit,
                  "expected at most " + std::to_string(rule.limit) + " " + what +
                      ", the file announces " + std::to_string(count),
                  {}, offset);
  }
  if (count > reader.left() / rule.smallest_bytes) {
    return Status(Cause::truncated,
                  "announces " + std::to_string(count) + " " + what + ", the file has " +
                      std::to_string(reader.left()) + " bytes left",
                  {}, offset);
  }
  return {};
}

// Finds where the data section begins, and looks at the padding before it.
Status find_data(ByteReader& reader, GgufHeader& header, uint64_t& data_begin) {
  const uint64_t end = reader.offset();
  data_begin = CheckedSize(end).aligned_to(header.alignment_bytes).value();
  if (!header.tensors.empty() && data_begin > end + reader.left()) {
    return Status(Cause::truncated,
                  "the file ends before its data section at byte " + std::to_string(data_begin));
  }
  if (!reader.skip(std::min(data_begin - end, reader.left()))) return reader.failure({});
  const auto padding = reader.since(end);
  if (std::any_of(padding.begin(), padding.end(), [](std::byte b) { return b != std::byte{0}; })) {
    header.warnings.emplace_back("the padding behind the header is not zero");
  }
  return {};
}

}  // namespace

Result<GgufHeader> read_header(HeaderBytes& bytes) {
  ByteReader reader(bytes);
  GgufHeader header;
  uint64_t n_tensors = 0;
  uint64_t n_entries = 0;
  if (Status status = check_magic(reader); !status.ok()) return status;
  if (Status status = read_version(reader, header.version); !status.ok()) return status;
  const CountRule tensor_rule{"tensors", kMaxTensors, kSmallestInfoBytes};
  if (Status status = read_count(reader, tensor_rule, n_tensors); !status.ok()) return status;
  const CountRule entry_rule{"keys", kMaxEntries, kSmallestEntryBytes};
  if (Status status = read_count(reader, entry_rule, n_entries); !status.ok()) return status;

  auto metadata = GgufMetadata::read(reader, n_entries);
  if (!metadata.ok()) return metadata.status();
  header.metadata = std::move(*metadata);
  auto tensors = read_tensor_infos(reader, n_tensors);
  if (!tensors.ok()) return tensors.status();
  header.tensors = std::move(*tensors);

  const auto alignment = alignment_of(header.metadata);
  if (!alignment.ok()) return alignment.status();
  header.alignment_bytes = *alignment;
  uint64_t data_begin = 0;
  if (Status status = find_data(reader, header, data_begin); !status.ok()) return status;
  const DataSection section{bytes.available(), data_begin, *alignment, bytes.file_bytes()};
  if (Status status = place_tensors(section, header.tensors, header.warnings); !status.ok()) {
    return status;
  }
  bytes.seal();
  return header;
}

}  // namespace larder::formats

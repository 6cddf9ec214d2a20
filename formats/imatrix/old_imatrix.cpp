#include "formats/imatrix/old_imatrix.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <new>

namespace larder::formats {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the reader copies little-endian numbers");

constexpr int32_t kMaxEntries = 1 << 20;  // as of tensors in a GGUF file
constexpr int32_t kMaxNameBytes = 4096;

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool is_at_end() const noexcept { return at_ == bytes_.size(); }

  // A count between `least` and `most` of things of unit_bytes that follow, all of them there;
  // with units of 0, of things elsewhere.
  Result<size_t> count(const char* what, int32_t least, int32_t most, size_t unit_bytes) {
    int32_t n = 0;
    if (bytes_.size() - at_ < sizeof n) return truncated(what);
    std::memcpy(&n, bytes_.data() + at_, sizeof n);
    if (n < least || n > most) {
      return Status(Cause::limit, std::string(what) + " are " + std::to_string(n), entry_, at_);
    }
    at_ += sizeof n;
    if (unit_bytes > 0 && (bytes_.size() - at_) / unit_bytes < static_cast<size_t>(n)) {
      return truncated(what);
    }
    return static_cast<size_t>(n);
  }
  Result<int32_t> number(const char* what) {
    const auto n = count(what, 0, INT32_MAX, 0);
    if (!n) return n.status();
    return static_cast<int32_t>(*n);
  }
  // REQUIRES: count() returned n for units of this size
  const std::byte* take(size_t n_bytes) {
    const std::byte* const taken = bytes_.data() + at_;
    at_ += n_bytes;
    return taken;
  }
  void in_entry(std::string name) { entry_ = "entry " + std::move(name); }
  Status error(Cause cause, std::string message) const {
    return Status(cause, std::move(message), entry_, at_);
  }

 private:
  Status truncated(const char* what) const {
    return error(Cause::truncated, std::string("the file ends in its ") + what);
  }
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  std::string entry_;
};

Result<std::string> read_text(Reader& reader, const char* what, int32_t least_bytes) {
  const auto n = reader.count(what, least_bytes, kMaxNameBytes, 1);
  if (!n) return n.status();
  return std::string(reinterpret_cast<const char*>(reader.take(*n)), *n);
}

Result<OldImatrix::Entry> read_entry(Reader& reader) {
  OldImatrix::Entry entry;
  auto name = read_text(reader, "name bytes", 1);
  if (!name) return name.status();
  entry.tensor = std::move(*name);
  reader.in_entry(entry.tensor);
  const auto n_calls = reader.number("calls");
  if (!n_calls) return n_calls.status();
  entry.n_calls = *n_calls;
  const auto n = reader.count("values", 1, INT32_MAX, sizeof(float));
  if (!n) return n.status();
  entry.values.resize(*n);
  std::memcpy(entry.values.data(), reader.take(*n * sizeof(float)), *n * sizeof(float));
  for (const float value : entry.values) {
    if (!std::isfinite(value) || value < 0) {
      return reader.error(Cause::numeric, "has a value that is negative or not finite");
    }
  }
  return entry;
}

Status read_origin(Reader& reader, OldImatrix& imatrix) {
  if (reader.is_at_end()) return {};
  const auto n_chunks = reader.number("chunks");
  if (!n_chunks) return n_chunks.status();
  imatrix.n_chunks = *n_chunks;
  if (reader.is_at_end()) return {};
  auto dataset = read_text(reader, "name bytes of the text", 0);
  if (!dataset) return dataset.status();
  imatrix.dataset = std::move(*dataset);
  return {};
}

}  // namespace

Result<OldImatrix> parse_old_imatrix(std::span<const std::byte> bytes) try {
  Reader reader(bytes);
  OldImatrix imatrix;
  const auto n_entries = reader.count("entries", 1, kMaxEntries, 1);
  if (!n_entries) return n_entries.status();
  for (size_t i = 0; i < *n_entries; ++i) {
    auto entry = read_entry(reader);
    if (!entry) return entry.status();
    imatrix.entries.push_back(std::move(*entry));
  }
  reader.in_entry("behind the last");
  if (Status s = read_origin(reader, imatrix); !s.ok()) return s;
  return imatrix;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::formats

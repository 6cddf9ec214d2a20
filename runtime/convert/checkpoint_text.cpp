#include "runtime/convert/checkpoint_text.h"

#include <unistd.h>

#include <span>

#include "formats/gguf/mapped_file.h"
#include "formats/json/json.h"

namespace larder::runtime {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{128} << 20;  // the largest tokenizer.json has 32 MiB

}  // namespace

bool is_readable(const std::string& path) noexcept { return ::access(path.c_str(), R_OK) == 0; }

Result<std::string> read_small_file(const std::string& path) {
  const auto file = formats::MappedFile::open(path);
  if (!file) return file.status();
  const uint64_t n_bytes = file->identity().size_bytes;
  if (n_bytes > kMaxBytes) return Status(Cause::limit, "larger than 128 MiB").with_file(path);
  std::string text(n_bytes, '\0');
  if (Status s = file->read_at(0, std::as_writable_bytes(std::span(text))); !s.ok()) return s;
  return text;
}

Result<formats::DataValue> read_json_file(const std::string& path) {
  const Result<std::string> text = read_small_file(path);
  if (!text) return text.status();
  Result<formats::DataValue> value = formats::parse_json(*text);
  if (!value) return value.status().with_file(path);
  return value;
}

}  // namespace larder::runtime

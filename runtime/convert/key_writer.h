// An architecture's metadata, "<name>.<key>": the first value that a key is given stays.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "formats/gguf/gguf_writer.h"

namespace larder::runtime {

class KeyWriter {
 public:
  KeyWriter(formats::GgufWriter& out, std::string_view architecture)
      : out_(out), prefix_(std::string(architecture) + ".") {}

  // False, and nothing written, where the value does not fit 32 bits or is not finite.
  bool count(std::string_view key, int64_t value);
  bool real(std::string_view key, double value);
  void flag(std::string_view key, bool value);
  void string(std::string_view key, std::string_view value);
  void counts(std::string_view key, std::span<const int64_t> values);  // one a layer

  bool has(std::string_view key) const { return written_.contains(key); }

 private:
  bool is_new(std::string_view key) { return written_.emplace(key).second; }
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }

  formats::GgufWriter& out_;
  std::string prefix_;
  std::set<std::string, std::less<>> written_;
};

}  // namespace larder::runtime

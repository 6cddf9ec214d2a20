// Writes GGUF version 3. Metadata and tensor infos first, then tensor data in that order, so that
// a model larger than memory can be streamed. The file appears whole or not at all: a temporary
// file in the same directory, fsync, rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::formats {

class GgufWriter {
 public:
  GgufWriter();
  GgufWriter(GgufWriter&& other) noexcept;
  GgufWriter& operator=(GgufWriter&& other) noexcept;
  ~GgufWriter();  // removes what was begun and not finished

  // Metadata, in the order of the calls. A repeated key replaces its value. A u32
  // general.alignment is obeyed. REQUIRES: the type is of the value's kind and can hold it.
  void set_integer(std::string_view key, GgufType type, int64_t value);
  void set_float(std::string_view key, GgufType type, double value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_integers(std::string_view key, GgufType type, std::span<const int64_t> values);
  void set_floats(std::string_view key, std::span<const float> values);
  void set_strings(std::string_view key, std::span<const std::string_view> values);
  void copy(std::string_view key, const GgufValue& value);  // any type, byte for byte

  // dims in ggml order, 1 to 4 of them, dims[0] a whole number of blocks; begin() checks names and
  // shapes. REQUIRES: `type` is from tensor_types().
  void add_tensor(std::string_view name, const TensorType& type, std::span<const uint64_t> dims);

  // Writes the header to a temporary file beside `path`; then every tensor's data exactly once, in
  // the order of add_tensor, in pieces of any size (padding is added here); then finish(). Without
  // a finish() that succeeds nothing stays, nor after an append() that failed. Errors: `io` naming
  // the file; `invalid_argument` for names, shapes or amounts of data that no reader would accept.
  Status begin(const std::string& path);
  Status append(std::span<const std::byte> data);
  Status finish();

  // The header alone, for tests and for sizing. REQUIRES: a valid general.alignment, if any.
  std::vector<std::byte> header() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace larder::formats

// Reads one architecture's metadata, "<name>.<key>", each value against its range. The first
// failure is kept and later reads return their lowest value, so that callers read in one line and
// check once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"

namespace larder::runtime {

struct IntegerRange {
  int64_t low = 0, high = 0;  // both allowed
};
struct RealRange {
  double low = 0, high = 0;  // both allowed
};

class ArchKeys {
 public:
  ArchKeys(const formats::GgufFile& file, std::string_view prefix);

  bool has(std::string_view key) const;
  // Without a fallback the key is required.
  int64_t integer(std::string_view key, IntegerRange range, std::optional<int64_t> fallback = {});
  double real(std::string_view key, RealRange range, std::optional<double> fallback = {});
  bool boolean(std::string_view key, bool fallback);
  std::string_view string(std::string_view key, std::string_view fallback);
  // A scalar for all layers, or an array of one value a layer.
  std::vector<int32_t> per_layer(std::string_view key, IntegerRange range, int32_t n_layers,
                                 std::optional<int64_t> fallback = {});
  // An array of one bool a layer. REQUIRES: has(key).
  std::vector<bool> flags_per_layer(std::string_view key, int32_t n_layers);
  // Whether there is such a key and it holds an array.
  bool is_array(std::string_view key) const;

  // Keeps a failure of the caller's own about a key, if it is the first.
  void refuse(std::string_view key, std::string message);
  const Status& status() const noexcept { return status_; }

 private:
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  const formats::GgufValue* find(std::string_view key, bool is_required);
  bool in_range(std::string_view key, int64_t value, IntegerRange range);
  void keep(Status status);

  const formats::GgufFile& file_;
  std::string prefix_;
  Status status_;
};

}  // namespace larder::runtime

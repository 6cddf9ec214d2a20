#include "runtime/convert/key_writer.h"

#include <cfloat>
#include <cmath>

namespace larder::runtime {

using formats::GgufType;

bool KeyWriter::count(std::string_view key, int64_t value) {
  if (value < 0 || value > UINT32_MAX) return false;
  if (is_new(key)) out_.set_integer(full(key), GgufType::u32, value);
  return true;
}

bool KeyWriter::real(std::string_view key, double value) {
  if (!(std::abs(value) <= double{FLT_MAX})) return false;
  if (is_new(key)) out_.set_float(full(key), GgufType::f32, value);
  return true;
}

void KeyWriter::flag(std::string_view key, bool value) {
  if (is_new(key)) out_.set_bool(full(key), value);
}

void KeyWriter::string(std::string_view key, std::string_view value) {
  if (is_new(key)) out_.set_string(full(key), value);
}

void KeyWriter::counts(std::string_view key, std::span<const int64_t> values) {
  if (is_new(key)) out_.set_integers(full(key), GgufType::u32, values);
}

}  // namespace larder::runtime

// Reads arbitrary bytes as a GGUF file and touches all that the reader hands out.
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/gguf/gguf_reader.h"

namespace {

using larder::formats::GgufArray;
using larder::formats::GgufFile;
using larder::formats::GgufType;
using larder::formats::GgufValue;

volatile uint64_t sink = 0;

void touch_bytes(const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t sum = 0;
  for (size_t i = 0; i < size; ++i) sum += bytes[i];
  sink = sink + sum;
}

void touch(const GgufArray& array) {
  touch_bytes(array.raw().data(), array.raw().size());
  if (auto values = array.to_integers(); values.ok()) sink = sink + values->size();
  if (auto values = array.to_floats(); values.ok()) sink = sink + values->size();
  if (auto values = array.to_bools(); values.ok()) sink = sink + values->size();
  if (auto values = array.to_strings(); values.ok()) {
    for (const auto text : *values) touch_bytes(text.data(), text.size());
  }
  if (auto values = array.to_arrays(); values.ok()) {
    for (const auto& inner : *values) touch(inner);
  }
}

void touch(const GgufValue& value) {
  touch_bytes(value.raw().data(), value.raw().size());
  if (auto integer = value.to_integer(); integer.ok()) {
    sink = sink + static_cast<uint64_t>(*integer);
  }
  if (auto number = value.to_float(); number.ok()) sink = sink + (*number > 0 ? 1 : 0);
  if (auto flag = value.to_bool(); flag.ok()) sink = sink + (*flag ? 1 : 0);
  if (auto text = value.to_string(); text.ok()) touch_bytes(text->data(), text->size());
  if (auto array = value.to_array(); array.ok()) touch(*array);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = GgufFile::parse(bytes, "fuzz.gguf");
  if (!file.ok()) {
    const auto text = file.status().to_string();
    touch_bytes(text.data(), text.size());
    return 0;
  }
  for (const auto& entry : (*file)->entries()) {
    touch_bytes(entry.key.data(), entry.key.size());
    if ((*file)->find(entry.key) != &entry.value) __builtin_trap();
    touch(entry.value);
  }
  for (const auto& tensor : (*file)->tensors()) {
    if ((*file)->find_tensor(tensor.name) != &tensor) __builtin_trap();
    const auto content = (*file)->data(tensor);
    if (content.size() != tensor.row_bytes() * tensor.n_rows()) __builtin_trap();
    touch_bytes(content.data(), content.size());
  }
  return 0;
}

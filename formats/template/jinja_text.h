// The bytes behind string values: shared, append-only, and aware of whose words they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/template/jinja_object.h"
#include "formats/text/marked_text.h"

namespace larder::formats::jinja {

// Strings are views [begin, end) of a buffer, so slicing copies nothing, and a view that reaches
// the buffer's end can be appended to in place without disturbing the others.
class TextBuffer : public Object {
 public:
  // Bytes that somebody else keeps alive during the render.
  TextBuffer(std::string_view external, bool is_input)
      : external_(external), is_external_(true), is_input_(is_input) {}
  explicit TextBuffer(Meter* meter) : Object(meter, sizeof(TextBuffer)) {}

  std::string_view bytes() const noexcept { return is_external_ ? external_ : owned_; }
  size_t size() const noexcept { return bytes().size(); }
  bool can_grow() const noexcept { return !is_external_; }

  // REQUIRES: can_grow()
  void append(std::string_view bytes, bool is_input);
  // `source` may be this buffer.
  void append(const TextBuffer& source, size_t begin, size_t end);
  void mark(size_t begin, size_t end);  // after every range marked so far
  void reserve(size_t n_bytes);

  // Calls take(begin, end) for the inputs inside [begin, end), ascending.
  template <class Take>
  void for_inputs(size_t begin, size_t end, Take take) const;
  bool has_input(size_t begin, size_t end) const;

  MarkedText take();  // leaves the buffer empty

 private:
  size_t first_input_after(size_t begin) const;

  std::string owned_;
  std::string_view external_;
  std::vector<ByteRange> inputs_;  // of owned_; disjoint, ascending, not touching
  bool is_external_ = false;
  bool is_input_ = false;  // all of external_
};

template <class Take>
void TextBuffer::for_inputs(size_t begin, size_t end, Take take) const {
  if (begin >= end) return;
  if (is_external_) {
    if (is_input_) take(begin, end);
    return;
  }
  for (size_t i = first_input_after(begin); i < inputs_.size() && inputs_[i].begin < end; ++i) {
    take(std::max(begin, inputs_[i].begin), std::min(end, inputs_[i].end));
  }
}

}  // namespace larder::formats::jinja

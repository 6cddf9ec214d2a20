#include "formats/template/jinja_text.h"

#include <algorithm>
#include <utility>

namespace larder::formats::jinja {

void TextBuffer::reserve(size_t n_bytes) {
  if (n_bytes <= owned_.capacity()) return;
  if (n_bytes > UINT32_MAX) fail_limit("a string of 4 GiB or more");  // views keep 32-bit offsets
  const size_t capacity = owned_.capacity();
  size_t growth = capacity / 2;
  // Near the limit, a share of what is left: growth stays geometric and others find room.
  if (meter() != nullptr) growth = std::min<size_t>(growth, meter()->left() / 2);
  const size_t wanted = std::max(n_bytes, capacity + growth);
  charge(wanted - capacity);
  std::string grown;  // reserve() on owned_ itself would at least double it
  grown.reserve(wanted);
  grown.append(owned_);
  owned_.swap(grown);
}

void TextBuffer::append(std::string_view bytes, bool is_input) {
  if (bytes.empty()) return;
  assert(can_grow());
  reserve(owned_.size() + bytes.size());
  const size_t begin = owned_.size();
  owned_.append(bytes);
  if (is_input) mark(begin, owned_.size());
}

void TextBuffer::append(const TextBuffer& source, size_t begin, size_t end) {
  if (begin >= end) return;
  assert(can_grow());
  reserve(owned_.size() + (end - begin));
  const size_t shift = owned_.size() - begin;  // modulo 2^64
  // After reserve, `source` may be this buffer: its bytes are found where they are now.
  owned_.append(source.bytes().substr(begin, end - begin));
  if (&source != this) {
    source.for_inputs(begin, end, [&](size_t b, size_t e) { mark(b + shift, e + shift); });
    return;
  }
  for (size_t i = first_input_after(begin); i < inputs_.size() && inputs_[i].begin < end; ++i) {
    const ByteRange range = inputs_[i];
    mark(std::max(begin, range.begin) + shift, std::min(end, range.end) + shift);
    if (range.end >= end) break;
  }
}

void TextBuffer::mark(size_t begin, size_t end) {
  if (begin >= end) return;
  if (!inputs_.empty() && inputs_.back().end == begin) {
    inputs_.back().end = end;
    return;
  }
  charge(sizeof(ByteRange));
  inputs_.push_back({begin, end});
}

size_t TextBuffer::first_input_after(size_t begin) const {
  const auto found = std::partition_point(inputs_.begin(), inputs_.end(),
                                          [begin](const ByteRange& r) { return r.end <= begin; });
  return static_cast<size_t>(found - inputs_.begin());
}

bool TextBuffer::has_input(size_t begin, size_t end) const {
  bool found = false;
  for_inputs(begin, end, [&found](size_t, size_t) { found = true; });
  return found;
}

MarkedText TextBuffer::take() { return {std::exchange(owned_, {}), std::exchange(inputs_, {})}; }

}  // namespace larder::formats::jinja

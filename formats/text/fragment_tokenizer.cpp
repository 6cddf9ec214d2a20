#include "formats/text/fragment_tokenizer.h"

#include <cassert>
#include <new>
#include <string>

namespace larder::formats {

namespace {

// Positions are kept in 32 bits, and ids must fit the caller's int32 counts.
constexpr size_t kMaxTextBytes = INT32_MAX;

template <class Encode>
Status encode_within_limits(size_t n_bytes, std::vector<TokenId>& ids, Encode encode) {
  if (n_bytes > kMaxTextBytes) {
    return Status(Cause::limit, "a text of " + std::to_string(n_bytes) +
                                    " bytes; at most 2^31 - 1 can be encoded at once");
  }
  const size_t n_before = ids.size();
  try {
    encode();
  } catch (const std::bad_alloc&) {
    ids.resize(n_before);
    return Status(Cause::out_of_memory,
                  "not enough memory to encode " + std::to_string(n_bytes) + " bytes");
  }
  return {};
}

}  // namespace

FragmentTokenizer::FragmentTokenizer(std::unique_ptr<Vocabulary> vocabulary,
                                     std::vector<TokenId> swallows_space)
    : Tokenizer(std::move(vocabulary)), specials_(tokens(), std::move(swallows_space)) {}

Status FragmentTokenizer::encode(std::string_view text, SpecialTokens special,
                                 std::vector<TokenId>& ids) const {
  return encode_within_limits(text.size(), ids,
                              [&] { encode_fragments(text, specials_.split(text, special), ids); });
}

Status FragmentTokenizer::encode(const MarkedText& text, std::vector<TokenId>& ids) const {
  return encode_within_limits(text.text.size(), ids,
                              [&] { encode_fragments(text.text, specials_.split(text), ids); });
}

}  // namespace larder::formats

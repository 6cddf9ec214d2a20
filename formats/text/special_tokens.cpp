#include "formats/text/special_tokens.h"

#include <algorithm>
#include <string>

#include "formats/text/unicode.h"

namespace larder::formats {

namespace {

bool is_special(const TokenTable& tokens, TokenId id) {
  const TokenType type = tokens.type(id);
  const size_t n_bytes = tokens.text(id).size();
  return n_bytes > 0 && n_bytes <= kMaxPatternBytes && tokens.find(tokens.text(id)) == id &&
         (type == TokenType::control || type == TokenType::user_defined ||
          type == TokenType::unknown);
}

size_t end_of_space(std::string_view text, size_t at) {
  while (at < text.size()) {
    const DecodedChar c = decode_utf8(text, at);
    if (char_class(c.code_point) != CharClass::space) break;
    at += c.n_bytes;
  }
  return at;
}

}  // namespace

std::vector<TokenId> space_swallowing_tokens(const TokenTable& tokens) {
  for (const char* const mark : {"<|user|>", "<|assistant|>", "<|end|>", "<|placeholder1|>"}) {
    const TokenId id = tokens.find(mark);
    if (id == kNoToken || tokens.type(id) != TokenType::control) return {};
  }
  std::vector<TokenId> ids;
  for (const char* const text : {"</s>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>",
                                 "<|placeholder3|>", "<|placeholder4|>", "<|system|>", "<|end|>",
                                 "<|placeholder5|>", "<|placeholder6|>", "<|user|>"}) {
    if (const TokenId id = tokens.find(text); id != kNoToken) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

SpecialTokenMatcher::SpecialTokenMatcher(const TokenTable& tokens,
                                         std::vector<TokenId> swallows_space)
    : tokens_(tokens), swallows_space_(std::move(swallows_space)) {
  std::vector<TokenId> ids;
  std::string spelt_backwards;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    if (!is_special(tokens, id)) continue;
    ids.push_back(id);
    const std::string_view text = tokens.text(id);
    spelt_backwards.append(text.rbegin(), text.rend());
  }
  if (ids.empty()) return;
  std::vector<std::string_view> patterns;
  patterns.reserve(ids.size());
  size_t at = 0;
  for (const TokenId id : ids) {
    const size_t n_bytes = tokens.text(id).size();
    patterns.push_back(std::string_view(spelt_backwards).substr(at, n_bytes));
    at += n_bytes;
  }
  reversed_ = std::make_unique<ByteAutomaton>(patterns);

  for (auto& of_state : longest_) of_state.assign(reversed_->n_states(), kNoToken);
  for (State state = 1; state < reversed_->n_states(); ++state) {
    for (auto& of_state : longest_) of_state[state] = of_state[reversed_->fail(state)];
    const int32_t pattern = reversed_->pattern(state);
    if (pattern < 0) continue;
    const TokenId id = ids[static_cast<size_t>(pattern)];
    const bool is_user_defined = tokens.type(id) == TokenType::user_defined;
    longest_[size_t(Scope::any)][state] = id;
    if (is_user_defined) longest_[size_t(Scope::user_defined)][state] = id;
    if (is_user_defined && !tokens.is_markup_like(id)) longest_[size_t(Scope::plain)][state] = id;
  }
}

TokenId SpecialTokenMatcher::longer(TokenId a, TokenId b) const {
  if (a == kNoToken || b == kNoToken) return std::max(a, b);
  return tokens_.text(a).size() >= tokens_.text(b).size() ? a : b;
}

std::vector<Fragment> SpecialTokenMatcher::split(std::string_view text,
                                                 SpecialTokens special) const {
  const Scope scope = special == SpecialTokens::recognised ? Scope::any : Scope::user_defined;
  std::vector<Match> matches;
  if (reversed_ != nullptr) {
    State state = ByteAutomaton::kRoot;
    for (size_t at = text.size(); at-- > 0;) {
      state = reversed_->step(state, static_cast<unsigned char>(text[at]));
      if (const TokenId token = longest(state, scope); token != kNoToken) {
        matches.push_back({at, token});
      }
    }
  }
  return fragments(text, matches);
}

// Two walks at once: one over everything for the plain tokens, and one that starts anew at every
// input range and hence never sees a byte of one.
std::vector<Fragment> SpecialTokenMatcher::split(const MarkedText& marked) const {
  const std::string_view text = marked.text;
  std::vector<Match> matches;
  if (reversed_ != nullptr) {
    State anywhere = ByteAutomaton::kRoot, outside = ByteAutomaton::kRoot;
    auto input = marked.inputs.rbegin();
    for (size_t at = text.size(); at-- > 0;) {
      const auto byte = static_cast<unsigned char>(text[at]);
      while (input != marked.inputs.rend() && at < input->begin) ++input;
      const bool is_input = input != marked.inputs.rend() && at < input->end;
      anywhere = reversed_->step(anywhere, byte);
      outside = is_input ? ByteAutomaton::kRoot : reversed_->step(outside, byte);
      const TokenId token = longer(longest(anywhere, Scope::plain), longest(outside, Scope::any));
      if (token != kNoToken) matches.push_back({at, token});
    }
  }
  return fragments(text, matches);
}

// `matches` descend by position; each is the longest that begins there.
std::vector<Fragment> SpecialTokenMatcher::fragments(std::string_view text,
                                                     const std::vector<Match>& matches) const {
  std::vector<Fragment> out;
  size_t at = 0;
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    if (match->begin < at) continue;
    if (match->begin > at) out.push_back({at, match->begin, kNoToken});
    at = match->begin + tokens_.text(match->token).size();
    if (std::binary_search(swallows_space_.begin(), swallows_space_.end(), match->token)) {
      at = end_of_space(text, at);
    }
    out.push_back({match->begin, at, match->token});
  }
  if (at < text.size()) out.push_back({at, text.size(), kNoToken});
  return out;
}

}  // namespace larder::formats

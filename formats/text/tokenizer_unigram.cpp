#include "formats/text/tokenizer_unigram.h"

#include <algorithm>

#include "formats/text/space_mark.h"
#include "formats/text/unicode.h"

namespace larder::formats {

namespace keys = tokenizer_keys;

namespace {

// How much worse than the worst token an unknown character is. Source: SentencePiece.
constexpr float kUnknownPenalty = 10.0f;

}  // namespace

// The best way to reach every byte position of one normalised text.
struct UnigramTokenizer::Workspace {
  struct Arrival {
    float score;  // float32, summed from the left, as SentencePiece does: ties depend on it
    TokenId token;
    uint32_t n_bytes;  // of that token; 0: not reached
  };
  std::vector<Arrival> best;
};

Result<std::shared_ptr<const Tokenizer>> UnigramTokenizer::create(
    const TokenizerMetadata& metadata) {
  // Source: the ids of T5's vocabulary.
  Result<std::unique_ptr<Vocabulary>> vocabulary =
      Vocabulary::read(metadata, {.eos = 1, .unknown = 2, .padding = 0, .adds_eos = true});
  if (!vocabulary.ok()) return vocabulary.status();
  const TokenTable& tokens = (*vocabulary)->tokens;
  (*vocabulary)->model_name = "t5";
  (*vocabulary)->pre_tokenizer_name = "default";
  (*vocabulary)->unknown_surface = kUnknownText;
  Result<std::vector<float>> scores = metadata.scores(size_t(tokens.size()));
  if (!scores.ok()) return scores.status();
  Options options;
  if (metadata.has(keys::kCharsmap)) {
    const Result<std::string_view> blob = metadata.blob(keys::kCharsmap);
    if (!blob.ok()) return blob.status();
    Result<Charsmap> charsmap = Charsmap::parse(*blob);
    if (!charsmap.ok()) return charsmap.status();
    options.charsmap = std::move(*charsmap);
  }
  const Result<bool> adds_space = metadata.flag(keys::kAddSpacePrefix, true);
  if (!adds_space.ok()) return adds_space.status();
  const Result<bool> removes_space = metadata.flag(keys::kRemoveExtraSpace, true);
  if (!removes_space.ok()) return removes_space.status();
  options.adds_space = *adds_space;
  options.removes_extra_space = *removes_space;
  std::vector<Piece> pieces = pieces_of(tokens, *scores);
  return std::shared_ptr<const Tokenizer>(
      new UnigramTokenizer(std::move(*vocabulary), std::move(options), std::move(pieces)));
}

std::vector<UnigramTokenizer::Piece> UnigramTokenizer::pieces_of(const TokenTable& tokens,
                                                                 const std::vector<float>& scores) {
  std::vector<Piece> pieces;
  for (TokenId id = 0; id < tokens.size(); ++id) {
    const std::string_view text = tokens.text(id);
    if (tokens.type(id) != TokenType::normal || tokens.find(text) != id) continue;
    if (text.size() > kMaxPatternBytes) continue;
    pieces.push_back({id, scores[size_t(id)], static_cast<uint32_t>(text.size())});
  }
  return pieces;
}

ByteAutomaton UnigramTokenizer::automaton_of(const TokenTable& tokens,
                                             const std::vector<Piece>& pieces) {
  std::vector<std::string_view> texts;
  texts.reserve(pieces.size());
  for (const Piece& piece : pieces) texts.push_back(tokens.text(piece.token));
  return ByteAutomaton(texts);
}

UnigramTokenizer::UnigramTokenizer(std::unique_ptr<Vocabulary> vocabulary, Options options,
                                   std::vector<Piece> pieces)
    : FragmentTokenizer(std::move(vocabulary), {}),
      options_(std::move(options)),
      pieces_(std::move(pieces)),
      automaton_(automaton_of(tokens(), pieces_)) {
  const auto worst =
      std::min_element(pieces_.begin(), pieces_.end(),
                       [](const Piece& a, const Piece& b) { return a.score < b.score; });
  unknown_score_ = (worst == pieces_.end() ? 0 : worst->score) - kUnknownPenalty;
}

void UnigramTokenizer::encode_fragments(std::string_view text, std::span<const Fragment> fragments,
                                        std::vector<TokenId>& ids) const {
  Workspace work;
  for (const Fragment& fragment : fragments) {
    if (fragment.token != kNoToken) {
      ids.push_back(fragment.token);
      continue;
    }
    find_best_path(normalized(text.substr(fragment.begin, fragment.end - fragment.begin)), work);
    append_path(work, ids);
  }
}

std::string UnigramTokenizer::normalized(std::string_view text) const {
  const auto front = [&] { return options_.charsmap.replace_front(text); };
  if (options_.removes_extra_space) {
    while (!text.empty() && front().text == " ") text.remove_prefix(front().n_bytes);
  }
  std::string out;
  if (text.empty()) return out;
  if (options_.adds_space) out += kSpaceMark;
  bool after_space = options_.removes_extra_space;
  while (!text.empty()) {
    Charsmap::Replacement next = front();
    text.remove_prefix(next.n_bytes);
    while (after_space && next.text.starts_with(' ')) next.text.remove_prefix(1);
    if (next.text.empty()) continue;
    append_with_marks(out, next.text);
    after_space = options_.removes_extra_space && next.text.ends_with(' ');
  }
  while (options_.removes_extra_space && std::string_view(out).ends_with(kSpaceMark)) {
    out.resize(out.size() - kSpaceMark.size());
  }
  return out;
}

// The tokens that end at a position come longest first, that is in the order of their beginnings;
// only a strictly greater sum replaces an earlier one.
void UnigramTokenizer::find_best_path(std::string_view text, Workspace& work) const {
  auto& best = work.best;
  best.assign(text.size() + 1, {0, kNoToken, 0});
  ByteAutomaton::State state = ByteAutomaton::kRoot;
  for (size_t begin = 0; begin < text.size();) {
    const uint32_t n_bytes = decode_utf8(text, begin).n_bytes;
    const size_t end = begin + n_bytes;
    for (size_t at = begin; at < end; ++at) {
      state = automaton_.step(state, static_cast<unsigned char>(text[at]));
    }
    Workspace::Arrival& arrival = best[end];
    const auto offer = [&](const Piece& piece) {
      const size_t from = end - piece.n_bytes;
      if (from > 0 && best[from].n_bytes == 0) return;  // inside a character
      const float sum = best[from].score + piece.score;
      if (arrival.n_bytes == 0 || sum > arrival.score) arrival = {sum, piece.token, piece.n_bytes};
    };
    bool is_known = false;
    for (auto match = automaton_.longest_match(state); match != ByteAutomaton::kRoot;
         match = automaton_.longest_match(automaton_.fail(match))) {
      const Piece& piece = pieces_[size_t(automaton_.pattern(match))];
      offer(piece);
      is_known = is_known || piece.n_bytes == n_bytes;
    }
    if (!is_known) offer({kNoToken, unknown_score_, n_bytes});
    begin = end;
  }
}

// A run of unknown characters becomes one unknown token.
void UnigramTokenizer::append_path(const Workspace& work, std::vector<TokenId>& ids) const {
  const auto first = static_cast<ptrdiff_t>(ids.size());
  bool after_unknown = false;
  for (size_t end = work.best.size() - 1; end > 0; end -= work.best[end].n_bytes) {
    const TokenId token = work.best[end].token;
    const bool is_unknown = token == kNoToken;
    if (!is_unknown) {
      ids.push_back(token);
    } else if (!after_unknown && unknown() != kNoToken) {
      ids.push_back(unknown());
    }
    after_unknown = is_unknown;
  }
  std::reverse(ids.begin() + first, ids.end());
}

std::string UnigramTokenizer::token_bytes(TokenId id, bool show_control) const {
  const std::string_view text = this->text(id);
  if (type(id) == TokenType::control) return show_control ? std::string(text) : std::string();
  std::string bytes;
  append_with_spaces(bytes, text);
  return bytes;
}

}  // namespace larder::formats

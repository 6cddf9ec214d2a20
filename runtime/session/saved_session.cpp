#include "runtime/session/saved_session.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "runtime/experts/expert_profile.h"
#include "runtime/session/sequence_state.h"

namespace larder::runtime {
namespace {

using formats::TokenId;

constexpr uint32_t kVersion = 1;

// The bytes: this header, tokens, source, logits, the pieces of the cache, and the sum of all that.
// Little endian, as are the machines that run this.
struct Header {
  std::array<char, 8> magic = {'L', 'A', 'R', 'D', 'E', 'R', 'S', 'S'};
  uint32_t version = kVersion;
  uint32_t n_vocab = 0;
  uint64_t model_bytes = 0, model_hash = 0;
  int32_t n_tokens = 0, n_source = 0, first_windowed = 0;
  uint8_t cache_k = 0, cache_v = 0, is_exact = 0, has_logits = 0;
  uint64_t sum = 0;  // of what stands before it
};
static_assert(sizeof(Header) == 56 && offsetof(Header, sum) == 48);

// Against accidents, not against people: of a stream of bytes, eight at a time, however it is cut
// into pieces. The constant is odd and near 2^64 over the golden ratio, as in Knuth's
// multiplicative hashing.
class Sum {
 public:
  void add(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
      const size_t n = std::min(sizeof(word_) - n_held_, bytes.size());
      std::memcpy(reinterpret_cast<std::byte*>(&word_) + n_held_, bytes.data(), n);
      bytes = bytes.subspan(n);
      n_held_ += n;
      if (n_held_ < sizeof(word_)) return;
      value_ = mixed(word_);
      n_held_ = 0;
      word_ = 0;
    }
  }
  uint64_t value() const noexcept { return mixed(word_ + n_held_); }

 private:
  uint64_t mixed(uint64_t word) const noexcept {
    const uint64_t product = (value_ ^ word) * 0x9e3779b97f4a7c15u;
    return product ^ (product >> 32);
  }

  uint64_t value_ = 0, word_ = 0;  // of word_, the bytes that are held; the rest is 0
  size_t n_held_ = 0;
};

template <class T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
  return std::as_bytes(std::span(&value, 1));
}

uint64_t sum_of(const Header& header) noexcept {
  Sum sum;
  sum.add(bytes_of(header).first(offsetof(Header, sum)));
  return sum.value();
}

Result<Header> header_of(const Session& session) {
  const Result<ModelFingerprint> model = fingerprint_of(session.model().file());
  if (!model) return model.status();
  const SequenceState::Extent extent = session.state().extent();
  const CacheTypes types = session.state().types();
  Header header;
  header.n_vocab = static_cast<uint32_t>(session.model().config().n_vocab);
  header.model_bytes = model->file_bytes;
  header.model_hash = model->header_hash;
  header.n_tokens = extent.n_positions;
  header.n_source = extent.n_source;
  header.first_windowed = extent.first_windowed;
  header.cache_k = static_cast<uint8_t>(types.keys);
  header.cache_v = static_cast<uint8_t>(types.values);
  header.is_exact = session.options().exact ? 1 : 0;
  header.has_logits = session.logits().empty() ? 0 : 1;
  header.sum = sum_of(header);
  return header;
}

Status damaged() { return Status(Cause::magic, "the saved session is damaged"); }

// Whether a session such as the one that `mine` is of can hold what `saved` announces.
Status check(const Header& saved, const Header& mine, int32_t n_ctx) {
  if (saved.magic != mine.magic) return Status(Cause::magic, "no saved session");
  if (saved.version != mine.version)
    return Status(Cause::version, "a saved session of version " + std::to_string(saved.version) +
                                      ", this is " + std::to_string(mine.version));
  if (saved.sum != sum_of(saved)) return damaged();
  if (saved.model_bytes != mine.model_bytes || saved.model_hash != mine.model_hash ||
      saved.n_vocab != mine.n_vocab)
    return Status(Cause::changed, "a saved session of another model");
  if (saved.cache_k != mine.cache_k || saved.cache_v != mine.cache_v ||
      saved.is_exact != mine.is_exact)
    return Status(Cause::changed,
                  "saved with other types of keys and values, or the other arithmetic");
  if (saved.n_tokens < 0 || saved.n_source < 0 || saved.first_windowed < 0 ||
      saved.first_windowed > saved.n_tokens || saved.has_logits > 1)
    return damaged();
  if (saved.n_tokens > n_ctx || saved.n_source > n_ctx)
    return Status(Cause::context_full, "the saved session has " + std::to_string(saved.n_tokens) +
                                           " tokens, the context has room for " +
                                           std::to_string(n_ctx));
  return {};
}

// Gives all to a callback of pieces, and adds it up.
class Writer {
 public:
  explicit Writer(const ByteSink& sink) : sink_(sink) {}
  bool write(std::span<const std::byte> bytes) {
    if (!status_.ok() || bytes.empty()) return status_.ok();
    sum_.add(bytes);
    status_ = sink_(bytes);
    return status_.ok();
  }
  uint64_t sum() const noexcept { return sum_.value(); }
  const Status& status() const noexcept { return status_; }

 private:
  const ByteSink& sink_;
  Sum sum_;
  Status status_;
};

class Reader {
 public:
  explicit Reader(const ByteSource& source) : source_(source) {}
  bool read(std::span<std::byte> bytes) {
    if (!status_.ok() || bytes.empty()) return status_.ok();
    status_ = source_(bytes);
    if (status_.ok()) sum_.add(bytes);
    return status_.ok();
  }
  template <class T>
  bool read(std::vector<T>& values) {
    return read(std::as_writable_bytes(std::span(values)));
  }
  uint64_t sum() const noexcept { return sum_.value(); }
  const Status& status() const noexcept { return status_; }

 private:
  const ByteSource& source_;
  Sum sum_;
  Status status_;
};

Status read_cache(Reader& reader, const Header& header, SequenceState& state) {
  const bool is_read =
      state.hold_pieces({header.n_tokens, header.n_source, header.first_windowed},
                        [&](std::span<std::byte> bytes) { return reader.read(bytes); });
  if (!is_read) return reader.status();
  const uint64_t expected = reader.sum();
  uint64_t sum = 0;
  if (!reader.read(std::as_writable_bytes(std::span(&sum, 1)))) return reader.status();
  return sum == expected ? Status() : damaged();
}

}  // namespace

uint64_t saved_bytes(const Session& session) noexcept {
  uint64_t n = sizeof(Header) + sizeof(uint64_t);
  n += sizeof(TokenId) * (session.tokens().size() + session.source().size());
  n += session.logits().size_bytes();
  session.state().each_piece([&n](std::span<const std::byte> bytes) {
    n += bytes.size();
    return true;
  });
  return n;
}

Status save(const Session& session, const ByteSink& sink) try {
  const Result<Header> header = header_of(session);
  if (!header) return header.status();
  Writer writer(sink);
  if (writer.write(bytes_of(*header)) && writer.write(std::as_bytes(std::span(session.tokens()))) &&
      writer.write(std::as_bytes(std::span(session.source()))) &&
      writer.write(std::as_bytes(session.logits())) &&
      session.state().each_piece(
          [&](std::span<const std::byte> bytes) { return writer.write(bytes); })) {
    const uint64_t sum = writer.sum();
    writer.write(bytes_of(sum));
  }
  return writer.status();
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Status restore(Session& session, const ByteSource& source) try {
  const Result<Header> mine = header_of(session);
  if (!mine) return mine.status();
  Reader reader(source);
  Header saved;
  if (!reader.read(std::as_writable_bytes(std::span(&saved, 1)))) return reader.status();
  if (Status s = check(saved, *mine, session.n_ctx()); !s.ok()) return s;

  std::vector<TokenId> tokens(static_cast<size_t>(saved.n_tokens));
  std::vector<TokenId> its_source(static_cast<size_t>(saved.n_source));
  std::vector<float> logits(saved.has_logits != 0 ? saved.n_vocab : 0);
  if (!reader.read(tokens) || !reader.read(its_source) || !reader.read(logits))
    return reader.status();
  return session.hold({tokens, its_source, logits},
                      [&](SequenceState& state) { return read_cache(reader, saved, state); });
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime

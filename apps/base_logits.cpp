#include "apps/base_logits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

namespace larder::apps {
namespace {

constexpr std::string_view kMagic = "LARDERKL";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 40;
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr uint32_t kMostTop = 1 << 20;  // above every vocabulary, far below overflow

size_t token_bytes(const BaseHeader& header) { return 12 + 8 * size_t{header.n_top}; }

template <class T>
void put(std::string& bytes, T value) {
  for (size_t i = 0; i < sizeof value; ++i)
    bytes += static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
}
void put(std::string& bytes, double value) {
  put(bytes, std::bit_cast<uint32_t>(static_cast<float>(value)));
}

// Takes values from the front of bytes that are long enough.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T integer() {
    T value = 0;
    for (size_t i = 0; i < sizeof value; ++i)
      value |= static_cast<T>(static_cast<uint8_t>(bytes_[at_ + i])) << (8 * i);
    at_ += sizeof value;
    return value;
  }
  float real() { return std::bit_cast<float>(integer<uint32_t>()); }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

std::string_view as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Status io_error(const std::string& path) {
  return Status(Cause::io, std::string("cannot be read: ") + std::strerror(errno)).with_file(path);
}

}  // namespace

Result<BaseWriter> BaseWriter::create(const std::string& path, std::span<const std::string> in_use,
                                      const BaseHeader& header) {
  Result<Output> output = Output::open(path, in_use);
  if (!output) return output.status();
  BaseWriter writer(std::move(*output));
  writer.buffer_ = kMagic;
  for (const uint32_t field :
       {kVersion, header.n_top, header.n_vocab, header.mode, header.n_ctx, uint32_t{0}})
    put(writer.buffer_, field);
  put(writer.buffer_, header.n_tokens);
  return writer;
}

void BaseWriter::add(formats::TokenId token, double logprob,
                     std::span<const runtime::TokenLogprob> top) {
  double mass = 0;
  for (const runtime::TokenLogprob& t : top) mass += std::exp(t.logprob);
  put(buffer_, static_cast<uint32_t>(token));
  put(buffer_, logprob);
  put(buffer_, std::max(0.0, 1 - mass));
  for (const runtime::TokenLogprob& t : top) {
    put(buffer_, static_cast<uint32_t>(t.token));
    put(buffer_, t.logprob);
  }
  if (buffer_.size() >= kWriteBytes) write(std::exchange(buffer_, {}));
}

void BaseWriter::write(const std::string& bytes) {
  hasher_.add(std::string_view(bytes));
  output_.write(bytes);
}

Status BaseWriter::finish() {
  write(std::exchange(buffer_, {}));
  output_.write(as_text(hasher_.digest()));
  return output_.finish();
}

Result<BaseReader> BaseReader::open(const std::string& path) {
  BaseReader reader;
  reader.path_ = path;
  reader.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader.descriptor_ < 0) return io_error(path);
  struct stat info {};
  if (fstat(reader.descriptor_, &info) != 0) return io_error(path);
  std::string bytes(kHeaderBytes, '\0');
  if (Status s = reader.fill(bytes); !s.ok()) return s;
  if (!bytes.starts_with(kMagic))
    return Status(Cause::magic, "no distributions that --save-logits has written").with_file(path);
  Fields fields(std::string_view(bytes).substr(kMagic.size()));
  if (const auto version = fields.integer<uint32_t>(); version != kVersion)
    return Status(Cause::version, "version " + std::to_string(version) + " is not 1")
        .with_file(path);
  BaseHeader& header = reader.header_;
  for (uint32_t* field : {&header.n_top, &header.n_vocab, &header.mode, &header.n_ctx})
    *field = fields.integer<uint32_t>();
  (void)fields.integer<uint32_t>();
  header.n_tokens = fields.integer<uint64_t>();
  if (header.n_top > kMostTop || header.n_top > header.n_vocab ||
      header.n_tokens > (uint64_t{1} << 40))
    return Status(Cause::limit, "its header is out of range").with_file(path);
  const uint64_t size = kHeaderBytes + header.n_tokens * token_bytes(header) + sizeof(Digest);
  if (std::cmp_not_equal(info.st_size, size))
    return Status(Cause::truncated, "has " + std::to_string(info.st_size) + " bytes of the " +
                                        std::to_string(size) + " that its header tells of")
        .with_file(path);
  return reader;
}

BaseReader::~BaseReader() {
  if (descriptor_ >= 0) close(descriptor_);
}

BaseReader::BaseReader(BaseReader&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      header_(other.header_),
      n_read_(other.n_read_),
      hasher_(other.hasher_) {}

Status BaseReader::fill(std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::read(descriptor_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(path_);
    if (n == 0) return Status(Cause::truncated, "ends too early").with_file(path_);
    done += static_cast<size_t>(n);
  }
  hasher_.add(std::string_view(bytes));
  return {};
}

Result<std::vector<BaseToken>> BaseReader::read(size_t n) {
  assert(n <= header_.n_tokens - n_read_);
  std::string bytes(n * token_bytes(header_), '\0');
  if (Status s = fill(bytes); !s.ok()) return s;
  Fields fields(bytes);
  std::vector<BaseToken> tokens(n);
  for (BaseToken& token : tokens) {
    token.token = static_cast<formats::TokenId>(fields.integer<uint32_t>());
    token.logprob = fields.real();
    token.rest_mass = fields.real();
    token.top.resize(header_.n_top);
    for (runtime::TokenLogprob& top : token.top) {
      const auto id = fields.integer<uint32_t>();
      if (id >= header_.n_vocab)
        return Status(Cause::limit, "names token " + std::to_string(id) + " of a vocabulary of " +
                                        std::to_string(header_.n_vocab))
            .with_file(path_);
      top.token = static_cast<formats::TokenId>(id);
      top.logprob = fields.real();
    }
  }
  n_read_ += n;
  if (n_read_ == header_.n_tokens)
    if (Status s = check_end(); !s.ok()) return s;
  return tokens;
}

Status BaseReader::check_end() {
  const Digest computed = Hasher(hasher_).digest();
  std::string stored(sizeof(Digest), '\0');
  if (Status s = fill(stored); !s.ok()) return s;
  if (stored == as_text(computed)) return {};
  return Status(Cause::changed, "is damaged: its checksum does not fit").with_file(path_);
}

}  // namespace larder::apps

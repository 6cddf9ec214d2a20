#include "runtime/experts/expert_profile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <span>
#include <system_error>
#include <utility>

namespace larder::runtime {
namespace {

// The file: this header, use[n_experts], then the hash of all of that. Little endian, as are the
// machines that run this.
struct Header {
  char magic[8] = {'L', 'A', 'R', 'D', 'E', 'R', 'X', 'P'};
  uint32_t version = 1;
  uint32_t n_experts = 0;
  uint64_t file_bytes = 0, header_hash = 0;
  float n_tokens = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(Header) == 40);

// More than any forecast remembers; and a use is once a token and expert, or a few times.
constexpr float kMaxTokens = 1 << 20, kMaxUse = 64;

// A hash against accidents, not against people: eight bytes at a time, each times FNV's prime.
class Hash {
 public:
  void add(std::span<const std::byte> bytes) noexcept {
    for (size_t at = 0; at < bytes.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min<size_t>(8, bytes.size() - at));
      value_ = (value_ ^ word) * 0x100000001b3u;
      value_ ^= value_ >> 29;
    }
  }
  uint64_t value() const noexcept { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return number_; }
  bool close() noexcept { return ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_;
};

Status io_error(const char* what, const std::string& path) {
  return Status(Cause::io, what + (": " + std::system_category().message(errno))).with_file(path);
}

// The whole file, at most limit bytes.
Result<std::vector<std::byte>> read_all(const std::string& path, size_t limit) {
  // Whatever stands there, a FIFO too, opens at once.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts = {};
  if (file.get() < 0 || ::fstat(file.get(), &facts) != 0) return io_error("cannot open", path);
  if (!S_ISREG(facts.st_mode)) return Status(Cause::io, "no regular file").with_file(path);
  std::vector<std::byte> bytes(std::min(static_cast<size_t>(facts.st_size), limit));
  size_t n = 0;
  while (n < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + n, bytes.size() - n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("cannot read", path);
    if (got == 0) break;
    n += static_cast<size_t>(got);
  }
  bytes.resize(n);
  return bytes;
}

bool write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

// Folders of a cache are made for their owner alone. Source: XDG base directory specification.
void make_folder(const std::string& path) {
  struct stat facts = {};
  if (path.empty() || ::stat(path.c_str(), &facts) == 0) return;
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos) make_folder(path.substr(0, slash));
  ::mkdir(path.c_str(), 0700);
}

// What the file's header has to say for this model.
Status check(const Header& header, const ModelFingerprint& model, size_t n_experts) {
  const Header expected;
  if (!std::equal(std::begin(header.magic), std::end(header.magic), expected.magic))
    return Status(Cause::magic, "no profile of experts");
  if (header.version != expected.version)
    return Status(Cause::version, "version " + std::to_string(header.version));
  if (header.n_experts != n_experts || header.file_bytes != model.file_bytes ||
      header.header_hash != model.header_hash)
    return Status(Cause::changed, "a profile of another model");
  return {};
}

bool is_sane(const ExpertProfile& profile) {
  const auto is_use = [](float use) { return use >= 0 && use <= kMaxUse; };
  return profile.n_tokens >= 0 && profile.n_tokens <= kMaxTokens &&
         std::all_of(profile.use.begin(), profile.use.end(), is_use);
}

}  // namespace

std::string ModelFingerprint::name() const {
  std::array<char, 17> text;
  const uint64_t both = header_hash ^ (file_bytes * 0x9e3779b97f4a7c15u);
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(both));
  return text.data();
}

Result<ModelFingerprint> fingerprint_of(const formats::GgufFile& file) {
  std::vector<uint64_t> ends;  // of the headers
  for (int i = 0; i < file.n_shards(); ++i) {
    const formats::MappedFile* shard = file.shard(i);
    if (shard == nullptr) return Status(Cause::unsupported, "the model is no file");
    ends.push_back(shard->bytes().size());
  }
  for (const formats::GgufTensor& tensor : file.tensors()) {
    uint64_t& end = ends[static_cast<size_t>(tensor.shard)];
    end = std::min(end, tensor.file_offset);
  }
  Hash hash;
  std::vector<std::byte> piece(size_t{1} << 16);
  for (int i = 0; i < file.n_shards(); ++i) {
    const uint64_t end = ends[static_cast<size_t>(i)];
    for (uint64_t at = 0; at < end; at += piece.size()) {
      const std::span<std::byte> part(piece.data(), std::min<uint64_t>(piece.size(), end - at));
      if (Status s = file.shard(i)->read_at(at, part); !s.ok()) return s;
      hash.add(part);
    }
  }
  return ModelFingerprint{file.size_bytes(), hash.value()};
}

Result<ExpertProfile> read_expert_profile(const std::string& path, const ModelFingerprint& model,
                                          size_t n_experts) {
  const size_t use_bytes = n_experts * sizeof(float);
  const size_t body_bytes = sizeof(Header) + use_bytes;
  const auto bytes = read_all(path, body_bytes + sizeof(uint64_t) + 1);
  if (!bytes) return bytes.status();
  Header header;
  if (bytes->size() < sizeof header)
    return Status(Cause::truncated, "no profile of experts").with_file(path);
  std::memcpy(&header, bytes->data(), sizeof header);
  if (Status s = check(header, model, n_experts); !s.ok()) return s.with_file(path);
  if (bytes->size() != body_bytes + sizeof(uint64_t))
    return Status(Cause::truncated, "not as long as it says").with_file(path);
  uint64_t written = 0;
  std::memcpy(&written, bytes->data() + body_bytes, sizeof written);
  Hash hash;
  hash.add(std::span(*bytes).first(body_bytes));
  ExpertProfile profile = {header.n_tokens, std::vector<float>(n_experts)};
  if (use_bytes > 0) std::memcpy(profile.use.data(), bytes->data() + sizeof header, use_bytes);
  if (hash.value() != written || !is_sane(profile))
    return Status(Cause::numeric, "damaged").with_file(path);
  return profile;
}

Status write_expert_profile(const std::string& path, const ModelFingerprint& model,
                            const ExpertProfile& profile) {
  Header header;
  header.n_experts = static_cast<uint32_t>(profile.use.size());
  header.file_bytes = model.file_bytes;
  header.header_hash = model.header_hash;
  header.n_tokens = profile.n_tokens;
  const auto head = std::as_bytes(std::span(&header, 1));
  const auto body = std::as_bytes(std::span(profile.use));
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  Hash hash;
  hash.add(bytes);
  const uint64_t value = hash.value();
  const auto tail = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), tail.begin(), tail.end());

  if (const size_t slash = path.rfind('/'); slash != std::string::npos)
    make_folder(path.substr(0, slash));
  std::string temporary = path + ".XXXXXX";
  Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (file.get() < 0) return io_error("cannot write", path);
  // No fsync: after a power cut the hash does not fit, and the profile is made anew.
  if (write_all(file.get(), bytes) && file.close() &&
      std::rename(temporary.c_str(), path.c_str()) == 0) {
    return {};
  }
  const Status failed = io_error("cannot write", path);
  ::unlink(temporary.c_str());
  return failed;
}

}  // namespace larder::runtime

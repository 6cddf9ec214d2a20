// The catalogue of malformed containers: each file gives its typed error, or loads as it must,
// within a second and 64 MiB + 4 x header.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "tests/gguf_builder.h"
#include "tests/gguf_catalogue.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

using formats::GgufFile;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kIsSanitized = true;  // shadow memory and quarantine are not the reader's
#else
constexpr bool kIsSanitized = false;
#endif
constexpr double kMaxSeconds = kIsSanitized ? 10.0 : 1.0;
constexpr uint64_t kMiB = 1024 * 1024;

// A line of /proc/self/status, in bytes.
uint64_t process_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  return 0;
}

// Peak memory and processor time between construction and check().
class Meter {
 public:
  Meter() {
    ::malloc_trim(0);
    // 5: the peak starts again from what is resident now. Source: proc(5), clear_refs.
    std::ofstream("/proc/self/clear_refs") << 5;
    before_bytes_ = process_bytes("VmRSS");
    processor_start_ = processor_seconds();
    start_ = std::chrono::steady_clock::now();
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void check(uint64_t header_bytes, double max_seconds = kMaxSeconds) const {
    CHECK(processor_seconds() - processor_start_ <= max_seconds);
    const uint64_t peak = process_bytes("VmHWM");
    if (!kIsSanitized) CHECK(peak <= before_bytes_ + 64 * kMiB + 4 * header_bytes);
  }

 private:
  // Judged by, since the machine may be busy with others; what waits for ever fails CTest's limit.
  static double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

  uint64_t before_bytes_ = 0;
  double processor_start_ = 0;
  std::chrono::steady_clock::time_point start_;
};

void check_answer(const Result<std::shared_ptr<const GgufFile>>& answer,
                  const CatalogueFile& expected) {
  if (expected.causes.empty()) {
    INFO(answer.status().to_string());
    REQUIRE(answer.ok());
    CHECK((*answer)->warnings().empty() == !expected.warns);
    return;
  }
  REQUIRE_FALSE(answer.ok());
  const ErrorDetail& error = answer.status().detail();
  INFO(answer.status().to_string());
  CHECK(std::ranges::count(expected.causes, error.cause) == 1);
  CHECK_FALSE(error.message.empty());
  CHECK_FALSE(error.file.empty());
  if (!expected.subject.empty()) CHECK(error.subject.starts_with(expected.subject));
  for (const char c : answer.status().to_string()) CHECK((c >= 0x20 && c < 0x7f));
}

Result<std::shared_ptr<const GgufFile>> parse(const Bytes& bytes) {
  return GgufFile::parse(std::as_bytes(std::span(bytes)), "m-00001-of-00002.gguf");
}

Cause cause_of_opening(const std::string& path) { return GgufFile::open(path).status().cause(); }

std::string numbered(std::string_view prefix, uint64_t number) {
  std::string name(prefix);
  name += std::to_string(number);
  return name;
}

// A file of `size` bytes, of which only the first are written.
std::string write_sparse(const TemporaryDirectory& directory, const Bytes& front, uint64_t size) {
  const std::string path = directory.write("sparse.gguf", front);
  return ::truncate(path.c_str(), static_cast<off_t>(size)) == 0 ? path : std::string();
}

}  // namespace

TEST_CASE(
    "gguf catalogue: every malformed file gives its typed error, from a file and from memory") {
  const TemporaryDirectory directory;
  const Bytes valid = valid_gguf().build();
  const auto files = malformed_containers();
  CHECK(files.size() > 130);
  for (const CatalogueFile& file : files) {
    CAPTURE(file.id);
    CAPTURE(file.what);
    const std::string path = directory.write("case.gguf", file.bytes);
    const Meter meter;
    check_answer(GgufFile::open(path), file);
    meter.check(file.bytes.size());
    check_answer(parse(file.bytes), file);
    CHECK(parse(valid).ok());
  }
}

TEST_CASE("gguf catalogue C02: every prefix of a file is truncated") {
  const Bytes valid = valid_gguf().build();
  for (size_t length = 0; length < valid.size(); ++length) {
    // A copy of exactly that length, so that a sanitizer sees any step beyond it.
    const std::vector<char> prefix(valid.begin(), valid.begin() + static_cast<ptrdiff_t>(length));
    const auto answer = GgufFile::parse(std::as_bytes(std::span(prefix)), "prefix.gguf");
    CAPTURE(length);
    REQUIRE_FALSE(answer.ok());
    CHECK(answer.status().cause() == Cause::truncated);
  }
}

TEST_CASE("gguf catalogue C18: a string of 1 GiB in a sparse file of 2 GiB meets the limit") {
  const TemporaryDirectory directory;
  GgufBuilder file;
  file.keys = {{"odd", kString, sized_as((uint64_t{1} << 30) + 1)}};
  const std::string path = write_sparse(directory, file.header(), uint64_t{1} << 31);
  REQUIRE_FALSE(path.empty());
  const Meter meter;
  CHECK(cause_of_opening(path) == Cause::limit);
  meter.check(file.header().size());
}

TEST_CASE("gguf catalogue C18: an array larger than any header meets the limit unread") {
  const TemporaryDirectory directory;
  GgufBuilder file;
  file.keys = {{"odd", kArray, array_of(kU64, uint64_t{1} << 26, "")}};
  const std::string path = write_sparse(directory, file.header(), uint64_t{1} << 31);
  REQUIRE_FALSE(path.empty());
  const Meter meter;
  CHECK(cause_of_opening(path) == Cause::limit);
  meter.check(file.header().size());
}

TEST_CASE("gguf catalogue C27: ten million empty strings load within four times their size") {
  const TemporaryDirectory directory;
  constexpr uint64_t kCount = 10'000'000;
  GgufBuilder file;
  file.keys = {{"many", kArray, array_of(kString, kCount, "")}};
  const Bytes front = file.header();
  const uint64_t size = front.size() + kCount * 8;
  const std::string path = write_sparse(directory, front, size);  // a length of 0 is 8 zeros
  REQUIRE_FALSE(path.empty());
  const Meter meter;
  const auto opened = GgufFile::open(path);
  REQUIRE(opened.ok());
  CHECK((*opened)->array("many")->size() == kCount);
  meter.check(size);
  MESSAGE("C27: " << size / 1e6 << " MB in " << meter.seconds() * 1e3 << " ms");
}

TEST_CASE("gguf catalogue C68: keys are linear") {
  for (const uint32_t count : {50'000U, 500'000U}) {
    GgufBuilder file;
    for (uint32_t i = 0; i < count; ++i) file.keys.push_back(key_u32(numbered("key.", i), i));
    const TemporaryDirectory directory;
    const Bytes bytes = file.build();
    const std::string path = directory.write("keys.gguf", bytes);
    file.keys = {};
    const Meter meter;
    const auto opened = GgufFile::open(path);
    const double seconds = meter.seconds();
    meter.check(bytes.size(), kMaxSeconds * count / 500'000);
    REQUIRE(opened.ok());
    CHECK(*(*opened)->integer(numbered("key.", count - 1)) == count - 1);
    MESSAGE("C68: " << count << " keys in " << seconds * 1e3 << " ms");
  }
}

TEST_CASE("gguf catalogue C69: tensors are linear, also when they lie in reverse order") {
  for (const uint32_t count : {20'000U, 200'000U}) {
    GgufBuilder file;
    for (uint32_t i = 0; i < count; ++i) {
      RawTensor tensor{numbered("blk.", i), {8}, 0, {}};
      tensor.offset = uint64_t{32} * (count - 1 - i);
      file.tensors.push_back(std::move(tensor));
    }
    file.trailing = Bytes(uint64_t{32} * count, '\0');
    const TemporaryDirectory directory;
    const std::string path = directory.write("tensors.gguf", file.build());
    const uint64_t header_bytes = file.header().size();
    file = {};
    const Meter meter;
    const auto opened = GgufFile::open(path);
    const double seconds = meter.seconds();
    meter.check(header_bytes);
    REQUIRE(opened.ok());
    CHECK((*opened)->find_tensor("blk.0")->file_offset >
          (*opened)->find_tensor("blk.1")->file_offset);
    MESSAGE("C69: " << count << " tensors in " << seconds * 1e3 << " ms");
  }
}

TEST_CASE("gguf catalogue C70: a sparse file of 10 TiB opens in milliseconds") {
  const TemporaryDirectory directory;
  constexpr uint64_t kTensorBytes = uint64_t{5} << 40;
  GgufBuilder file;
  for (uint64_t i = 0; i < 2; ++i) {
    RawTensor tensor{numbered("t", i), {kTensorBytes / 4}, 0, {}};
    tensor.offset = i * kTensorBytes;
    file.tensors.push_back(std::move(tensor));
  }
  const uint64_t data_begin = (file.header().size() + 31) / 32 * 32;
  const std::string path = write_sparse(directory, file.header(), data_begin + 2 * kTensorBytes);
  if (path.empty()) {
    MESSAGE("this file system holds no file of 10 TiB");
    return;
  }
  const Meter meter;
  const auto opened = GgufFile::open(path);
  const double seconds = meter.seconds();
  meter.check(file.header().size(), 0.1);
  REQUIRE(opened.ok());
  const auto data = (*opened)->data((*opened)->tensors()[1]);
  CHECK(data.size() == kTensorBytes);
  CHECK(data.back() == std::byte{0});
  MESSAGE("C70: 10 TiB in " << seconds * 1e3 << " ms");
}

TEST_CASE("gguf catalogue C71: what is no regular file is an io error at once") {
  const TemporaryDirectory directory;
  REQUIRE(::mkfifo(directory.path("fifo").c_str(), 0600) == 0);
  REQUIRE(::symlink("nowhere", directory.path("dangling").c_str()) == 0);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  directory.path("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const Meter meter;
  for (const std::string& path :
       {directory.path(""), directory.path("fifo"), directory.path("socket"),
        directory.path("dangling"), directory.path("absent"), std::string("/dev/zero"),
        std::string("/dev/full"), std::string()}) {
    CAPTURE(path);
    CHECK(cause_of_opening(path) == Cause::io);
  }
  meter.check(0);
  ::close(listener);
  const std::string unreadable = directory.write("secret.gguf", valid_gguf().build());
  REQUIRE(::chmod(unreadable.c_str(), 0) == 0);
  const uid_t user = ::geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0) REQUIRE(::seteuid(kNobody) == 0);  // root may read everything
  CHECK(cause_of_opening(unreadable) == Cause::io);
  REQUIRE(::seteuid(user) == 0);
}

// --- Split files ---

}  // namespace larder::tests

// Every allocation of the reader and the writer fails once: an error, never an exception.
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/gguf_writer.h"
#include "tests/gguf_builder.h"
#include "tests/gguf_catalogue.h"
#include "tests/temporary_directory.h"

namespace {

int64_t allocations_until_failure = -1;  // negative: never

}  // namespace

void* operator new(size_t size) {
  if (allocations_until_failure >= 0 && allocations_until_failure-- == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace larder::tests {
namespace {

using formats::GgufFile;
using formats::GgufWriter;

// Calls `attempt` with the first, second, ... allocation failing, until one succeeds.
template <class Attempt>
int failures_until_success(const Attempt& attempt) {
  for (int n = 0;; ++n) {
    Status status;
    allocations_until_failure = n;
    CHECK_NOTHROW(status = attempt());
    allocations_until_failure = -1;
    if (status.ok()) return n;
    CAPTURE(n);
    CHECK(status.cause() == Cause::out_of_memory);
    REQUIRE(n < 10'000);
  }
}

}  // namespace

TEST_CASE("gguf memory: each allocation of opening may fail") {
  const TemporaryDirectory directory;
  GgufBuilder builder = valid_gguf();
  for (const char* name : {"a", "b", "c", "d"}) builder.tensors.push_back(tensor_f32(name, {8}));
  builder.trailing = "a warning";
  const Bytes bytes = builder.build();
  const std::string path = directory.write("a-model-with-a-name-of-some-length.gguf", bytes);
  CHECK(failures_until_success([&] { return GgufFile::open(path).status(); }) > 10);
  CHECK(failures_until_success(
            [&] { return GgufFile::parse(std::as_bytes(std::span(bytes)), "m").status(); }) > 10);
  const auto file = *GgufFile::open(path);
  CHECK(failures_until_success(
            [&] { return file->array("tokenizer.ggml.tokens")->to_strings().status(); }) > 0);
}

TEST_CASE("gguf memory: each allocation of writing may fail, and nothing stays") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("a-model-with-a-name-of-some-length.gguf");
  const std::vector<std::byte> data(1000);
  const auto attempt = [&] {
    const int64_t armed = std::exchange(allocations_until_failure, -1);
    GgufWriter writer;
    writer.set_string("general.architecture", "llama");
    writer.add_tensor("t", *formats::find_tensor_type(24), std::array{uint64_t{1000}});
    allocations_until_failure = armed;
    Status status = writer.begin(path);
    if (status.ok()) status = writer.append(data);
    if (status.ok()) status = writer.finish();
    if (!status.ok()) {
      allocations_until_failure = -1;
      CHECK(std::filesystem::is_empty(directory.path("")));
    }
    return status;
  };
  CHECK(failures_until_success(attempt) > 5);
  CHECK(GgufFile::open(path).ok());
}

}  // namespace larder::tests

// Models written as several files, and temporary files that ended runs have left.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/gguf/gguf_split_writer.h"
#include "formats/gguf/output_file.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using formats::GgufFile;
using formats::GgufSplitWriter;
using formats::GgufTensor;

size_t n_files(const TemporaryDirectory& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory.path("")), fs::directory_iterator()));
}

std::vector<std::byte> numbered(size_t n_bytes) {
  std::vector<std::byte> bytes(n_bytes);
  for (size_t i = 0; i < n_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 253);
  return bytes;
}

// int8 tensors of these sizes.
void add_tensors(GgufSplitWriter& writer, const std::vector<uint64_t>& sizes) {
  writer.metadata().set_string("general.architecture", "none");
  for (size_t i = 0; i < sizes.size(); ++i) {
    std::string name = "t";
    name += std::to_string(i);
    writer.add_tensor(name, *formats::find_tensor_type(24), {&sizes[i], 1});
  }
}

std::vector<std::vector<size_t>> tensors_by_shard(const GgufFile& file) {
  std::vector<std::vector<size_t>> shards(static_cast<size_t>(file.n_shards()));
  for (const GgufTensor& tensor : file.tensors()) {
    shards[static_cast<size_t>(tensor.shard)].push_back(tensor.size_bytes);
  }
  return shards;
}

}  // namespace

TEST_CASE("split writer: shards are filled in order, a tensor beyond the limit has its own") {
  const TemporaryDirectory directory;
  const std::vector<uint64_t> sizes = {40, 60, 1, 500, 100, 99, 1};
  const auto data = numbered(801);
  for (const size_t piece : {1, 33, 801}) {
    GgufSplitWriter writer(100);
    add_tensors(writer, sizes);
    REQUIRE(writer.begin(directory.path("m.gguf")).ok());
    for (size_t at = 0; at < data.size(); at += piece) {
      REQUIRE(writer.append(std::span(data).subspan(at, std::min(piece, data.size() - at))).ok());
    }
    REQUIRE(writer.finish().ok());
    CHECK(n_files(directory) == 5);
    CHECK(writer.paths().front() == directory.path("m-00001-of-00005.gguf"));
    const auto file = *GgufFile::open(writer.paths().front());
    CHECK(tensors_by_shard(*file) ==
          std::vector<std::vector<size_t>>{{40, 60}, {1}, {500}, {100}, {99, 1}});
    std::vector<std::byte> read;
    for (const GgufTensor& tensor : file->tensors()) {
      const auto bytes = file->data(tensor);
      read.insert(read.end(), bytes.begin(), bytes.end());
    }
    CHECK(read == data);
  }
}

TEST_CASE("split writer: without a limit it is one file without split keys") {
  const TemporaryDirectory directory;
  GgufSplitWriter writer;
  add_tensors(writer, {40, 60});
  REQUIRE(writer.begin(directory.path("m.gguf")).ok());
  REQUIRE(writer.append(numbered(100)).ok());
  REQUIRE(writer.finish().ok());
  const auto file = *GgufFile::open(directory.path("m.gguf"));
  CHECK(file->find("split.count") == nullptr);
  CHECK(file->n_shards() == 1);
}

TEST_CASE("split writer: what is not finished, or lacks data, leaves nothing") {
  const TemporaryDirectory directory;
  {
    GgufSplitWriter writer(50);
    add_tensors(writer, {40, 60, 30});
    REQUIRE(writer.begin(directory.path("m.gguf")).ok());
    REQUIRE(writer.append(numbered(120)).ok());
    CHECK(n_files(directory) == 3);
    CHECK(writer.finish().cause() == Cause::invalid_argument);
  }
  CHECK(n_files(directory) == 0);
  GgufSplitWriter writer(50);
  add_tensors(writer, {40, 60});
  REQUIRE(writer.begin(directory.path("m.gguf")).ok());
  CHECK(writer.append(numbered(101)).cause() == Cause::invalid_argument);
}

TEST_CASE("output file: what a killed writer left is removed, what a living one writes is not") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.gguf");
  directory.write("m.gguf.tmp-1-0", "left by a killed run");
  directory.write("m.gguf.other", "not a temporary file");
  directory.write("other.gguf.tmp-1-0", "of another file");
  fs::create_symlink(directory.path("m.gguf.other"), directory.path("m.gguf.tmp-2-0"));
  auto living = formats::OutputFile::create(path);
  REQUIRE(living.ok());
  formats::OutputFile::remove_abandoned(path);
  CHECK_FALSE(fs::exists(directory.path("m.gguf.tmp-1-0")));
  CHECK(fs::exists(directory.path("m.gguf.other")));
  CHECK(fs::exists(directory.path("other.gguf.tmp-1-0")));
  CHECK(living->commit().ok());
  CHECK(fs::exists(path));
  formats::OutputFile::remove_abandoned(directory.path("absent/m.gguf"));
}

}  // namespace larder::tests

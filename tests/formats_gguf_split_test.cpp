// Split files: shards that fit are one file, and each way of not fitting is an error of its own.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "tests/gguf_builder.h"
#include "tests/gguf_catalogue.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

using formats::GgufFile;

Cause cause_of_opening(const std::string& path) { return GgufFile::open(path).status().cause(); }

// Shard `index` of `count`, with one tensor of its own; the first carries the model's keys.
GgufBuilder shard(uint16_t index, uint16_t count, uint32_t n_tensors) {
  GgufBuilder file;
  if (index == 0) file.keys = valid_gguf().keys;
  file.keys.push_back({"split.no", kU16, le16(index)});
  file.keys.push_back({"split.count", kU16, le16(count)});
  file.keys.push_back({"split.tensors.count", kI32, le32(n_tensors)});
  file.tensors = {tensor_f32("blk." + std::to_string(index) + ".w", {8, 4}, index * 100.0F)};
  return file;
}

struct SplitFixture {
  TemporaryDirectory directory;
  GgufBuilder first = shard(0, 2, 2);
  GgufBuilder second = shard(1, 2, 2);

  Result<std::shared_ptr<const GgufFile>> open(const std::string& name = "m-00001-of-00002.gguf") {
    directory.write("m-00001-of-00002.gguf", first.build());
    directory.write("m-00002-of-00002.gguf", second.build());
    return GgufFile::open(directory.path(name));
  }
  Cause cause() { return open().status().cause(); }
};

}  // namespace

TEST_CASE("gguf catalogue S00: two shards that fit are one file") {
  SplitFixture split;
  const auto opened = split.open();
  INFO(opened.status().to_string());
  REQUIRE(opened.ok());
  CHECK((*opened)->n_shards() == 2);
  const auto* tensor = (*opened)->find_tensor("blk.1.w");
  REQUIRE(tensor != nullptr);
  CHECK(tensor->shard == 1);
  const auto data = (*opened)->data(*tensor);
  CHECK(std::ranges::equal(data, std::as_bytes(std::span(split.second.tensors[0].data))));
  CHECK((*opened)->size_bytes() == split.first.build().size() + split.second.build().size());
}

TEST_CASE("gguf catalogue S01: split.count must agree with the name and the files") {
  SplitFixture split;
  for (const uint16_t count : {0, 65535, 3}) {
    split.first.key("split.count").value = le16(count);
    CHECK(split.cause() == Cause::split);
  }
  // Named consistently, the first absent sibling is named.
  for (const char* count : {"65535", "00002"}) {
    const std::string name = "n-00001-of-" + std::string(count) + ".gguf";
    split.first.key("split.count").value = le16(std::stoul(count));
    split.directory.write(name, split.first.build());
    const auto answer = GgufFile::open(split.directory.path(name));
    REQUIRE_FALSE(answer.ok());
    CHECK(answer.status().cause() == Cause::io);
    CHECK(answer.status().detail().file ==
          split.directory.path("n-00002-of-" + std::string(count) + ".gguf"));
  }
}

TEST_CASE("gguf catalogue S02: split.no must be the shard's place") {
  SplitFixture split;
  CHECK(split.open("m-00002-of-00002.gguf").status().cause() == Cause::split);
  split.second.key("split.no").value = le16(0);
  CHECK(split.cause() == Cause::split);
  split.second.key("split.no").value = le16(1);
  split.first.key("split.no").value = le16(1);
  CHECK(split.cause() == Cause::split);
}

TEST_CASE("gguf catalogue S03: split.tensors.count must be the sum") {
  SplitFixture split;
  for (const uint32_t count : {0U, 1U, 3U, 0xffffffffU}) {
    split.first.key("split.tensors.count").value = le32(count);
    CHECK(split.cause() == Cause::split);
  }
}

TEST_CASE("gguf catalogue S04: shards of two models do not fit together") {
  SplitFixture split;
  split.second.key("general.architecture") = key_string("general.architecture", "llama");
  CHECK(split.open().ok());
  split.second.key("general.architecture") = key_string("general.architecture", "qwen3moe");
  CHECK(split.cause() == Cause::split);

  SplitFixture twice;
  twice.second.tensors[0].name = twice.first.tensors[0].name;
  const auto answer = twice.open();
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.status().cause() == Cause::duplicate_tensor);
  CHECK(answer.status().detail().file == twice.directory.path("m-00002-of-00002.gguf"));
}

TEST_CASE("gguf catalogue S05: a split file must be named as one, and only siblings are opened") {
  SplitFixture split;
  for (const char* name : {"model.gguf", "m-1-of-2.gguf", "m-00001-of-00002.bin", "-00001-of-00002",
                           "m-00002-of-00002x.gguf", "m-0000a-of-00002.gguf"}) {
    split.directory.write(name, split.first.build());
    CAPTURE(name);
    CHECK(cause_of_opening(split.directory.path(name)) == Cause::split);
  }
  // "../" in the caller's path is the caller's; the sibling is looked for in the same place.
  std::filesystem::create_directory(split.directory.path("below"));
  CHECK(split.open("below/../m-00001-of-00002.gguf").ok());
  // A name that the file suggests is never used.
  split.first.key("split.name") = key_string("split.name", "../elsewhere");
  CHECK(split.open().ok());
}

TEST_CASE("gguf catalogue S05: one shard in memory has no siblings") {
  const Bytes bytes = shard(0, 2, 2).build();
  CHECK(
      GgufFile::parse(std::as_bytes(std::span(bytes)), "m-00001-of-00002.gguf").status().cause() ==
      Cause::split);
}

TEST_CASE("gguf split: widths of the split keys are lenient, missing ones are an error") {
  SplitFixture split;
  split.second.key("split.no") = {"split.no", kI64, le64(1)};
  split.first.key("split.count") = key_u32("split.count", 2);
  CHECK(split.open().ok());
  split.second.key("split.no") = key_string("split.no", "1");
  CHECK(split.cause() == Cause::split);
  split.second.keys.clear();
  CHECK(split.cause() == Cause::split);
  SplitFixture truncated;
  truncated.second.tensors[0].data.resize(64);
  CHECK(truncated.cause() == Cause::truncated);
}

}  // namespace larder::tests

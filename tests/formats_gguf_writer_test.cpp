// What is written is read back the same; what cannot be written whole leaves nothing behind.
#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/gguf/gguf_writer.h"
#include "tests/gguf_builder.h"
#include "tests/gguf_catalogue.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using formats::GgufFile;
using formats::GgufType;
using formats::GgufWriter;

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

size_t n_files(const std::string& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

std::vector<std::byte> pattern(size_t n_bytes) {
  std::vector<std::byte> bytes(n_bytes);
  for (size_t i = 0; i < n_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
  return bytes;
}

void add(GgufWriter& writer, std::string_view name, int type, std::vector<uint64_t> dims) {
  writer.add_tensor(name, *formats::find_tensor_type(type), dims);
}

void copy_metadata(GgufWriter& writer, const GgufFile& file) {
  for (const auto& entry : file.entries()) writer.copy(entry.key, entry.value);
  for (const auto& tensor : file.tensors()) {
    writer.add_tensor(tensor.name, *tensor.type,
                      std::span(tensor.dims).first(static_cast<size_t>(tensor.n_dims)));
  }
}

// A writer of one I8 tensor of `n_bytes`.
GgufWriter one_tensor(uint64_t n_bytes) {
  GgufWriter writer;
  writer.set_string("general.architecture", "llama");
  add(writer, "t", 24, {n_bytes});
  return writer;
}

// Begins, appends in pieces and finishes; the first failure.
Status write_all(GgufWriter& writer, const std::string& path, std::span<const std::byte> data,
                 size_t piece_bytes) {
  Status status = writer.begin(path);
  while (status.ok() && !data.empty()) {
    const auto piece = data.first(std::min(piece_bytes, data.size()));
    status = writer.append(piece);
    data = data.subspan(piece.size());
  }
  return status.ok() ? writer.finish() : status;
}

}  // namespace

TEST_CASE("gguf writer: every type of value is read back") {
  const TemporaryDirectory directory;
  GgufWriter writer;
  const GgufType integer_types[] = {GgufType::u8,  GgufType::i8,  GgufType::u16, GgufType::i16,
                                    GgufType::u32, GgufType::i32, GgufType::u64, GgufType::i64};
  for (const GgufType type : integer_types) {
    const std::string name(formats::gguf_type_name(type));
    const std::array<int64_t, 3> values = {0, 1, 127};
    writer.set_integer("one." + name, type, 101);
    writer.set_integers("list." + name, type, values);
  }
  writer.set_integer("least", GgufType::i64, INT64_MIN);
  writer.set_integer("minus", GgufType::i8, -128);
  writer.set_float("f32", GgufType::f32, 0.25);
  writer.set_float("f64", GgufType::f64, 1e-300);
  writer.set_bool("yes", true);
  writer.set_string("text", std::string_view("a\0\xff", 3));
  writer.set_floats("floats", std::array{1.5F, -2.5F});
  writer.set_strings("strings", std::array<std::string_view, 2>{"", "bc"});
  writer.set_strings("none", {});
  writer.set_string("text2", "first");
  writer.set_integer("text2", GgufType::u8, 2);  // replaces, at its old place

  const std::string path = directory.path("kv.gguf");
  REQUIRE(writer.begin(path).ok());
  REQUIRE(writer.finish().ok());
  const auto file = *GgufFile::open(path);
  CHECK(file->version() == 3);
  CHECK(file->warnings().empty());
  for (const GgufType type : integer_types) {
    const std::string name(formats::gguf_type_name(type));
    CHECK(file->find("one." + name)->type() == type);
    CHECK(*file->integer("one." + name) == 101);
    CHECK(*file->array("list." + name)->to_integers() == std::vector<int64_t>{0, 1, 127});
  }
  CHECK(*file->integer("least") == INT64_MIN);
  CHECK(*file->integer("minus") == -128);
  CHECK(*file->real("f32") == 0.25);
  CHECK(*file->real("f64") == 1e-300);
  CHECK(*file->boolean("yes"));
  CHECK(*file->string("text") == std::string_view("a\0\xff", 3));
  CHECK(*file->array("floats")->to_floats() == std::vector<float>{1.5F, -2.5F});
  CHECK(file->array("strings")->to_strings()->at(1) == "bc");
  CHECK(file->array("none")->size() == 0);
  CHECK(*file->integer("text2") == 2);
  CHECK(file->entries().back().key == "text2");
}

TEST_CASE("gguf writer: the bytes are those of the independent builder") {
  GgufBuilder builder = valid_gguf();
  builder.key("general.alignment") = key_u32("general.alignment", 64);
  builder.alignment = 64;
  builder.tensors.push_back(tensor_f32("odd", {5}));
  const Bytes expected = builder.build();
  const TemporaryDirectory directory;
  const auto file = *GgufFile::open(directory.write("in.gguf", expected));
  for (const size_t piece_bytes : {1, 7, 64, 1 << 20}) {
    GgufWriter writer;
    copy_metadata(writer, *file);
    std::vector<std::byte> data;
    for (const auto& tensor : file->tensors()) {
      const auto bytes = file->data(tensor);
      data.insert(data.end(), bytes.begin(), bytes.end());
    }
    REQUIRE(write_all(writer, directory.path("out.gguf"), data, piece_bytes).ok());
    CHECK(read_all(directory.path("out.gguf")) == expected);
    const auto header = writer.header();
    CHECK(std::equal(header.begin(), header.end(), std::as_bytes(std::span(expected)).begin()));
  }
  CHECK(n_files(directory.path("")) == 2);
}

TEST_CASE("gguf writer: published files survive a round trip") {
  const fs::path root = fs::path(LARDER_SHARED_DIR);
  if (!fs::is_directory(root / "goldens")) {
    MESSAGE("no reference data at " LARDER_SHARED_DIR);
    return;
  }
  const TemporaryDirectory directory;
  for (const char* name : {"goldens/qwen3moe-quant/model.gguf", "goldens/gpt-oss-mxfp4/model.gguf",
                           "goldens/mixtral/golden.gguf", "tokenizers/mixtral/vocab.gguf",
                           "tokenizers/t5/vocab.gguf", "weights/stories260K-f32.gguf"}) {
    CAPTURE(name);
    const auto file = *GgufFile::open((root / name).string());
    GgufWriter writer;
    copy_metadata(writer, *file);
    REQUIRE(writer.begin(directory.path("copy.gguf")).ok());
    for (const auto& tensor : file->tensors()) REQUIRE(writer.append(file->data(tensor)).ok());
    REQUIRE(writer.finish().ok());
    const auto copy = *GgufFile::open(directory.path("copy.gguf"));
    REQUIRE(copy->entries().size() == file->entries().size());
    for (size_t i = 0; i < copy->entries().size(); ++i) {
      CHECK(copy->entries()[i].key == file->entries()[i].key);
      CHECK(std::ranges::equal(copy->entries()[i].value.raw(), file->entries()[i].value.raw()));
    }
    REQUIRE(copy->tensors().size() == file->tensors().size());
    for (size_t i = 0; i < copy->tensors().size(); ++i) {
      CHECK(copy->tensors()[i].name == file->tensors()[i].name);
      CHECK(std::ranges::equal(copy->data(copy->tensors()[i]), file->data(file->tensors()[i])));
    }
  }
}

TEST_CASE("gguf writer: without finish nothing stays, and an old file is untouched") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("m.gguf", "old");
  const auto data = pattern(300'000);
  {
    GgufWriter writer = one_tensor(data.size());
    REQUIRE(writer.begin(path).ok());
    REQUIRE(writer.append(data).ok());
    CHECK(n_files(directory.path("")) == 2);
  }
  CHECK(n_files(directory.path("")) == 1);
  CHECK(read_all(path) == "old");
}

TEST_CASE("gguf writer: too little or too much data is the caller's mistake and leaves nothing") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.gguf");
  const auto data = pattern(100);
  GgufWriter short_of = one_tensor(101);
  CHECK(write_all(short_of, path, data, 100).cause() == Cause::invalid_argument);
  GgufWriter beyond = one_tensor(99);
  CHECK(write_all(beyond, path, data, 100).cause() == Cause::invalid_argument);
  CHECK(beyond.finish().cause() == Cause::invalid_argument);
  GgufWriter unbegun = one_tensor(100);
  CHECK(unbegun.append(data).cause() == Cause::invalid_argument);
  CHECK(unbegun.finish().cause() == Cause::invalid_argument);
  CHECK(n_files(directory.path("")) == 0);
  // The same writer can try again.
  CHECK(write_all(unbegun, path, data, 3).ok());
  CHECK(GgufFile::open(path).ok());
}

TEST_CASE("gguf writer: what no reader would accept is refused before a file is made") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("m.gguf");
  const auto refused = [&](auto&& change) {
    GgufWriter writer;
    change(writer);
    const Status status = writer.begin(path);
    CHECK(status.cause() == Cause::invalid_argument);
    CHECK_FALSE(status.detail().subject.empty());
  };
  refused([](GgufWriter& w) { w.set_bool("", true); });
  refused([](GgufWriter& w) { w.set_bool("caf\xc3\xa9", true); });
  refused([](GgufWriter& w) { w.set_integer("general.alignment", GgufType::u32, 33); });
  refused([](GgufWriter& w) { w.set_integer("general.alignment", GgufType::u64, 32); });
  refused([](GgufWriter& w) { add(w, "", 0, {1}); });
  refused([](GgufWriter& w) { add(w, std::string(65, 'n'), 0, {1}); });
  refused([](GgufWriter& w) { add(w, "t", 0, {}); });
  refused([](GgufWriter& w) { add(w, "t", 0, {1, 1, 1, 1, 1}); });
  refused([](GgufWriter& w) { add(w, "t", 0, {4, 0}); });
  refused([](GgufWriter& w) { add(w, "t", 12, {255}); });
  refused([](GgufWriter& w) { add(w, "t", 0, {uint64_t{1} << 62, 4}); });
  refused([](GgufWriter& w) {
    add(w, "t", 24, {uint64_t{1} << 62});
    add(w, "u", 24, {uint64_t{1} << 62});
  });
  refused([](GgufWriter& w) {
    add(w, "twin", 0, {1});
    add(w, "twin", 0, {2});
  });
  CHECK(n_files(directory.path("")) == 0);
}

TEST_CASE("gguf writer: a place that cannot hold a file is an io error") {
  const TemporaryDirectory directory;
  GgufWriter writer = one_tensor(1);
  CHECK(writer.begin(directory.path("absent/m.gguf")).cause() == Cause::io);
  CHECK(writer.begin(directory.path("")).cause() == Cause::io);
  // Renaming over a device would replace it.
  CHECK(writer.begin("/dev/full").cause() == Cause::io);
  CHECK(n_files(directory.path("")) == 0);
}

TEST_CASE("gguf writer: a file size limit at any point is an io error that leaves nothing") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("m.gguf", "old");
  const auto data = pattern(1'000'000);
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {0, 1, 65'536, 262'144, 262'145, 524'288, 999'999, 1'000'090}) {
    for (const size_t piece_bytes : {1000, 70'000, 1'000'000}) {
      const rlimit small = {limit, before.rlim_max};
      GgufWriter writer = one_tensor(data.size());
      REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
      const Status status = write_all(writer, path, data, piece_bytes);
      REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
      CAPTURE(limit);
      CAPTURE(piece_bytes);
      CHECK(status.cause() == Cause::io);
      if (!status.ok()) CHECK(status.detail().file == path);
      CHECK(writer.finish().cause() == Cause::invalid_argument);
      CHECK(n_files(directory.path("")) == 1);
      CHECK(read_all(path) == "old");
    }
  }
  std::signal(SIGXFSZ, old_handler);
  GgufWriter writer = one_tensor(data.size());
  CHECK(write_all(writer, path, data, 70'000).ok());
  CHECK(GgufFile::open(path).ok());
}

TEST_CASE("gguf writer: a full disk is an io error that leaves nothing") {
  const TemporaryDirectory directory;
  const std::string disk = directory.path("disk");
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=512k") != 0) {
    MESSAGE("no right to mount a small file system");
    return;
  }
  const auto data = pattern(1'000'000);
  for (const size_t piece_bytes : {1000, 70'000, 1'000'000}) {
    GgufWriter writer = one_tensor(data.size());
    const Status status = write_all(writer, disk + "/m.gguf", data, piece_bytes);
    CHECK(status.cause() == Cause::io);
    CHECK(n_files(disk) == 0);
  }
  GgufWriter writer = one_tensor(100'000);
  CHECK(write_all(writer, disk + "/m.gguf", std::span(data).first(100'000), 1000).ok());
  CHECK(n_files(disk) == 1);
  ::umount(disk.c_str());
}

}  // namespace larder::tests

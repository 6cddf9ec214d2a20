// What the reader hands out: values, conversions, tensors, data; and that damage never crashes it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "tests/gguf_builder.h"
#include "tests/gguf_catalogue.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;
using formats::GgufFile;
using formats::GgufType;
using File = std::shared_ptr<const GgufFile>;

Result<File> parse(const Bytes& bytes) {
  return GgufFile::parse(std::as_bytes(std::span(bytes)), "memory.gguf");
}

// A file of one key, and that key's value.
struct OneKey {
  explicit OneKey(uint32_t type, const Bytes& value) {
    GgufBuilder builder;
    builder.keys = {{"k", type, value}};
    bytes = builder.build();
    auto parsed = parse(bytes);
    INFO(parsed.status().to_string());
    REQUIRE(parsed.ok());
    file = *parsed;
  }
  const formats::GgufValue& value() const { return *file->find("k"); }

  Bytes bytes;
  File file;
};

// Walks over everything that a file hands out.
uint64_t touch(const GgufFile& file) {
  uint64_t sum = 0;
  for (const auto& entry : file.entries()) {
    for (const std::byte b : entry.value.raw()) sum += std::to_integer<uint64_t>(b);
    if (const auto array = entry.value.to_array(); array.ok()) {
      if (const auto strings = array->to_strings(); strings.ok()) sum += strings->size();
      if (const auto integers = array->to_integers(); integers.ok()) sum += integers->size();
    }
  }
  for (const auto& tensor : file.tensors()) {
    for (const std::byte b : file.data(tensor)) sum += std::to_integer<uint64_t>(b);
  }
  return sum;
}

std::vector<std::string> shared_files() {
  std::vector<std::string> paths;
  for (const char* folder : {"goldens", "tokenizers", "weights"}) {
    const fs::path root = fs::path(LARDER_SHARED_DIR) / folder;
    if (!fs::is_directory(root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.path().extension() == ".gguf") paths.push_back(entry.path().string());
    }
  }
  return paths;
}

}  // namespace

TEST_CASE("gguf reader: integers of every width are integers") {
  const std::pair<uint32_t, Bytes> minus_two[] = {
      {kI8, le8(0xfe)}, {kI16, le16(0xfffe)}, {kI32, le32(0xfffffffe)}, {kI64, le64(~uint64_t{1})}};
  for (const auto& [type, bytes] : minus_two)
    CHECK(*OneKey(type, bytes).value().to_integer() == -2);
  const std::pair<uint32_t, Bytes> large[] = {
      {kU8, le8(0xfe)}, {kU16, le16(0xfffe)}, {kU32, le32(0xfffffffe)}, {kU64, le64(INT64_MAX)}};
  const int64_t expected[] = {0xfe, 0xfffe, 0xfffffffe, INT64_MAX};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(*OneKey(large[i].first, large[i].second).value().to_integer() == expected[i]);
  }
  CHECK(OneKey(kU64, le64(uint64_t{1} << 63)).value().to_integer().status().cause() ==
        Cause::limit);
}

TEST_CASE("gguf reader: floats of both widths are floats, and kinds do not mix") {
  CHECK(*OneKey(kF32, le_f32(0.5F)).value().to_float() == 0.5);
  CHECK(*OneKey(kF64, le_f64(-1e300)).value().to_float() == -1e300);
  CHECK(std::isnan(*OneKey(kF32, le_f32(NAN)).value().to_float()));
  CHECK(*OneKey(kBool, le8(1)).value().to_bool());
  CHECK(*OneKey(kString, sized("x")).value().to_string() == "x");
  const OneKey text(kString, sized("1"));
  CHECK(text.value().to_integer().status().cause() == Cause::value_type);
  CHECK(text.value().to_float().status().cause() == Cause::value_type);
  CHECK(text.value().to_bool().status().cause() == Cause::value_type);
  CHECK(text.value().to_array().status().cause() == Cause::value_type);
  CHECK(OneKey(kU32, le32(1)).value().to_float().status().cause() == Cause::value_type);
  CHECK(OneKey(kF32, le_f32(1)).value().to_integer().status().cause() == Cause::value_type);
  CHECK(OneKey(kBool, le8(1)).value().to_integer().status().cause() == Cause::value_type);
  CHECK(OneKey(kU8, le8(1)).value().to_bool().status().cause() == Cause::value_type);
}

TEST_CASE("gguf reader: arrays convert, and name the element that does not fit") {
  const OneKey bytes(kArray, array_of(kI8, 3, "\x01\xff\x7f"));
  CHECK(*bytes.value().to_array()->to_integers() == std::vector<int64_t>{1, -1, 127});
  const OneKey wide(kArray, array_of(kU64, 2, le64(7) + le64(~uint64_t{0})));
  const auto too_wide = wide.value().to_array()->to_integers();
  REQUIRE_FALSE(too_wide.ok());
  CHECK(too_wide.status().cause() == Cause::value_type);
  CHECK(too_wide.status().detail().message.find("element 1") != std::string::npos);

  const OneKey doubles(kArray, array_of(kF64, 2, le_f64(0.25) + le_f64(INFINITY)));
  CHECK(*doubles.value().to_array()->to_floats() == std::vector<float>{0.25F, INFINITY});
  const OneKey huge(kArray, array_of(kF64, 1, le_f64(1e39)));
  CHECK(huge.value().to_array()->to_floats().status().cause() == Cause::value_type);
  const OneKey floats(kArray, array_of(kF32, 2, le_f32(1) + le_f32(2)));
  CHECK(*floats.value().to_array()->to_floats() == std::vector<float>{1, 2});
  CHECK(floats.value().to_array()->to_integers().status().cause() == Cause::value_type);

  const OneKey flags(kArray, array_of(kBool, 2, le8(0) + le8(1)));
  CHECK(*flags.value().to_array()->to_bools() == std::vector<bool>{false, true});
  const OneKey texts(kArray, strings({"", "\xff\x00", "abc"}));
  CHECK(texts.value().to_array()->to_strings()->at(2) == "abc");
  CHECK(texts.value().to_array()->to_bools().status().cause() == Cause::value_type);
  const OneKey none(kArray, array_of(kU8, 0, ""));
  CHECK(none.value().to_array()->to_strings()->empty());
  CHECK(none.value().to_array()->to_arrays()->empty());
}

TEST_CASE("gguf reader: arrays of arrays keep their structure") {
  const Bytes words = strings({"a", "bc"});
  const Bytes numbers = array_of(kU16, 2, le16(5) + le16(6));
  const Bytes inner = array_of(kArray, 2, words + array_of(kArray, 1, numbers));
  const Bytes empty = array_of(kArray, 0, "");
  const OneKey nested(kArray, array_of(kArray, 3, inner + empty + words));
  const auto outer = nested.value().to_array()->to_arrays();
  REQUIRE(outer.ok());
  REQUIRE(outer->size() == 3);
  CHECK((*outer)[1].size() == 0);
  CHECK((*outer)[2].to_strings()->at(1) == "bc");
  const auto middle = (*outer)[0].to_arrays();
  REQUIRE(middle.ok());
  CHECK((*middle)[0].to_strings()->at(0) == "a");
  CHECK(*(*middle)[1].to_arrays()->at(0).to_integers() == std::vector<int64_t>{5, 6});
}

TEST_CASE("gguf reader: required keys are named when they are missing or of another kind") {
  const Bytes bytes = valid_gguf().build();
  const File file = *parse(bytes);
  CHECK(*file->integer("llama.block_count") == 1);
  CHECK(*file->real("llama.rope.freq_base") == 10000.0);
  CHECK(*file->boolean("tokenizer.ggml.add_bos_token"));
  CHECK(*file->string("general.architecture") == "llama");
  CHECK(file->array("tokenizer.ggml.tokens")->size() == 3);
  CHECK(file->find("llama.block") == nullptr);
  const Status missing = file->integer("llama.nothing").status();
  CHECK(missing.cause() == Cause::missing);
  CHECK(missing.to_string() == "memory.gguf: key llama.nothing: the key is required and absent");
  const Status kind = file->integer("general.name").status();
  CHECK(kind.cause() == Cause::value_type);
  CHECK(kind.detail().subject == "key general.name");
  CHECK(kind.detail().message == "expected an integer, the file has string");
  CHECK(kind.detail().offset == file->find("general.name")->offset());
}

TEST_CASE("gguf reader: tensors know their shape, size, place and data") {
  GgufBuilder builder = valid_gguf();
  builder.tensors.push_back({"q", {64, 3, 2}, 8, Bytes(64 / 32 * 34 * 6, '\x11')});
  const Bytes bytes = builder.build();
  const File file = *parse(bytes);
  REQUIRE(file->tensors().size() == 3);
  const auto* q = file->find_tensor("q");
  REQUIRE(q == &file->tensors()[2]);
  CHECK(q->type->name == "Q8_0");
  CHECK(q->n_dims == 3);
  CHECK(q->dims == std::array<uint64_t, 4>{64, 3, 2, 1});
  CHECK(q->row_bytes() == 68);
  CHECK(q->n_rows() == 6);
  CHECK(q->size_bytes == 408);
  CHECK(q->file_offset % 32 == 0);
  CHECK(std::ranges::equal(file->data(*q), std::as_bytes(std::span(builder.tensors[2].data))));
  CHECK(file->find_tensor("absent") == nullptr);
  CHECK(file->shard(0) == nullptr);

  const TemporaryDirectory directory;
  const File opened = *GgufFile::open(directory.write("m.gguf", bytes));
  REQUIRE(opened->shard(0) != nullptr);
  CHECK(opened->shard(0)->identity().size_bytes == bytes.size());
  CHECK(opened->size_bytes() == bytes.size());
  const auto data = opened->data(opened->tensors()[2]);
  CHECK(std::ranges::equal(data, file->data(*q)));
  std::vector<std::byte> copy(data.size());
  REQUIRE(opened->shard(0)->read_at(opened->tensors()[2].file_offset, copy).ok());
  CHECK(std::ranges::equal(copy, data));
  CHECK(opened->shard(0)->read_at(bytes.size() - 1, copy).cause() == Cause::truncated);
}

TEST_CASE("gguf reader: the header is private, also when the file is rewritten") {
  const TemporaryDirectory directory;
  const Bytes bytes = valid_gguf().build();
  const std::string path = directory.write("m.gguf", bytes);
  const File file = *GgufFile::open(path);
  directory.write("m.gguf", Bytes(bytes.size(), '\xff'));
  CHECK(*file->string("general.architecture") == "llama");
  CHECK(file->tensors()[0].name == "token_embd.weight");
  const auto now = formats::MappedFile::open(path);
  REQUIRE(now.ok());
  CHECK_FALSE(now->identity() == formats::FileIdentity{});
}

TEST_CASE("gguf reader: every single bit flipped in a 2 KB header is an error or a success") {
  GgufBuilder builder = valid_gguf();
  while (builder.header().size() < 2048) {
    std::string name = "blk.";
    name += std::to_string(builder.tensors.size());
    builder.tensors.push_back(tensor_f32(name + ".attn_q.weight", {4, 2}));
    builder.keys.push_back(key_array(name + ".list", kU16, 4, Bytes(8, '\1')));
  }
  const Bytes valid = builder.build();
  const size_t header_bytes = builder.header().size();
  size_t n_accepted = 0;
  uint64_t sum = 0;
  for (size_t bit = 0; bit < 8 * header_bytes; ++bit) {
    std::vector<char> flipped(valid.begin(), valid.end());
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto answer = GgufFile::parse(std::as_bytes(std::span(flipped)), "flipped.gguf");
    if (answer.ok()) {
      ++n_accepted;
      sum += touch(**answer);
    } else {
      sum += answer.status().to_string().size();
    }
  }
  CHECK(sum != 0);
  CHECK(n_accepted > 0);                 // a letter of a name
  CHECK(n_accepted < 8 * header_bytes);  // the magic, a length
}

TEST_CASE("gguf reader: every prefix of a file with every type of value is truncated") {
  GgufBuilder builder = valid_gguf();
  builder.keys.push_back({"deep", kArray, array_of(kArray, 1, strings({"a", ""}))});
  builder.keys.push_back({"long", kI64, le64(5)});
  builder.keys.push_back({"double", kF64, le_f64(5)});
  builder.keys.push_back({"bools", kArray, array_of(kBool, 3, Bytes(3, '\0'))});
  const Bytes valid = builder.build();
  REQUIRE(parse(valid).ok());
  for (size_t length = 0; length < valid.size(); ++length) {
    const std::vector<char> prefix(valid.begin(), valid.begin() + static_cast<ptrdiff_t>(length));
    CHECK(GgufFile::parse(std::as_bytes(std::span(prefix)), "p").status().cause() ==
          Cause::truncated);
  }
}

TEST_CASE("gguf reader: a header of several chunks is read as one") {
  const TemporaryDirectory directory;
  for (const size_t n : {65535 - 200, 65536, 200'000, 1'000'000}) {
    GgufBuilder builder = valid_gguf();
    builder.keys.push_back(key_string("filler", Bytes(n, 'f')));
    builder.keys.push_back(key_u32("after", 77));
    const auto file = GgufFile::open(directory.write("m.gguf", builder.build()));
    REQUIRE(file.ok());
    CHECK((*file)->string("filler")->size() == n);
    CHECK((*file)->string("filler")->back() == 'f');
    CHECK(*(*file)->integer("after") == 77);
    CHECK(*(*file)->string("general.name") == "tiny");
  }
}

TEST_CASE("gguf reader: names that could fool a terminal are escaped and shortened") {
  GgufBuilder builder = valid_gguf();
  builder.keys.push_back({"\x1b[31m" + Bytes(500, 'k'), 99, ""});
  const Status status = parse(builder.build()).status();
  CHECK(status.cause() == Cause::value_type);
  CHECK(status.detail().subject.starts_with("key \\x1b[31mkkk"));
  CHECK(status.detail().subject.ends_with("... (505 bytes)"));
  CHECK(status.detail().subject.size() < 150);
}

TEST_CASE("gguf reader: tensor types have the sizes of the table") {
  CHECK(formats::tensor_types().size() == 35);
  for (const auto& type : formats::tensor_types()) {
    CHECK(formats::find_tensor_type(type.id) == &type);
    CHECK(type.block_elements > 0);
    CHECK(type.block_bytes > 0);
  }
  CHECK(formats::find_tensor_type(12)->block_bytes == 144);
  CHECK(formats::find_tensor_type(39)->name == "MXFP4");
  CHECK(formats::find_tensor_type(-1) == nullptr);
  CHECK(formats::find_tensor_type(4) == nullptr);
  CHECK(formats::find_tensor_type(43) == nullptr);
}

TEST_CASE("gguf reader: every model and vocabulary at hand opens without a warning") {
  const auto paths = shared_files();
  if (paths.empty()) {
    MESSAGE("no reference data at " LARDER_SHARED_DIR);
    return;
  }
  for (const std::string& path : paths) {
    CAPTURE(path);
    const auto file = GgufFile::open(path);
    INFO(file.status().to_string());
    REQUIRE(file.ok());
    CHECK((*file)->warnings().empty());
    CHECK((*file)->string("general.architecture").ok());
    CHECK((*file)->size_bytes() == fs::file_size(path));
    for (const auto& entry : (*file)->entries()) CHECK((*file)->find(entry.key) == &entry.value);
    for (const auto& tensor : (*file)->tensors()) {
      CHECK((*file)->find_tensor(tensor.name) == &tensor);
    }
    if (const auto* tokens = (*file)->find("tokenizer.ggml.tokens"); tokens != nullptr) {
      CHECK(tokens->to_array()->to_strings()->size() == tokens->to_array()->size());
    }
  }
}

TEST_CASE("gguf reader: values of a published model are the known ones") {
  const std::string path = std::string(LARDER_SHARED_DIR) + "/weights/stories260K-f32.gguf";
  if (!fs::exists(path)) {
    MESSAGE("no reference data at " LARDER_SHARED_DIR);
    return;
  }
  const File file = *GgufFile::open(path);
  CHECK(*file->string("general.architecture") == "llama");
  CHECK(*file->integer("llama.block_count") == 5);
  CHECK(*file->integer("llama.embedding_length") == 64);
  CHECK(*file->integer("llama.attention.head_count_kv") == 4);
  CHECK(file->array("tokenizer.ggml.tokens")->size() == 512);
  CHECK(file->find_tensor("token_embd.weight")->dims == std::array<uint64_t, 4>{64, 512, 1, 1});
}

}  // namespace larder::tests

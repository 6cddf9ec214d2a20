#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "formats/safetensors/safetensors_set.h"
#include "tests/temporary_directory.h"

using namespace larder;
using namespace larder::formats;
using larder::tests::TemporaryDirectory;

namespace {

std::string file_of(const std::string& header, size_t n_data_bytes, uint64_t n_header_bytes) {
  std::string file(sizeof n_header_bytes, '\0');
  std::memcpy(file.data(), &n_header_bytes, sizeof n_header_bytes);
  return file + header + std::string(n_data_bytes, 'x');
}

std::string file_of(const std::string& header, size_t n_data_bytes) {
  return file_of(header, n_data_bytes, header.size());
}

// With one object of these members as its header.
std::string file_with(const std::string& members, size_t n_data_bytes) {
  std::string header = "{";
  header += members;
  header += "}";
  return file_of(header, n_data_bytes);
}

std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

Cause cause_of(const std::string& file) {
  const TemporaryDirectory folder;
  folder.write("model.safetensors", file);
  const auto set = SafetensorsSet::open(folder.path("."));
  return set ? Cause::ok : set.status().cause();
}

Cause cause_of_header(const std::string& header, size_t n_data_bytes) {
  return cause_of(file_with(header, n_data_bytes));
}

}  // namespace

TEST_CASE("safetensors: tensors with their places, metadata aside") {
  const TemporaryDirectory folder;
  folder.write("model.safetensors", file_of("{\"__metadata__\":{\"format\":\"pt\"}," +
                                                entry("b", "F32", "[2,1]", "[4,12]") + "," +
                                                entry("a", "BF16", "[2]", "[0,4]") + "}   ",
                                            12));
  const auto set = SafetensorsSet::open(folder.path("."));
  REQUIRE_MESSAGE(set.ok(), set.status().to_string());
  REQUIRE(set->tensors().size() == 2);
  CHECK(set->tensors()[0].name == "a");
  CHECK(set->find("b")->shape == std::vector<uint64_t>{2, 1});
  CHECK(set->find("b")->n_elements() == 2);
  CHECK(set->find("c") == nullptr);
  std::string bytes(3, '\0');
  CHECK(set->read(*set->find("b"), 5, std::as_writable_bytes(std::span(bytes))).ok());
  CHECK(bytes == "xxx");
}

TEST_CASE("safetensors: a header that lies is refused") {
  CHECK(cause_of("") == Cause::truncated);
  CHECK(cause_of("1234567") == Cause::truncated);
  CHECK(cause_of(file_of("{}", 0, 3)) == Cause::truncated);
  CHECK(cause_of(file_of("{}", 0, uint64_t{1} << 62)) == Cause::limit);
  CHECK(cause_of(file_of("[]", 0)) == Cause::value_type);
  CHECK(cause_of(file_of("{", 0)) == Cause::truncated);
  CHECK(cause_of_header(entry("a", "F4", "[2]", "[0,1]"), 1) == Cause::tensor_type);
  CHECK(cause_of_header(entry("a", "F32", "[-1]", "[0,4]"), 4) == Cause::dim);
  CHECK(cause_of_header(entry("a", "F32", "[1.5]", "[0,4]"), 4) == Cause::dim);
  CHECK(cause_of_header(entry("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4) == Cause::dim);
  CHECK(cause_of_header(entry("a", "F32", "[4611686018427387904,4]", "[0,4]"), 4) ==
        Cause::overflow);
  CHECK(cause_of_header(entry("a", "F32", "[2]", "[0,4]"), 4) == Cause::shape);
  CHECK(cause_of_header(entry("a", "F32", "[1]", "[4,0]"), 4) == Cause::offset);
  CHECK(cause_of_header(entry("a", "F32", "[2]", "[0,8]"), 4) == Cause::truncated);
  CHECK(cause_of_header(entry("a", "F32", "[1]", "[4,8]"), 8) == Cause::offset);  // a hole
  CHECK(cause_of_header(entry("a", "F32", "[1]", "[0,4]"), 8) == Cause::offset);  // a tail
  CHECK(cause_of_header(entry("", "F32", "[1]", "[0,4]"), 4) == Cause::name);
  CHECK(cause_of_header(
            entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[4,12]"), 12) ==
        Cause::overlap);
  // of a name that stands twice the last one counts, so that the first one's bytes are a hole
  CHECK(cause_of_header(entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]"),
                        8) == Cause::offset);
}

TEST_CASE("safetensors: shards and their index agree, or the error names what does not") {
  const std::string one = file_with(entry("a", "U8", "[1]", "[0,1]"), 1);
  const std::string two = file_with(entry("b", "U8", "[1]", "[0,1]"), 1);
  const auto open = [&](const std::string& map, bool has_second) {
    const TemporaryDirectory folder;
    folder.write("1.safetensors", one);
    if (has_second) folder.write("2.safetensors", two);
    folder.write("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
    const auto set = SafetensorsSet::open(folder.path("."));
    return set ? Cause::ok : set.status().cause();
  };
  const std::string a = "\"a\":\"1.safetensors\"", b = "\"b\":\"2.safetensors\"";
  CHECK(open(a + "," + b, true) == Cause::ok);
  CHECK(open(a + "," + b, false) == Cause::io);
  CHECK(open(a + ",\"b\":\"1.safetensors\"", true) == Cause::split);
  CHECK(open(a + ",\"c\":\"2.safetensors\"", true) == Cause::split);
  CHECK(open(a + ",\"b\":\"../2.safetensors\"", true) == Cause::split);
  CHECK(open(a + "," + b + ",\"a2\":\"2.safetensors\"", true) == Cause::split);
}

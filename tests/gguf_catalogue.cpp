#include "tests/gguf_catalogue.h"

#include <functional>
#include <initializer_list>

namespace larder::tests {
namespace {

constexpr uint64_t kTwo32 = uint64_t{1} << 32;
constexpr uint64_t kTwo63 = uint64_t{1} << 63;
constexpr uint64_t kMaxU64 = ~uint64_t{0};
constexpr uint32_t kMaxU32 = ~uint32_t{0};
constexpr const char* kFirst = "token_embd.weight";
constexpr const char* kSecond = "output.weight";

class Catalogue {
 public:
  // A valid file with one change.
  void changed(std::string id, std::string what, std::vector<Cause> causes,
               const std::function<void(GgufBuilder&)>& change, std::string subject = {}) {
    GgufBuilder file = valid_gguf();
    change(file);
    add(std::move(id), std::move(what), file.build(), std::move(causes), std::move(subject));
  }
  // A valid file with one more key, or another value for one it has.
  void key(std::string id, std::string what, std::vector<Cause> causes, const RawKey& key) {
    changed(
        std::move(id), std::move(what), std::move(causes),
        [&](GgufBuilder& file) { file.key(key.key) = key; }, "key " + key.key);
  }
  // A valid file whose second tensor has another shape.
  void shape(std::string id, std::string what, Cause cause, uint32_t type,
             std::vector<uint64_t> dims) {
    changed(
        std::move(id), std::move(what), {cause},
        [&](GgufBuilder& file) {
          file.tensor(kSecond).type = type;
          file.tensor(kSecond).dims = std::move(dims);
        },
        std::string("tensor ") + kSecond);
  }
  void add(std::string id, std::string what, Bytes bytes, std::vector<Cause> causes,
           std::string subject = {}) {
    files_.push_back(
        {std::move(id), std::move(what), std::move(bytes), std::move(causes), std::move(subject)});
  }
  void warns() { files_.back().warns = true; }
  std::vector<CatalogueFile> take() { return std::move(files_); }

 private:
  std::vector<CatalogueFile> files_;
};

void add_preambles(Catalogue& all) {
  const Bytes valid = valid_gguf().build();
  all.add("C01", "0 bytes", "", {Cause::truncated});
  all.add("C02", "the magic alone", "GGUF", {Cause::truncated});
  all.add("C02", "the last byte missing", valid.substr(0, valid.size() - 1), {Cause::truncated});
  for (const Bytes& magic : {Bytes("GGUG"), Bytes("FUGG"),
                             Bytes("\x7f"
                                   "ELF"),
                             Bytes("\x1f\x8b\x08\x00", 4), Bytes("GGML")}) {
    all.changed("C03", "magic " + magic, {Cause::magic},
                [&](GgufBuilder& file) { file.magic = magic; });
  }
  for (const uint32_t version : {0U, 1U, 4U, kMaxU32, 0x03000000U}) {
    all.changed(version == 0x03000000U ? "C05" : "C04", "version " + std::to_string(version),
                {Cause::version}, [&](GgufBuilder& file) { file.version = version; });
  }
  all.changed("C06", "version 2 with the layout of 3", {},
              [](GgufBuilder& file) { file.version = 2; });
  for (const uint64_t count : {kMaxU64, kTwo63, kTwo32, uint64_t{1000000}}) {
    all.changed("C07", std::to_string(count) + " tensors", {Cause::limit, Cause::truncated},
                [&](GgufBuilder& file) { file.n_tensors = count; });
    all.changed("C08", std::to_string(count) + " keys", {Cause::limit, Cause::truncated},
                [&](GgufBuilder& file) { file.n_keys = count; });
  }
  // Parsing goes on in the middle of something else; what it stumbles over first does not matter.
  const std::vector<Cause> shifted = {Cause::truncated, Cause::name, Cause::key,
                                      Cause::n_dims,    Cause::dim,  Cause::tensor_type,
                                      Cause::value_type};
  all.changed("C09", "a key too many", shifted,
              [](GgufBuilder& file) { file.n_keys = file.keys.size() + 1; });
  all.changed("C09", "a key too few", shifted,
              [](GgufBuilder& file) { file.n_keys = file.keys.size() - 1; });
  all.changed("C10", "a tensor too many", {Cause::truncated, Cause::name},
              [](GgufBuilder& file) { file.n_tensors = 3; });
  // A container of fewer tensors is valid; which ones a model needs is not the container's matter.
  all.changed("C10", "a tensor too few", {}, [](GgufBuilder& file) { file.n_tensors = 1; });
  all.warns();
}

void add_keys(Catalogue& all) {
  const uint64_t past_end = valid_gguf().build().size() + 4096;
  for (const uint64_t length : {kMaxU64, past_end, kTwo63}) {
    all.changed("C11", "key length " + std::to_string(length), {Cause::truncated},
                [&](GgufBuilder& file) { file.keys.back().key_length = length; });
  }
  all.key("C12", "empty key", {Cause::key}, key_u32("", 1));
  all.changed("C13", "key of 65,536 bytes", {Cause::key},
              [](GgufBuilder& file) { file.key(Bytes(65536, 'k')); });
  all.changed("C13", "key of 65,535 bytes", {},
              [](GgufBuilder& file) { file.key(Bytes(65535, 'k')); });
  all.changed(
      "C14", "NUL in a key", {Cause::key}, [](GgufBuilder& file) { file.key(Bytes("a\0b", 3)); },
      "key a\\x00b");
  all.changed(
      "C15", "byte 0xFF in a key", {Cause::key}, [](GgufBuilder& file) { file.key("a\xff"); },
      "key a\\xff");
  all.changed(
      "C16", "key twice", {Cause::duplicate_key},
      [](GgufBuilder& file) { file.keys.push_back(file.keys[1]); }, "key general.name");
  all.changed(
      "C16", "key twice with another type", {Cause::duplicate_key},
      [](GgufBuilder& file) { file.keys.push_back(key_u32("general.name", 1)); },
      "key general.name");
  all.changed("C16", "keys that differ only after NUL", {Cause::duplicate_key, Cause::key},
              [](GgufBuilder& file) {
                file.key(Bytes("twin\0a", 6));
                file.key(Bytes("twin\0b", 6));
              });
  for (const uint32_t type : {13U, kMaxU32}) {
    all.key("C17", "value type " + std::to_string(type), {Cause::value_type},
            {"odd", type, le32(0)});
  }
}

void add_values(Catalogue& all) {
  const auto text_of = [](uint64_t length, std::string_view text) {
    return RawKey{"odd", kString, sized_as(length, text)};
  };
  all.key("C18", "string of 2^64-1", {Cause::truncated, Cause::limit}, text_of(kMaxU64, "abc"));
  all.key("C18", "string of 2^63", {Cause::truncated, Cause::limit}, text_of(kTwo63, "abc"));
  GgufBuilder last;  // the string is the last thing in the file
  last.keys = {text_of(4, "abc")};
  all.add("C18", "string one byte past the end", last.build(), {Cause::truncated}, "key odd");
  constexpr size_t kCap = 16 * 1024 * 1024;
  all.key("C19", "string of 16 MiB and a byte", {Cause::limit},
          key_string("general.name", Bytes(kCap + 1, 'n')));
  all.key("C19", "string of 16 MiB", {}, key_string("general.name", Bytes(kCap, 'n')));
  for (const char* key : {"general.architecture", "tokenizer.chat_template"}) {
    for (const Bytes& text : {Bytes("\xff"), Bytes("a\xc0\xaf"), Bytes("\xed\xa0\x80"),
                              Bytes("\xf4\x90\x80\x80"), Bytes("caf\xc3")}) {
      all.key("C20", "invalid UTF-8", {Cause::utf8}, key_string(key, text));
    }
    all.key("C20", "valid UTF-8", {}, key_string(key, "caf\xc3\xa9 \xf0\x9f\x90\x99"));
  }
  for (const uint64_t value : {2, 0xff}) {
    all.key("C21", "bool " + std::to_string(value), {Cause::boolean}, {"odd", kBool, le8(value)});
    all.key("C21", "bool in an array", {Cause::boolean},
            key_array("odd", kBool, 3, le8(1) + le8(value) + le8(0)));
  }
}

Bytes nested(int arrays_inside, const Bytes& innermost) {
  Bytes value = innermost;
  for (int i = 0; i < arrays_inside; ++i) value = array_of(kArray, 1, value);
  return value;
}

void add_arrays(Catalogue& all) {
  const Bytes innermost = array_of(kU8, 2, "ab");
  for (int depth = 1; depth <= 4; ++depth) {
    all.key("C22", "arrays nested " + std::to_string(depth) + " deep", {},
            {"deep", kArray, nested(depth, innermost)});
  }
  all.key("C22", "arrays nested 5 deep", {Cause::array}, {"deep", kArray, nested(5, innermost)});
  Bytes abyss;
  for (int i = 0; i < 100000; ++i) abyss += le32(kArray) + le64(1);
  all.key("C23", "arrays nested 100,000 deep", {Cause::array}, {"deep", kArray, abyss + innermost});
  for (const uint32_t type : {99U, 13U}) {
    all.key("C24", "element type " + std::to_string(type), {Cause::array},
            key_array("odd", type, 1, "\1"));
  }
  const std::vector<Cause> too_long = {Cause::truncated, Cause::array};
  all.key("C25", "array of 2^64-1", too_long, key_array("odd", kU8, kMaxU64, "abc"));
  all.key("C25", "u64 times 2^61", too_long, key_array("odd", kU64, uint64_t{1} << 61, le64(1)));
  all.key("C25", "i32 times 2^62", too_long, key_array("odd", kI32, uint64_t{1} << 62, le32(1)));
  all.key("C26", "10^9 strings in 64 bytes", {Cause::truncated},
          key_array("odd", kString, 1000000000, Bytes(64, '\0')));
  all.key("C28", "string 2 of an array has 2^64-1 bytes", {Cause::truncated},
          key_array("odd", kString, 3, sized("a") + sized("b") + sized_as(kMaxU64)));
  for (const uint32_t type : {kU8, kString, kArray, kBool}) {
    all.key("C29", "empty array", {}, key_array("none", type, 0, ""));
  }
}

void add_alignments(Catalogue& all) {
  constexpr const char* kKey = "general.alignment";
  struct Bad {
    const char* id;
    uint32_t value;
  };
  for (const Bad& bad :
       {Bad{"C30", 0}, Bad{"C31", 3}, Bad{"C31", 24}, Bad{"C31", 33}, Bad{"C32", 1}, Bad{"C32", 4},
        Bad{"C33", 1U << 31}, Bad{"C33", kMaxU32}, Bad{"C33", 1U << 20}}) {
    all.key(bad.id, "alignment " + std::to_string(bad.value), {Cause::alignment},
            key_u32(kKey, bad.value));
  }
  all.key("C34", "alignment as u64", {Cause::alignment}, {kKey, kU64, le64(32)});
  all.key("C34", "alignment as i32", {Cause::alignment}, {kKey, kI32, le32(32)});
  all.key("C34", "alignment as a string", {Cause::alignment}, key_string(kKey, "32"));
  all.key("C34", "alignment as an array", {Cause::alignment}, key_array(kKey, kU32, 1, le32(32)));
  all.changed("C35", "alignment 64, laid out for 32", {Cause::offset}, [](GgufBuilder& file) {
    file.key(kKey) = key_u32(kKey, 64);
    file.tensors.insert(file.tensors.begin(), tensor_f32("small", {8}));
    file.trailing = Bytes(64, '\0');
  });
  for (const uint32_t value : {8U, 64U, 65536U}) {
    all.changed("C33", "alignment " + std::to_string(value) + " obeyed", {},
                [&](GgufBuilder& file) {
                  file.key(kKey) = key_u32(kKey, value);
                  file.alignment = value;
                });
  }
}

void add_shapes(Catalogue& all) {
  for (const uint32_t n_dims : {5U, 9U, kMaxU32, 0U}) {
    all.changed(n_dims == 0 ? "C37" : "C36", std::to_string(n_dims) + " dims", {Cause::n_dims},
                [&](GgufBuilder& file) { file.tensor(kSecond).n_dims = n_dims; });
  }
  constexpr uint32_t kF32Id = 0, kQ4_0Id = 2, kI8Id = 24;
  constexpr uint64_t kMax = kTwo63 - 1;
  all.shape("C38", "dim 2^64-1", Cause::dim, kF32Id, {kMaxU64});
  all.shape("C38", "dim 2^63", Cause::dim, kF32Id, {8, kTwo63});
  all.shape("C39", "[8, 0]", Cause::dim, kF32Id, {8, 0});
  all.shape("C39", "[0]", Cause::dim, kF32Id, {0});
  all.shape("C40", "product 2^64", Cause::overflow, kF32Id, {kTwo32, kTwo32});
  all.shape("C41", "[2^62, 4]", Cause::overflow, kI8Id, {uint64_t{1} << 62, 4});
  all.shape("C41", "[2^63-1, 2]", Cause::overflow, kI8Id, {kMax, 2});
  all.shape("C42", "product 2^63", Cause::overflow, kI8Id, {uint64_t{1} << 33, uint64_t{1} << 30});
  all.shape("C43", "bytes 2^64", Cause::overflow, kF32Id, {uint64_t{1} << 31, uint64_t{1} << 31});
  all.shape("C44", "[2^16] * 4", Cause::overflow, kF32Id, {65536, 65536, 65536, 65536});
  all.shape("C45", "[2^63-1]", Cause::overflow, kI8Id, {kMax});
  all.shape("C46", "bytes 2^64-4", Cause::overflow, kF32Id, {(uint64_t{1} << 62) - 1});
  all.changed("C47", "two sizes whose sum wraps", {Cause::overflow}, [](GgufBuilder& file) {
    for (RawTensor& tensor : file.tensors) {
      tensor.type = kI8Id;
      tensor.dims = {0x7fffffffffffffc0U};
    }
  });
  all.shape("C48", "elements times block bytes wraps", Cause::overflow, kQ4_0Id,
            {5124095576030431008U});
  all.shape("C49", "bytes 2^64-16", Cause::overflow, kF32Id, {4, 1073741823, 1073741825});
}

void add_types(Catalogue& all) {
  constexpr uint32_t kQ4_K = 12, kQ8_0 = 8, kMxfp4 = 39;
  all.shape("C50", "Q4_K row of 255", Cause::block, kQ4_K, {255});
  all.shape("C50", "Q8_0 row of 31", Cause::block, kQ8_0, {31});
  all.shape("C50", "MXFP4 row of 16", Cause::block, kMxfp4, {16, 2});
  for (const uint32_t type : {4U, 5U, 31U, 32U, 33U, 36U, 37U, 38U}) {
    all.shape("C51", "removed type " + std::to_string(type), Cause::tensor_type, type, {8, 4});
  }
  for (const uint32_t type : {9999U, kMaxU32, 43U}) {
    all.shape("C52", "unknown type " + std::to_string(type), Cause::tensor_type, type, {8, 4});
  }
}

void add_places(Catalogue& all) {
  const auto place = [&](const char* id, uint64_t offset, std::vector<Cause> causes) {
    all.changed(
        id, "offset " + std::to_string(offset), std::move(causes),
        [&](GgufBuilder& file) { file.tensor(kSecond).offset = offset; },
        std::string("tensor ") + kSecond);
  };
  place("C53", kMaxU64, {Cause::offset});
  place("C54", kMaxU64 - 30, {Cause::offset});
  place("C54", kMaxU64 - 31, {Cause::offset});
  place("C55", 4, {Cause::offset});
  place("C56", uint64_t{1} << 40, {Cause::offset, Cause::truncated});
  place("C59", 0, {Cause::overlap});
  place("C59", 96, {Cause::overlap});
  const Bytes valid = valid_gguf().build();
  all.add("C57", "the last tensor lacks a byte", valid.substr(0, valid.size() - 1),
          {Cause::truncated}, std::string("tensor ") + kSecond);
  all.add("C58", "no tensor data", valid_gguf().header(), {Cause::truncated});
  all.changed("C60", "a gap of one unit", {},
              [](GgufBuilder& file) { file.tensor(kFirst).data += Bytes(32, '\0'); });
  all.warns();
  all.changed("C61", "infos out of file order", {}, [](GgufBuilder& file) {
    file.tensor(kFirst).offset = 128;
    file.tensor(kSecond).offset = 0;
  });
  all.changed("C62", "the last tensor unpadded", {}, [](GgufBuilder& file) {
    file.tensors.push_back(tensor_f32("last", {5}));
    file.pad_last = false;
  });
  all.changed("C63", "400 bytes of garbage", {},
              [](GgufBuilder& file) { file.trailing = Bytes(400, '\x5a'); });
  all.warns();
  all.changed("C63", "a ZIP archive appended", {}, [](GgufBuilder& file) {
    file.trailing = "PK\x03\x04" + Bytes(300, 'z') + "PK\x05\x06" + Bytes(18, '\0');
  });
  all.warns();
  all.changed("C72", "padding not zero", {}, [](GgufBuilder& file) { file.padding = '\xaa'; });
  all.warns();
  GgufBuilder aligned = valid_gguf();
  aligned.key("general.alignment") = key_u32("general.alignment", 65536);
  all.add("C72", "data section beyond the end", aligned.build(), {Cause::truncated});
}

void add_names(Catalogue& all) {
  const auto renamed = [&](const char* id, const Bytes& name, std::vector<Cause> causes) {
    all.changed(id, "name of " + std::to_string(name.size()) + " bytes", std::move(causes),
                [&](GgufBuilder& file) { file.tensor(kSecond).name = name; });
  };
  renamed("C64", kFirst, {Cause::duplicate_tensor});
  renamed("C65", Bytes(65, 'n'), {Cause::name});
  renamed("C65", Bytes(64, 'n'), {});
  all.changed("C66", "name length 2^64-1", {Cause::truncated},
              [](GgufBuilder& file) { file.tensor(kSecond).name_length = kMaxU64; });
  renamed("C67", "", {Cause::name});
  renamed("C67", "\xff", {Cause::name});
  renamed("C67", "../x", {});
  renamed("C67", "%s%n", {});
  all.changed("C67", "names that differ after NUL", {Cause::name}, [](GgufBuilder& file) {
    file.tensors[0].name = Bytes("a\0x", 3);
    file.tensors[1].name = Bytes("a\0y", 3);
  });
}

}  // namespace

GgufBuilder valid_gguf() {
  GgufBuilder file;
  file.keys = {key_string("general.architecture", "llama"),
               key_string("general.name", "tiny"),
               key_u32("llama.block_count", 1),
               key_f32("llama.rope.freq_base", 10000.0F),
               key_bool("tokenizer.ggml.add_bos_token", true),
               {"tokenizer.ggml.tokens", kArray, strings({"<s>", "\xff", "c"})}};
  file.tensors = {tensor_f32(kFirst, {8, 4}), tensor_f32(kSecond, {8, 4}, 100.0F)};
  return file;
}

std::vector<CatalogueFile> malformed_containers() {
  Catalogue all;
  add_preambles(all);
  add_keys(all);
  add_values(all);
  add_arrays(all);
  add_alignments(all);
  add_shapes(all);
  add_types(all);
  add_places(all);
  add_names(all);
  return all.take();
}

}  // namespace larder::tests

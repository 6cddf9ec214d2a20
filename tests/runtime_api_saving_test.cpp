// Sessions saved, restored, copied and rewound through the C library.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/api_objects.h"
#include "tests/carrying_model.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

std::string write_model(const TemporaryDirectory& folder, const std::string& name,
                        const GgufBuilder& builder) {
  const Bytes bytes = builder.build();
  return folder.write(name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::vector<int32_t> some_tokens(size_t n) {
  std::vector<int32_t> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>((i * 37 + 11) % 200);
  return ids;
}

void prefill(const ApiSession& session, const std::vector<int32_t>& ids) {
  REQUIRE(larder_session_prefill(session.get(), ids.data(), ids.size(), nullptr) == LARDER_OK);
}

std::vector<char> saved(const ApiSession& session) {
  size_t n = 0, n_written = 0;
  REQUIRE(larder_session_saved_bytes(session.get(), &n, nullptr) == LARDER_OK);
  std::vector<char> bytes(n);
  CHECK(larder_session_save(session.get(), bytes.data(), n - 1, &n_written, nullptr) ==
        LARDER_INVALID_ARGUMENT);
  CHECK(n_written == n);
  REQUIRE(larder_session_save(session.get(), bytes.data(), n, &n_written, nullptr) == LARDER_OK);
  CHECK(n_written == n);
  return bytes;
}

larder_status restore(const ApiSession& session, const std::vector<char>& bytes) {
  return larder_session_restore(session.get(), bytes.data(), bytes.size(), nullptr);
}

std::vector<int32_t> held(const ApiSession& session) {
  const int32_t* ids = nullptr;
  size_t n = 0;
  REQUIRE(larder_session_tokens(session.get(), &ids, &n, nullptr) == LARDER_OK);
  return {ids, ids + n};
}

// Both hold the same, and go on alike.
void check_alike(const ApiSession& a, const ApiSession& b) {
  CHECK(held(a) == held(b));
  CHECK(api_logits(a.get()) == api_logits(b.get()));
  for (const int32_t token : {7, 8, 9}) {
    REQUIRE(larder_session_step(a.get(), token, nullptr) == LARDER_OK);
    REQUIRE(larder_session_step(b.get(), token, nullptr) == LARDER_OK);
    CHECK(api_logits(a.get()) == api_logits(b.get()));
  }
}

struct Variant {
  const char* name;
  GgufBuilder builder;
};

std::vector<Variant> variants() {
  return {{"experts", tiny_model()},
          {"dense", tiny_model(tiny_dense())},
          {"windows", tiny_model(tiny_gpt_oss())},
          {"sinks", tiny_model(tiny_llama4())}};
}

}  // namespace

TEST_CASE("C library: a session restored elsewhere goes on to the bit") {
  const TemporaryDirectory folder;
  for (const Variant& variant : variants()) {
    CAPTURE(variant.name);
    const std::string path =
        write_model(folder, std::string(variant.name) + ".gguf", variant.builder);
    const ApiModel model = open_api_model(path);
    for (const char* type : {"f16", "f32"}) {
      const ApiOptions options = new_options({{LARDER_OPTION_CONTEXT_SIZE, 100}});
      const ApiOptions larger =
          new_options({{LARDER_OPTION_CONTEXT_SIZE, 128}, {LARDER_OPTION_BATCH_SIZE, 5}});
      for (const ApiOptions* o : {&options, &larger})
        REQUIRE(larder_options_set_text(o->get(), LARDER_OPTION_CACHE_TYPE_K, type, 3, nullptr) ==
                LARDER_OK);
      const ApiSession session = open_api_session(model, options.get());
      prefill(session, some_tokens(50));
      const std::vector<char> bytes = saved(session);
      const ApiSession other = open_api_session(open_api_model(path), larger.get());
      prefill(other, some_tokens(3));
      REQUIRE(restore(other, bytes) == LARDER_OK);
      // Goes back, too.
      size_t n_left = 0;
      const ApiSession third = open_api_session(model, options.get());
      REQUIRE(restore(third, bytes) == LARDER_OK);
      REQUIRE(larder_session_rewind(third.get(), 20, &n_left, nullptr) == LARDER_OK);
      check_alike(session, other);
      std::vector<int32_t> ids = some_tokens(50);
      ids.erase(ids.begin(), ids.begin() + static_cast<long>(n_left));
      prefill(third, ids);
      const ApiSession again = open_api_session(model, options.get());
      prefill(again, some_tokens(50));
      check_alike(again, third);
    }
  }
}

TEST_CASE("C library: layers with a window are saved with what they still hold") {
  const TemporaryDirectory folder;
  TinyShape shape = tiny_gpt_oss();
  shape.window = 8;
  const ApiModel model = open_api_model(write_model(folder, "window.gguf", tiny_model(shape)));
  // Rings of different lengths: an eighth of the context or 2048 positions are kept.
  const ApiOptions options =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 4096}, {LARDER_OPTION_BATCH_SIZE, 64}});
  const ApiOptions larger =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 32768}, {LARDER_OPTION_BATCH_SIZE, 256}});
  const ApiOptions smaller =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 3000}, {LARDER_OPTION_BATCH_SIZE, 4}});
  const ApiSession session = open_api_session(model, options.get());
  prefill(session, some_tokens(2900));
  const std::vector<char> bytes = saved(session);
  const ApiSession long_one = open_api_session(model, larger.get());
  const ApiSession short_one = open_api_session(model, smaller.get());
  const ApiSession same = open_api_session(model, options.get());
  for (const ApiSession* other : {&long_one, &short_one, &same}) {
    REQUIRE(restore(*other, bytes) == LARDER_OK);
    CHECK(api_logits(other->get()) == api_logits(session.get()));
    REQUIRE(larder_session_step(other->get(), 7, nullptr) == LARDER_OK);
  }
  REQUIRE(larder_session_step(session.get(), 7, nullptr) == LARDER_OK);
  for (const ApiSession* other : {&long_one, &short_one, &same})
    CHECK(api_logits(other->get()) == api_logits(session.get()));
}

TEST_CASE("C library: models that carry states are saved and copied with them") {
  const TemporaryDirectory folder;
  const std::string path = write_model(folder, "carrying.gguf", tiny_delta_net(Rates::split));
  const ApiModel model = open_api_model(path);
  const ApiSession session = open_api_session(model), other = open_api_session(model);
  prefill(session, some_tokens(30));
  REQUIRE(restore(other, saved(session)) == LARDER_OK);
  larder_session* raw = nullptr;
  REQUIRE(larder_session_copy(session.get(), &raw, nullptr) == LARDER_OK);
  const ApiSession copy(raw);
  const ApiSession second = open_api_session(model);
  prefill(second, some_tokens(30));
  check_alike(session, other);
  check_alike(second, copy);
}

TEST_CASE("C library: an empty session, and one without logits, are saved as they are") {
  const ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model), other = open_api_session(model);
  prefill(other, some_tokens(5));
  REQUIRE(restore(other, saved(session)) == LARDER_OK);
  CHECK(held(other).empty());
  prefill(session, some_tokens(9));
  REQUIRE(larder_session_rewind(session.get(), 4, nullptr, nullptr) == LARDER_OK);
  REQUIRE(restore(other, saved(session)) == LARDER_OK);
  CHECK(held(other) == held(session));
  const float* logits = nullptr;
  size_t n = 0;
  CHECK(larder_session_logits(other.get(), &logits, &n, nullptr) == LARDER_INVALID_ARGUMENT);
}

TEST_CASE("C library: files and descriptors hold what buffers hold") {
  const TemporaryDirectory folder;
  const ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model), other = open_api_session(model);
  prefill(session, some_tokens(40));
  const std::vector<char> bytes = saved(session);
  const std::string path = folder.path("session");
  REQUIRE(larder_session_save_file(session.get(), path.data(), path.size(), nullptr) == LARDER_OK);
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> in_file{std::istreambuf_iterator<char>(in), {}};
  CHECK(in_file == bytes);
  struct stat facts = {};
  REQUIRE(::stat(path.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0600);

  const std::string second = folder.path("descriptor");
  const int descriptor = ::open(second.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::write(descriptor, "before", 6) == 6);
  REQUIRE(larder_session_save_descriptor(session.get(), descriptor, nullptr) == LARDER_OK);
  CHECK(::lseek(descriptor, 0, SEEK_CUR) == static_cast<off_t>(6 + bytes.size()));
  ::lseek(descriptor, 6, SEEK_SET);
  REQUIRE(larder_session_restore_descriptor(other.get(), descriptor, nullptr) == LARDER_OK);
  ::close(descriptor);
  const ApiSession third = open_api_session(model);
  REQUIRE(larder_session_restore_file(third.get(), path.data(), path.size(), nullptr) == LARDER_OK);
  CHECK(saved(other) == bytes);
  CHECK(saved(third) == bytes);
  check_alike(other, third);
}

TEST_CASE("C library: what is not a saved session of this model is refused") {
  const TemporaryDirectory folder;
  const ApiModel model = open_api_model(write_model(folder, "a.gguf", tiny_model()));
  TinyShape shape;
  shape.d_ff = 64;
  const ApiModel second = open_api_model(write_model(folder, "b.gguf", tiny_model(shape)));
  const ApiSession session = open_api_session(model);
  prefill(session, some_tokens(12));
  const std::vector<char> bytes = saved(session);
  const auto refused = [&](const ApiSession& by, const std::vector<char>& what,
                           larder_status status) {
    prefill(by, some_tokens(4));
    CHECK(restore(by, what) == status);
    const std::vector<int32_t> left = held(by);
    CHECK((left.empty() || left == some_tokens(4)));
    REQUIRE(larder_session_rewind(by.get(), 0, nullptr, nullptr) == LARDER_OK);
  };
  refused(open_api_session(second), bytes, LARDER_MISMATCH);
  const ApiOptions exact = new_options({{LARDER_OPTION_EXACT, 1}});
  refused(open_api_session(model, exact.get()), bytes, LARDER_MISMATCH);
  const ApiOptions small = new_options({{LARDER_OPTION_CONTEXT_SIZE, 8}});
  refused(open_api_session(model, small.get()), bytes, LARDER_CONTEXT_FULL);
  const ApiSession same = open_api_session(model);
  refused(same, {'G', 'G', 'U', 'F'}, LARDER_CORRUPT);
  for (const size_t n : {size_t{1}, size_t{55}, size_t{56}, bytes.size() / 2, bytes.size() - 1})
    refused(same, {bytes.begin(), bytes.begin() + static_cast<long>(n)}, LARDER_CORRUPT);
  // Every byte counts: 8 is the version, the rest is under one of the sums.
  for (size_t at = 0; at < bytes.size(); at += at < 64 ? 1 : 97) {
    std::vector<char> damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    CAPTURE(at);
    const bool is_version = at >= 8 && at < 12;
    // A token that is none is found before the sum is.
    prefill(same, some_tokens(4));
    const larder_status status = restore(same, damaged);
    CHECK((status == (is_version ? LARDER_UNSUPPORTED : LARDER_CORRUPT) ||
           (at >= 56 && status == LARDER_INVALID_ARGUMENT)));
    REQUIRE(larder_session_rewind(same.get(), 0, nullptr, nullptr) == LARDER_OK);
  }
  CHECK(restore(same, bytes) == LARDER_OK);
  check_alike(same, session);
}

}  // namespace larder::tests

// Use counts across runs: what is written comes back, and nothing else is believed.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "runtime/experts/expert_profile.h"
#include "runtime/session/session.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

const ModelFingerprint kModel = {123456789, 0xfeedfacecafebeefu};

ExpertProfile some_profile() {
  ExpertProfile profile = {321.5f, {}};
  for (int i = 0; i < 24; ++i) profile.use.push_back(static_cast<float>(i) / 16);
  return profile;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("expert profile: what was written comes back, for its owner alone, and nothing is left") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("profile");
  REQUIRE(write_expert_profile(path, kModel, some_profile()).ok());
  REQUIRE(write_expert_profile(path, kModel, some_profile()).ok());  // over the old one
  const auto profile = read_expert_profile(path, kModel, 24);
  REQUIRE(profile.ok());
  CHECK(profile->n_tokens == 321.5f);
  CHECK(profile->use == some_profile().use);
  struct stat facts = {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0600);
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path("")))
    n_files += entry.exists();
  CHECK(n_files == 1);
}

TEST_CASE("expert profile: no bit of it can change unnoticed, and no byte be missing") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("profile");
  REQUIRE(write_expert_profile(path, kModel, some_profile()).ok());
  const std::string whole = bytes_of(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    CHECK_MESSAGE(!read_expert_profile(folder.write("damaged", damaged), kModel, 24).ok(), i);
    CHECK_MESSAGE(!read_expert_profile(folder.write("cut", whole.substr(0, i)), kModel, 24).ok(),
                  i);
  }
  CHECK(!read_expert_profile(folder.write("long", whole + "x"), kModel, 24).ok());
}

TEST_CASE("expert profile: other models', other versions, other files say what they are") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("profile");
  REQUIRE(write_expert_profile(path, kModel, some_profile()).ok());
  const auto cause = [](const auto& result) { return result.status().cause(); };
  CHECK(cause(read_expert_profile(path, {kModel.file_bytes, 1}, 24)) == Cause::changed);
  CHECK(cause(read_expert_profile(path, {1, kModel.header_hash}, 24)) == Cause::changed);
  CHECK(cause(read_expert_profile(path, kModel, 25)) == Cause::changed);
  CHECK(cause(read_expert_profile(folder.path("none"), kModel, 24)) == Cause::io);
  CHECK(cause(read_expert_profile(folder.path(""), kModel, 24)) == Cause::io);
  CHECK(cause(read_expert_profile(folder.write("text", std::string(500, 'a')), kModel, 24)) ==
        Cause::magic);
  std::string later = bytes_of(path);
  later[8] = 2;
  CHECK(cause(read_expert_profile(folder.write("later", later), kModel, 24)) == Cause::version);
  REQUIRE(mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK(cause(read_expert_profile(folder.path("pipe"), kModel, 24)) == Cause::io);
}

TEST_CASE("expert profile: numbers that no counting gives are refused, whatever their hash") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("profile");
  for (const float use : {-1.0f, 1e9f, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    ExpertProfile profile = some_profile();
    profile.use[7] = use;
    REQUIRE(write_expert_profile(path, kModel, profile).ok());
    CHECK(read_expert_profile(path, kModel, 24).status().cause() == Cause::numeric);
    profile = some_profile();
    profile.n_tokens = use;
    REQUIRE(write_expert_profile(path, kModel, profile).ok());
    CHECK(read_expert_profile(path, kModel, 24).status().cause() == Cause::numeric);
  }
}

TEST_CASE("expert profile: where it cannot be written the old one stays") {
  const TemporaryDirectory folder;
  folder.write("file", "no folder");
  CHECK(write_expert_profile(folder.path("file/profile"), kModel, some_profile()).cause() ==
        Cause::io);
  std::filesystem::create_directory(folder.path("taken"));
  CHECK(write_expert_profile(folder.path("taken"), kModel, some_profile()).cause() == Cause::io);
  CHECK(std::filesystem::is_directory(folder.path("taken")));
}

TEST_CASE("expert profile: a model is known by its header and size, wherever it lies") {
  const TemporaryDirectory folder;
  const GgufBuilder builder = tiny_model();
  const std::string bytes = builder.build();
  const auto print = [&](const std::string& name, const std::string& content) {
    const auto file = formats::GgufFile::open(folder.write(name, content));
    REQUIRE(file.ok());
    const auto fingerprint = fingerprint_of(**file);
    REQUIRE(fingerprint.ok());
    return *fingerprint;
  };
  const ModelFingerprint one = print("a.gguf", bytes);
  CHECK(one == print("b.gguf", bytes));
  CHECK(one.name().size() == 16);
  std::string other = bytes;
  const size_t at = other.find("qwen3moe");
  REQUIRE(at != std::string::npos);
  other[at] = 'r';
  CHECK(one != print("c.gguf", other));
  CHECK(one.name() != print("c.gguf", other).name());
  CHECK(one != print("d.gguf", bytes + std::string(32, '\0')));
  std::string weights = bytes;
  weights.back() = static_cast<char>(weights.back() ^ 1);
  CHECK(one == print("e.gguf", weights));  // weights are not read for it
}

TEST_CASE(
    "expert profile: a session leaves one where its experts are paged, and the next takes it") {
  const TemporaryDirectory folder;
  TinyShape shape;
  shape.n_experts = 64;
  shape.d_model = shape.d_ff = 64;
  const auto model = Model::open(folder.write("model.gguf", tiny_model(shape).build()));
  REQUIRE(model.ok());
  SessionOptions options;
  options.n_ctx = 64;
  options.batch_size = 16;
  options.n_threads = 1;
  options.ram_bytes = kUnlimitedRam;
  options.profile_folder = folder.path("cache/larder");
  const auto use = [&] {
    auto session = Session::create(*model, options);
    REQUIRE_MESSAGE(session.ok(), session.status().to_string());
    const std::vector<formats::TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
    REQUIRE((*session)->append(tokens).ok());
    const auto logits = (*session)->logits();
    return std::pair(std::vector<float>(logits.begin(), logits.end()), (*session)->profile_note());
  };
  const auto mapped = use();
  CHECK(!std::filesystem::exists(options.profile_folder));

  options.ram_bytes = Session::plan(**model, options)->floor_bytes;
  const auto fingerprint = fingerprint_of((*model)->file());
  REQUIRE(fingerprint.ok());
  const std::string path = options.profile_folder + "/experts-" + fingerprint->name();
  CHECK(use() == mapped);
  const auto first = read_expert_profile(path, *fingerprint, 128);
  REQUIRE_MESSAGE(first.ok(), first.status().to_string());
  CHECK(first->n_tokens == doctest::Approx(8).epsilon(0.01));
  CHECK(use() == mapped);
  const auto second = read_expert_profile(path, *fingerprint, 128);
  REQUIRE(second.ok());
  CHECK(second->n_tokens == doctest::Approx(16).epsilon(0.01));

  std::ofstream(path) << "nonsense that is as long as a header of forty bytes is";
  const auto noted = use();
  CHECK(noted.first == mapped.first);
  CHECK(noted.second.find(path) != std::string::npos);
  CHECK(use() == mapped);  // it was made anew
  options.profile_folder.clear();
  std::filesystem::remove(path);
  CHECK(use() == mapped);
  CHECK(!std::filesystem::exists(path));
}

// larder quantize: the command line, what it refuses, and what is left when it is killed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "tests/larder_program.h"
#include "tests/tiny_model.h"

namespace {

namespace fs = std::filesystem;
using larder::formats::GgufFile;
using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::TemporaryFolder;
using nlohmann::json;

// The bundled model's original in float16; nothing where the shared data are not at hand.
const std::string kOriginal = LARDER_SHARED_DIR "/weights/storyteller/storyteller-f16.gguf";

bool has_original() {
  if (fs::exists(kOriginal)) return true;
  MESSAGE("no reference data at " LARDER_SHARED_DIR);
  return false;
}

std::string tiny_file(const TemporaryFolder& folder) {
  larder::tests::TinyShape shape;
  shape.d_model = shape.d_ff = 256;
  return folder.file("in.gguf", larder::tests::tiny_model(shape).build());
}

size_t n_files(const TemporaryFolder& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

double perplexity_of(const std::string& model, const std::string& text) {
  const Finished run =
      larder_run({"perplexity", "-m", model, "-f", text, "-c", "256", "--json", "-q"});
  REQUIRE(run.code == 0);
  return json::parse(run.out).at("perplexity").get<double>();
}

}  // namespace

TEST_CASE("quantize: the result, its sizes and its types are told") {
  const TemporaryFolder folder;
  const std::string in = tiny_file(folder), out = folder.path() + "/out.gguf";
  const Finished text = larder_run({"quantize", in, out, "Q4_K_M"});
  CHECK(text.code == 0);
  CHECK(has(text.out, out));
  CHECK(has(text.out, "bits a weight"));
  const Finished run = larder_run({"quantize", in, out, "q8_0", "--json", "-q"});
  REQUIRE(run.code == 0);
  CHECK(run.err.empty());
  const json told = json::parse(run.out);
  uint64_t bytes = 0;
  const auto file = GgufFile::open(out);
  REQUIRE(file.ok());
  for (const auto& tensor : (*file)->tensors()) bytes += tensor.size_bytes;
  CHECK(told.at("to_bytes") == bytes);
  CHECK(told.at("files") == json::array({out}));
  CHECK_FALSE(told.contains("tensors"));
}

TEST_CASE("quantize: a dry run tells every tensor and writes nothing") {
  const TemporaryFolder folder;
  const std::string in = tiny_file(folder), out = folder.path() + "/out.gguf";
  const Finished run = larder_run({"quantize", in, out, "q4_k_m", "--dry-run", "--json", "--tensor",
                                   "attn_q=q6_k", "--tensor", "no_such=q8_0"});
  REQUIRE(run.code == 0);
  CHECK(has(run.err, "'no_such'"));
  CHECK(n_files(folder) == 1);
  int n_seen = 0;
  const json told = json::parse(run.out);
  for (const json& tensor : told.at("tensors")) {
    if (tensor.at("name") != "blk.0.attn_q.weight") continue;
    CHECK(tensor.at("to") == "Q6_K");
    ++n_seen;
  }
  CHECK(n_seen == 1);
}

TEST_CASE("quantize: words that mean nothing are usage errors") {
  const TemporaryFolder folder;
  const std::string in = tiny_file(folder), out = folder.path() + "/out.gguf";
  check_error(larder_run({"quantize", in, out, "q4_k_x"}), 2, "q4_k_m");
  check_error(larder_run({"quantize", in, out}), 2, "type");
  check_error(larder_run({"quantize", in, out, "q8_0", "--tensor", "attn_q"}), 2, "PATTERN=TYPE");
  check_error(larder_run({"quantize", in, out, "q8_0", "--tensor", "attn_q=q9"}), 2, "q9");
  check_error(larder_run({"quantize", in, out, "q8_0", "--split-max-size", "auto"}), 2, "size");
  check_error(larder_run({"quantize", in, out, "q8_0", "--isa", "none"}), 2, "none");
  check_error(larder_run({"quantize", folder.path() + "/absent", out, "q8_0"}), 3, "absent");
  check_error(larder_run({"quantize", in, folder.path() + "/no/out", "q8_0"}), 1, "written");
  CHECK(n_files(folder) == 1);
}

TEST_CASE("quantize: the input is never the output, under whatever name") {
  const TemporaryFolder folder;
  const std::string in = tiny_file(folder), before = content(in);
  const std::string hard = folder.path() + "/hard", soft = folder.path() + "/soft";
  fs::create_hard_link(in, hard);
  fs::create_symlink(in, soft);
  for (const std::string& out : {in, hard, soft, folder.path() + "/./in.gguf"}) {
    check_error(larder_run({"quantize", in, out, "q8_0"}), 2, "already");
  }
  CHECK(content(in) == before);
}

TEST_CASE("quantize: what is quantised already is not quantised again by accident") {
  const TemporaryFolder folder;
  const std::string in = tiny_file(folder), half = folder.path() + "/half.gguf",
                    out = folder.path() + "/out.gguf";
  REQUIRE(larder_run({"quantize", in, half, "q8_0"}).code == 0);
  check_error(larder_run({"quantize", half, out, "q4_0"}), 3, "--allow-requantize");
  CHECK(larder_run({"quantize", half, out, "q4_0", "--allow-requantize"}).code == 0);
}

TEST_CASE("quantize: a shard that is cut short or missing is told before anything is written") {
  const TemporaryFolder folder;
  const std::string whole = tiny_file(folder), out = folder.path() + "/out.gguf";
  const std::vector<std::string> split = {
      "quantize", whole, folder.path() + "/split.gguf", "q8_0", "-q", "--split-max-size", "64K"};
  REQUIRE(larder_run(split).code == 0);
  const size_t n_before = n_files(folder);
  REQUIRE(n_before > 3);
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    if (has(entry.path().filename(), "split-")) shards.push_back(entry.path());
  std::sort(shards.begin(), shards.end());
  const std::vector<std::string> again = {"quantize", shards[0], out,
                                          "q4_0",     "-q",      "--allow-requantize"};
  const std::string last = content(shards.back());
  fs::resize_file(shards.back(), fs::file_size(shards.back()) - 1);
  check_error(larder_run(again), 3, shards.back());
  CHECK(n_files(folder) == n_before);
  fs::remove(shards.back());
  check_error(larder_run(again), 3, shards.back());
  CHECK(n_files(folder) == n_before - 1);
}

// Any signal at any moment: the input stays, the output is whole or not there, and the next run
// leaves nothing of the earlier ones.
TEST_CASE("quantize: killed at random moments it leaves no final file") {
  if (!has_original()) return;
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/out.gguf";
  const std::vector<std::string> command = {LARDER_PROGRAM, "quantize", kOriginal, out,
                                            "q4_k_m",       "-q"};
  REQUIRE(larder::tests::run(command).code == 0);
  const std::string whole = content(out);
  fs::remove(out);
  std::mt19937 random(5);
  int n_killed = 0;
  for (int i = 0; i < 24; ++i) {
    const int signal = i % 3 == 0 ? SIGINT : SIGKILL;
    const int code = larder::tests::run_for(command, signal, static_cast<int>(random() % 120'000));
    // A run may also be killed when its file is in place, on its way out.
    const bool is_written = fs::exists(out);
    if (is_written) CHECK(content(out) == whole);
    fs::remove(out);
    if (code == 0) {
      CHECK(is_written);
      continue;
    }
    ++n_killed;
    CHECK((signal == SIGKILL ? code == -SIGKILL : code == 130 || code == -SIGINT));
    if (code == 130) CHECK(n_files(folder) <= 1);  // of a killed run before
  }
  CHECK(n_killed > 0);
  REQUIRE(larder::tests::run(command).code == 0);
  CHECK(content(out) == whole);
  CHECK(n_files(folder) == 1);
}

// Measured 2026-11 on 7,239 tokens of TinyStories: Q8_0 +0.04 %, Q6_K +0.06 %, Q4_K_M +0.55 %. The
// text here is another, and short.
TEST_CASE("quantize: perplexity of the bundled model stays near its original's") {
  if (!has_original()) return;
  const TemporaryFolder folder;
  const std::string text = folder.file(
      "text",
      content(LARDER_SHARED_DIR "/text/README.md") +
          "Once upon a time there was a little fox who lived in the woods. One day the fox "
          "met a bear. \"Hello,\" said the fox. \"Do you want to play?\" The bear was happy "
          "and they played all day. In the evening they went home and slept.\n");
  const double original = perplexity_of(kOriginal, text);
  for (const auto& [type, most] : {std::pair{"q8_0", 0.01}, {"q6_k", 0.02}, {"q4_k_m", 0.08}}) {
    CAPTURE(type);
    const std::string out = folder.path() + "/out.gguf";
    REQUIRE(larder_run({"quantize", kOriginal, out, type, "-q"}).code == 0);
    CHECK(std::fabs(perplexity_of(out, text) / original - 1) < most);
  }
}

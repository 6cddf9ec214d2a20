// larder perplexity with the bundled model, against NumPy (data/make_perplexity.py).
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {
namespace {

using nlohmann::json;

struct Golden {
  Golden() {
    std::ifstream file(std::string(LARDER_TEST_DATA_DIR) + "/perplexity.json");
    figures = json::parse(file);
    text = folder.file("text.txt", figures.at("text").get<std::string>());
    base = folder.path() + "/base.kl";
  }

  std::vector<std::string> arguments(const std::string& which,
                                     const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"perplexity", "-f", text, "-c", figures.at("n_ctx").dump(),
                                    "--json",     "-q", "-t", "1"};
    for (const json& flag : figures.at(which)) all.push_back(flag.get<std::string>());
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  json run(const std::string& which, const std::vector<std::string>& more = {}) const {
    const Finished finished = larder_run(arguments(which, more));
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return json::parse(finished.out);
  }
  void save() const { (void)run("base", {"--save-logits", base, "--top", n_top()}); }
  std::string n_top() const { return figures.at("n_top").dump(); }

  TemporaryFolder folder;
  json figures;
  std::string text, base;
};

// Other instruction sets' libraries may round exp and log another way.
doctest::Approx about(const json& value, double scale = 1e-7) {
  return doctest::Approx(value.get<double>()).epsilon(scale);
}

void check_perplexity(const json& ours, const json& golden) {
  CHECK(ours.at("n_tokens") == golden.at("n_tokens"));
  CHECK(ours.at("perplexity").get<double>() == about(golden.at("perplexity")));
  CHECK(ours.at("standard_error").get<double>() == about(golden.at("standard_error")));
}

}  // namespace

TEST_CASE("perplexity: rolling and in chunks, with standard errors, as NumPy has them") {
  const Golden golden;
  const json rolling = golden.run("base");
  CHECK(rolling.at("mode") == "rolling");
  check_perplexity(rolling, golden.figures.at("rolling"));
  const json chunks = golden.run("base", {"--mode", "chunks"});
  CHECK(chunks.at("mode") == "chunks");
  check_perplexity(chunks, golden.figures.at("chunks"));
  // the same bits for any batch
  CHECK(golden.run("base", {"-b", "7", "--parallel", "1"}).at("files") == rolling.at("files"));
}

TEST_CASE("perplexity: several files have a figure each, all tokens' and the files' mean") {
  const Golden golden;
  const std::string other = golden.folder.file("other.txt", "A cat sat on the mat.");
  const json both = golden.run("base", {"-f", other});
  REQUIRE(both.at("files").size() == 2);
  const json &first = both.at("files")[0], &second = both.at("files")[1];
  check_perplexity(first, golden.figures.at("rolling"));
  const double mean =
      (first.at("perplexity").get<double>() + second.at("perplexity").get<double>()) / 2;
  CHECK(both.at("macro_perplexity").get<double>() == doctest::Approx(mean));
  CHECK(both.at("n_tokens").get<int>() ==
        first.at("n_tokens").get<int>() + second.at("n_tokens").get<int>());
  const Finished table = larder_run({"perplexity", "-f", other, "-f", other, "-q"});
  CHECK(has(table.out, "mode rolling"));
  CHECK(has(table.out, "mean over files"));
}

TEST_CASE("perplexity: the divergence from a base model, as NumPy has it") {
  const Golden golden;
  golden.save();
  const json kl = golden.run("other", {"--kl", golden.base}).at("kl");
  const json& expected = golden.figures.at("comparison");
  // float32 in the base's file: differences of log-probabilities keep about 1e-7 of their sizes
  const auto near = [&](const char* name) {
    return doctest::Approx(expected.at(name).get<double>()).epsilon(1e-3);
  };
  const json& divergence = kl.at("divergence");
  CHECK(divergence.at("value").get<double>() == near("mean"));
  CHECK(divergence.at("standard_error").get<double>() == near("mean_error"));
  for (const char* name : {"median", "q90", "q99", "max"})
    CHECK(divergence.at(name).get<double>() == near(name));
  CHECK(kl.at("same_top").at("value").get<double>() == near("same_top"));
  CHECK(kl.at("same_top").at("standard_error").get<double>() == near("same_top_error"));
  const json& change = kl.at("log_perplexity_change");
  CHECK(change.at("value").get<double>() == near("change"));
  CHECK(change.at("standard_error").get<double>() == near("change_error"));
  CHECK(kl.at("base_perplexity").at("value").get<double>() ==
        about(golden.figures.at("rolling").at("perplexity"), 1e-6));
  // from itself it has none
  const json same = golden.run("base", {"--kl", golden.base}).at("kl").at("divergence");
  CHECK(same.at("max").get<double>() < 1e-6);
}

TEST_CASE("perplexity: a base's file that is damaged, or of something else, is refused") {
  const Golden golden;
  golden.save();
  const std::string bytes = content(golden.base);
  const auto refused = [&](const std::string& file, const std::string& why,
                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--kl", golden.folder.file("bad.kl", file)};
    flags.insert(flags.end(), more.begin(), more.end());
    check_error(larder_run(golden.arguments("base", flags)), 1, why);
  };
  refused(bytes.substr(0, bytes.size() - 1), "bytes of the");
  refused(bytes.substr(0, 20), "ends too early");
  std::string changed = bytes;
  changed[0] = 'G';
  refused(changed, "no distributions");
  changed = bytes;
  changed[8] = 9;
  refused(changed, "version 9");
  changed = bytes;
  changed[bytes.size() / 2] ^= 1;
  refused(changed, "");
  changed = bytes;
  changed[bytes.size() - 20] ^= 1;  // the last token's own
  refused(changed, "checksum");
  refused(bytes, "--ctx-size", {"-c", "32"});
  refused(bytes, "--mode", {"--mode", "chunks"});
  refused(bytes, "tokens, not", {"-f", golden.text});
  std::string other = golden.figures.at("text").get<std::string>();
  other[0] = 'T';
  (void)golden.folder.file("text.txt", other);
  refused(bytes, "");
}

TEST_CASE("perplexity: a signal ends it soon, and no distributions are left behind") {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < 4000000) text += "The fox ran around the old mill, and around it again.\n";
  const std::string saved = folder.path() + "/base.kl";
  const std::vector<std::string> command = {
      LARDER_PROGRAM, "perplexity", "-f", folder.file("long.txt", text), "--save-logits", saved};
  CHECK(run_for(command, SIGINT, 400000) == 130);
  CHECK(run_for(command, SIGTERM, 400000) == 143);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("perplexity: a text without tokens, and a mistaken option, are told") {
  const TemporaryFolder folder;
  const std::string empty = folder.file("empty.txt", "");
  check_error(larder_run({"perplexity", "-q", "-f", empty}), 2, empty + ": there are no tokens");
  check_error(larder_run({"perplexity", "-q", "-f", empty, "--mode", "chunks"}), 2, "no chunk");
  check_error(larder_run({"perplexity", "-q", "-f", folder.path() + "/none"}), 1, "cannot be read");
  CHECK(larder_run({"perplexity", "-f", empty, "--mode", "other"}).code == 2);
  CHECK(larder_run({"perplexity"}).code == 2);
}

}  // namespace larder::tests

// larder imatrix, compare, sensitivity and quantize --budget with the bundled model and, where it
// is there, the one of float16 that it was made of.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {
namespace {

using nlohmann::json;

constexpr const char* kBundled = LARDER_SOURCE_DIR "/apps/models/storyteller-q4.gguf";
constexpr const char* kFloat = LARDER_SHARED_DIR "/weights/storyteller/storyteller-f16.gguf";

struct Texts {
  Texts() {
    std::string story;
    for (int i = 0; i < 6; ++i)
      story +=
          "Once upon a time a small fox lived behind the old mill. Every morning she counted the "
          "ducks on the pond, and every morning there were " +
          std::to_string(7 + i) + ". One day she walked around the pond and asked the frogs.\n";
    text = folder.file("text.txt", story);
  }
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }

  TemporaryFolder folder;
  std::string text;
};

json run_json(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--json", "-q", "-t", "1"});
  const Finished finished = larder_run(arguments);
  CAPTURE(finished.err);
  REQUIRE(finished.code == 0);
  return finished.out.empty() ? json() : json::parse(finished.out);
}

bool has_float_model() {
  if (std::filesystem::exists(kFloat)) return true;
  MESSAGE("skipped: no ", kFloat);
  return false;
}

}  // namespace

TEST_CASE("compare: a model is exactly itself, tensor by tensor and token by token") {
  const Texts texts;
  const json same = run_json({"compare", kBundled, kBundled, "-f", texts.text});
  for (const json& tensor : same.at("tensors")) CHECK(tensor.at("relative_rms_error") == 0.0);
  const json& kl = same.at("text").at("kl");
  CHECK(kl.at("divergence").at("value") == 0.0);
  CHECK(kl.at("divergence").at("max") == 0.0);
  CHECK(kl.at("same_top").at("value") == 1.0);
  CHECK(kl.at("log_perplexity_change").at("value") == 0.0);
  CHECK(kl.at("base_perplexity").at("value") == same.at("text").at("perplexity"));
}

TEST_CASE("compare: the figures of perplexity with a stored base of all tokens") {
  if (!has_float_model()) return;
  const Texts texts;
  const json compared = run_json({"compare", kFloat, kBundled, "-f", texts.text}).at("text");
  const std::string base = texts.path("base.kl");
  const json of_base = run_json(
      {"perplexity", "-m", kFloat, "-f", texts.text, "--save-logits", base, "--top", "4096"});
  const json stored = run_json({"perplexity", "-m", kBundled, "-f", texts.text, "--kl", base});
  CHECK(compared.at("perplexity") == stored.at("perplexity"));
  CHECK(compared.at("kl").at("base_perplexity").at("value") == of_base.at("perplexity"));
  // the base's log probabilities are stored in float32
  const auto about = [](const json& x) { return doctest::Approx(x.get<double>()).epsilon(1e-4); };
  for (const char* name : {"value", "standard_error", "median", "max"})
    CHECK(compared.at("kl").at("divergence").at(name).get<double>() ==
          about(stored.at("kl").at("divergence").at(name)));
  CHECK(compared.at("kl").at("same_top") == stored.at("kl").at("same_top"));
}

TEST_CASE("compare: tensors without a text; other models are refused with the reason") {
  if (!has_float_model()) return;
  const Finished tensors = larder_run({"compare", kFloat, kBundled, "-q"});
  CHECK(tensors.code == 0);
  CHECK(has(tensors.out, "blk.0.ffn_gate_exps.weight"));
  CHECK_FALSE(has(tensors.out, "KL divergence"));
  const std::string other = LARDER_SHARED_DIR "/weights/stories260K-f32.gguf";
  check_error(larder_run({"compare", kBundled, other, "-q"}), 3, "llama cannot be compared");
}

TEST_CASE("imatrix: the same file for any threads and batches, merged from parts") {
  const Texts texts;
  const auto imatrix = [&](const char* file, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"imatrix", "-m", kBundled,         "-f", texts.text, "-c",
                                    "32",      "-o", texts.path(file), "-q", "--json"};
    all.insert(all.end(), more.begin(), more.end());
    const Finished finished = larder_run(all);
    CAPTURE(finished.err);
    REQUIRE(finished.code == 0);
    return json::parse(finished.out);
  };
  const json one = imatrix("a.gguf", {"--chunks", "4", "-t", "1"});
  CHECK(one.at("n_chunks") == 4);
  CHECK(one.at("experts").size() == 6);
  (void)imatrix("b.gguf", {"--chunks", "4", "-t", "2", "-b", "5", "--output-frequency", "1"});
  CHECK(content(texts.path("a.gguf")) == content(texts.path("b.gguf")));
  (void)imatrix("c.gguf", {"--chunks", "2"});
  const json merged =
      imatrix("c.gguf", {"--in-file", texts.path("c.gguf"), "--chunk", "2", "--chunks", "2"});
  CHECK(merged.at("n_chunks") == 4);
  CHECK(merged.at("experts") == one.at("experts"));
}

TEST_CASE("imatrix: neither the model nor the text is overwritten; a killed run leaves no file") {
  const Texts texts;
  check_error(
      larder_run({"imatrix", "-m", kBundled, "-f", texts.text, "-c", "32", "-q", "-o", texts.text}),
      2, "text.txt");
  for (int i = 0; i < 5; ++i) {
    const std::string out = texts.path("killed.gguf");
    const int code = run_for({LARDER_PROGRAM, "imatrix", "-m", kBundled, "-f", texts.text, "-c",
                              "32", "-o", out, "--output-frequency", "0"},
                             SIGKILL, 3000 * (i + 1));
    if (code == -SIGKILL) CHECK_FALSE(std::filesystem::exists(out));
  }
}

TEST_CASE("quantize --budget: never larger, the better the larger, and as compare finds it") {
  if (!has_float_model()) return;
  const Texts texts;
  const std::string sensitivities = texts.path("sensitivity.json");
  (void)run_json({"sensitivity", "-m", kFloat, "-f", texts.text, "-c", "24", "--chunks", "1", "-o",
                  sensitivities});
  double last = HUGE_VAL;
  for (const int budget : {5500000, 7500000, 11000000}) {
    CAPTURE(budget);
    const std::string out = texts.path(std::to_string(budget) + ".gguf");
    const json done = run_json({"quantize", kFloat, out, "--budget", std::to_string(budget),
                                "--sensitivity", sensitivities});
    CHECK(std::filesystem::file_size(out) <= static_cast<size_t>(budget));
    const double predicted = done.at("budget").at("predicted_divergence");
    CHECK(predicted < last);
    last = predicted;
    const json compared = run_json({"compare", kFloat, out, "-f", texts.text});
    CHECK(compared.at("predicted_divergence") == predicted);
    // beside what rounding activations to 8 bits costs, which is no part of the prediction
    const double divergence = compared.at("text").at("kl").at("divergence").at("value");
    CHECK(divergence < 5 * predicted + 0.01);
  }
  check_error(larder_run({"quantize", kFloat, texts.path("x.gguf"), "--budget", "1M",
                          "--sensitivity", sensitivities, "-q"}),
              4, "the smallest types take");
  check_error(larder_run({"quantize", kFloat, texts.path("x.gguf"), "--budget", "9M", "-q"}), 2,
              "--sensitivity");
}

}  // namespace larder::tests

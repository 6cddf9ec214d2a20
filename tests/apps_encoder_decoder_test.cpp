// The program with a model that has an encoder.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "tests/larder_program.h"

using namespace larder;
using namespace larder::tests;

namespace {

const std::string kFolder = std::string(LARDER_SHARED_DIR) + "/goldens/switch";
const std::string kModel = kFolder + "/model.gguf";

bool is_there() {
  if (std::filesystem::exists(kModel)) return true;
  MESSAGE("skipped: no reference data of an encoder-decoder");
  return false;
}

template <class T>
std::vector<T> values(const formats::GgufFile& file, const std::string& name) {
  const formats::GgufTensor* tensor = file.find_tensor(name);
  REQUIRE(tensor != nullptr);
  const auto bytes = file.data(*tensor);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

std::string joined(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

// The float32 values behind the header, which is as long as it says.
std::vector<float> npy_values(const std::string& bytes) {
  REQUIRE(bytes.size() > 10);
  const size_t header = 10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<uint8_t>(bytes[9]);
  std::vector<float> out((bytes.size() - header) / sizeof(float));
  std::memcpy(out.data(), bytes.data() + header, out.size() * sizeof(float));
  return out;
}

}  // namespace

TEST_CASE("logits: behind an encoder, those of the reference, and the routes of both stacks") {
  if (!is_there()) return;
  const auto golden = formats::GgufFile::open(kFolder + "/golden.gguf");
  REQUIRE(golden.ok());
  const TemporaryFolder folder;
  const std::string npy = folder.path() + "/logits.npy", csv = folder.path() + "/routes.csv";
  const Finished run =
      larder_run({"logits", "-m", kModel, "--exact", "-q", "-o", npy, "--routes", csv,
                  "--encoder-ids", joined(values<int32_t>(**golden, "prompt.1.encoder_tokens")),
                  "--ids", joined(values<int32_t>(**golden, "prompt.1.tokens"))});
  CHECK(run.err == "");
  REQUIRE(run.code == 0);
  const std::vector<float> expected = values<float>(**golden, "prompt.1.logits");
  const std::vector<float> got = npy_values(content(npy));
  REQUIRE(got.size() == expected.size());
  const double tolerance = (*golden)->real("golden.logits_tolerance").value();
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i)
    most = std::max(most, std::abs(double{got[i]} - double{expected[i]}));
  CHECK(most <= tolerance);

  // 40 tokens of the source in layers 1 and 3, 40 of the answer in layers 5 and 7, and a heading
  const std::string routes = content(csv);
  CHECK(n_lines(routes) == 1 + 4 * 40);
  for (const char* layer : {"\n39,1,0,", "\n39,3,0,", "\n39,5,0,", "\n39,7,0,"})
    CHECK(has(routes, layer));
}

TEST_CASE("logits: an encoder asks for its ids, and nothing else takes them") {
  if (!is_there()) return;
  check_error(larder_run({"logits", "-m", kModel, "--ids", "0,1", "-o", "/dev/null"}), 2,
              "--encoder-ids");
  check_error(larder_run({"logits", "--encoder-ids", "1,2", "--ids", "1", "-o", "/dev/null"}), 2,
              "no encoder");
  check_error(
      larder_run({"logits", "-m", kModel, "--encoder-ids", "1,x", "--ids", "0", "-o", "/dev/null"}),
      2, "x");
  check_error(larder_run({"logits", "-m", kModel, "--encoder-ids", "1,384", "--ids", "0", "-o",
                          "/dev/null"}),
              2, "384");
  const Finished too_long = larder_run({"logits", "-m", kModel, "-c", "4", "--encoder-ids",
                                        "5,6,7,8,1", "--ids", "0", "-o", "/dev/null"});
  CHECK(too_long.code != 0);
  CHECK(has(too_long.err, "--ctx-size"));
}

TEST_CASE("generate: the text is the source, and is read as a whole") {
  if (!is_there()) return;
  const std::vector<std::string> command = {"generate",    "-m",     kModel, "-p",
                                            "Hello world", "-n",     "6",    "--temp",
                                            "0",           "--json", "-q",   "--ignore-eos"};
  const Finished run = larder_run(command);
  REQUIRE(run.code == 0);
  const auto answer = nlohmann::json::parse(run.out);
  CHECK(answer["tokens"].size() == 6);

  // the tokens of the text and </s>, then those of the answer behind the start token
  const Finished ids = larder_run({"tokenize", "-m", kModel, "-p", "Hello world"});
  REQUIRE(ids.code == 0);
  std::string source = ids.out.substr(0, ids.out.find('\n'));
  if (!source.ends_with(",1")) source += ",1";
  std::vector<int32_t> ids_of_answer = {0};
  for (const auto& token : answer["tokens"]) ids_of_answer.push_back(token.get<int32_t>());
  const std::string own = joined(ids_of_answer);
  const Finished logits =
      larder_run({"logits", "-m", kModel, "--encoder-ids", source, "--ids", own, "-o", "-", "-q"});
  REQUIRE(logits.code == 0);
  const std::vector<float> rows = npy_values(logits.out);
  const size_t n_vocab = rows.size() / 7;
  for (size_t i = 0; i < 6; ++i) {
    const auto first = rows.begin() + static_cast<long>(i * n_vocab);
    const auto best = std::max_element(first, first + static_cast<long>(n_vocab)) - first;
    CHECK(best == answer["tokens"][i].get<long>());
  }
  std::vector<std::string> small = command;
  small.insert(small.end(), {"-c", "2"});
  const Finished too_long = larder_run(small);
  CHECK(too_long.code != 0);
  CHECK(has(too_long.err, "source of"));
}

TEST_CASE("inspect --plan, chat and bench: what an encoder-decoder is, and what it cannot") {
  if (!is_there()) return;
  const Finished plan = larder_run({"inspect", kModel, "--plan"});
  REQUIRE(plan.code == 0);
  CHECK(has(plan.out, "4 encode, 4 decode"));
  CHECK(has(plan.out, "encoder   1-1"));
  CHECK(has(plan.out, "attention to the source"));
  CHECK(has(plan.out, "without a gate"));
  check_error(larder_run({"chat", "-m", kModel, "-p", "hi"}), 3, "no chat template");
  check_error(larder_run({"bench", "-m", kModel, "-p", "4", "-n", "4"}), 3, "has an encoder");
}

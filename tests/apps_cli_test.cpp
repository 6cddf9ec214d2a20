// The built program with pipes: exit codes, clean streams, and what each subcommand writes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/larder_program.h"

namespace {

using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Disturbance;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::n_lines;
using larder::tests::TemporaryFolder;
using nlohmann::json;

const std::string kShared = LARDER_SHARED_DIR;

struct Matrix {
  size_t n_rows = 0, n_cols = 0;
  std::vector<float> values;
};

Matrix read_npy(const std::string& bytes) {
  REQUIRE(bytes.size() > 10);
  const size_t text_bytes =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  const std::string text = bytes.substr(10, text_bytes);
  REQUIRE(has(text, "'descr': '<f4'"));
  Matrix matrix;
  const size_t shape = text.find("'shape': (") + 10;
  REQUIRE(std::sscanf(text.c_str() + shape, "%zu, %zu", &matrix.n_rows, &matrix.n_cols) == 2);
  matrix.values.resize(matrix.n_rows * matrix.n_cols);
  REQUIRE(bytes.size() == 10 + text_bytes + 4 * matrix.values.size());
  std::memcpy(matrix.values.data(), bytes.data() + 10 + text_bytes, 4 * matrix.values.size());
  return matrix;
}

}  // namespace

TEST_CASE("program: help and version are results, on stdout, with code 0") {
  for (const char* const command :
       {"chat", "generate", "tokenize", "render", "logits", "inspect"}) {
    const Finished help = larder_run({command, "--help"});
    CHECK(help.code == 0);
    CHECK(has(help.out, "--model"));
    CHECK(help.err.empty());
  }
  CHECK(has(larder_run({"--version"}).out, "larder "));
  CHECK(has(larder_run({"--help"}).out, "generate"));
}

TEST_CASE("program: bad usage is one line on stderr and code 2") {
  check_error(larder_run({}), 2, "command");
  check_error(larder_run({"sing"}), 2, "'sing' is not understood here");
  check_error(larder_run({"generate", "--no-such-flag", "a b", "c"}), 2,
              "'--no-such-flag' is not understood here;");
  check_error(larder_run({"chat", "model.gguf"}), 2, "a model is named with -m FILE;");
  check_error(larder_run({"generate", "-p", "a", "--temp", "-1"}), 2, "temp");
  check_error(larder_run({"generate", "-p", "a", "--temp", "warm"}), 2, "temp");
  check_error(larder_run({"generate", "-p", "a", "-c", "-5"}), 2, "ctx-size");
  check_error(larder_run({"generate", "-p", "a", "--isa", "z80"}), 2, "z80");
  check_error(larder_run({"generate", "-p", "a", "--color", "pink"}), 2,
              "--color: 'pink' is none of auto, on, off; see");
  check_error(larder_run({"generate", "-p", "a", "-ctk", "q2_0"}), 2,
              "--cache-type-k: 'q2_0' is none of f16, f32, q8_0;");
  check_error(larder_run({"perplexity", "-f", "a", "--mode", "x"}), 2, "none of rolling, chunks;");
  for (const char* const seed : {"-2", "99999999999999999999", "1.5", ""})
    check_error(larder_run({"generate", "-p", "a", "--seed", seed}), 2, "is no seed");
  check_error(larder_run({"generate"}), 2, "-p TEXT");
  check_error(larder_run({"generate", "-p", ""}), 2, "-p TEXT");
  check_error(larder_run({"chat"}), 2, "-p TEXT");
  check_error(larder_run({"render"}), 2, "--messages");
  check_error(larder_run({"logits", "--ids", "1,x", "-o", "-"}), 2, "x");
  check_error(larder_run({"logits", "--ids", "99999999", "-o", "/dev/null"}), 2, "99999999");
  check_error(larder_run({"tokenize", "-p", "a", "--decode", "1"}), 2, "--decode");
}

TEST_CASE("program: a model that is missing, corrupt or no model is code 3 and names the file") {
  const TemporaryFolder folder;
  const std::string garbage = folder.file("garbage.gguf", std::string(1000, 'x'));
  const std::string cut = folder.file(
      "cut.gguf", content(LARDER_SOURCE_DIR "/apps/models/storyteller-q4.gguf").substr(0, 100000));
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"chat", "-p", "a"}, {"generate", "-p", "a"}, {"tokenize", "-p", "a"}, {"inspect"}}) {
    for (const std::string& path : {folder.path() + "/absent.gguf", garbage, cut, folder.path()}) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"-m", path});
      CAPTURE(command[0]);
      check_error(larder_run(arguments), 3, path);
    }
  }
}

TEST_CASE("chat: stdout is the answer alone, statistics go to stderr, -q silences them") {
  const Finished loud = larder_run({"chat", "-p", "Hello!", "-s", "1"});
  CHECK(loud.code == 0);
  CHECK(has(loud.err, "t/s"));
  CHECK(!has(loud.out, "t/s"));
  CHECK(!has(loud.out + loud.err, "\x1b"));
  CHECK(loud.out.size() > 10);
  CHECK(loud.out.back() == '\n');
  const Finished quiet = larder_run({"chat", "-p", "Hello!", "-s", "1", "-q"});
  CHECK(quiet.err.empty());
  CHECK(quiet.out == loud.out);
}

TEST_CASE("chat: --json is one object a line with llama.cpp's timings") {
  const Finished run = larder_run({"chat", "-p", "Hello!", "--temp", "0", "--json", "-q"});
  CHECK(run.code == 0);
  CHECK(n_lines(run.out) == 1);
  const json object = json::parse(run.out);
  CHECK(object["message"]["role"] == "assistant");
  CHECK(object["finish_reason"] == "stop");
  CHECK(object["stop_reason"] == "end_of_generation");
  const json& timings = object["timings"];
  for (const char* const name :
       {"cache_n", "prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second",
        "predicted_n", "predicted_ms", "predicted_per_token_ms", "predicted_per_second"}) {
    CAPTURE(name);
    CHECK(timings[name].is_number());
  }
  CHECK(timings["predicted_n"] == object["tokens"].size());
  CHECK(larder_run({"chat", "-p", "Hello!", "--temp", "0", "-q"}).out ==
        object["message"]["content"].get<std::string>() + "\n");
}

TEST_CASE("chat: standard input stands before the prompt") {
  const std::vector<std::string> tail = {"--temp", "0", "--json", "-q", "-n", "8"};
  const auto ask = [&](std::vector<std::string> arguments, const std::string& input) {
    arguments.insert(arguments.end(), tail.begin(), tail.end());
    const Finished run = larder_run(arguments, input);
    CHECK(run.code == 0);
    const json object = json::parse(run.out);
    return std::pair(object["timings"]["prompt_n"].get<int>(), object["tokens"]);
  };
  const auto both = ask({"chat", "-p", "A story, please."}, "Spot is a dog.\n");
  CHECK(both == ask({"chat", "-p", "Spot is a dog.\nA story, please."}, ""));
  CHECK(both == ask({"chat"}, "Spot is a dog.\nA story, please.\n"));
  CHECK(both != ask({"chat", "-p", "A story, please."}, ""));
}

TEST_CASE("generate: seeds reproduce, greedy text is the reference's, stop strings are cut") {
  const auto text = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"generate", "-q", "-n",
                                          "40",       "-p", "Once upon a time, there was a little"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished run = larder_run(arguments);
    CHECK(run.code == 0);
    CHECK(run.err.empty());
    return run.out;
  };
  CHECK(text({"-s", "5"}) == text({"-s", "5"}));
  CHECK(text({"-s", "5"}) != text({"-s", "6"}));
  const std::string greedy = text({"--temp", "0", "--exact"});
  CHECK(text({"--temp", "0", "--exact", "-t", "1", "-b", "3"}) == greedy);
  const size_t at = greedy.find(". ");
  REQUIRE(at != std::string::npos);
  CHECK(text({"--temp", "0", "--exact", "--stop", "zebra", "--stop", ". "}) ==
        greedy.substr(0, at));
  CHECK(text({"-n", "0"}).empty());
  CHECK(text({"--temp", "0", "--exact", "-ctk", "f32", "--cache-type-v", "f32"}) == greedy);
}

TEST_CASE("generate: a full context is told, with the flag that helps") {
  const Finished end = larder_run({"generate", "-p", "Once upon a time", "-c", "16"});
  CHECK(end.code == 0);
  CHECK(has(end.err, "--ctx-size"));
  const Finished as_json =
      larder_run({"generate", "-p", "Once upon a time", "-c", "16", "--json", "-q"});
  CHECK(json::parse(as_json.out)["finish_reason"] == "length");
  CHECK(json::parse(as_json.out)["stop_reason"] == "context_full");
  check_error(larder_run({"generate", "-p", "Once upon a time", "-c", "2"}), 1, "--ctx-size");
}

TEST_CASE("generate: SIGINT is 130 and SIGTERM 143, and what was written stays") {
  const std::vector<std::string> endless = {
      "generate", "-p", "Once upon a time", "--ignore-eos", "-c", "60000", "-q"};
  const Finished interrupted = larder_run(endless, {}, Disturbance::interrupt);
  CHECK(interrupted.code == 130);
  CHECK(!interrupted.out.empty());
  CHECK(interrupted.err.empty());
  CHECK(larder_run(endless, {}, Disturbance::terminate).code == 143);
}

TEST_CASE("program: a reader that leaves ends it quietly") {
  const Finished run =
      larder_run({"generate", "-p", "Once upon a time", "--ignore-eos", "-c", "60000", "-q"}, {},
                 Disturbance::close_stdout);
  CHECK(run.code == 0);
  CHECK(run.err.empty());
}

TEST_CASE("program: a file's name is told in one line that drives no screen") {
  const Finished run = larder_run({"inspect", "-m", "/no/such\x1b[2J\nlarder: all is well"});
  check_error(run, 3, "larder: all is well");
  CHECK(!has(run.err, "\x1b"));
}

TEST_CASE("program: a disk that is full is an error") {
  if (!std::filesystem::exists("/dev/full")) return;
  check_error(larder_run({"logits", "--ids", "1,2", "-o", "/dev/full"}), 1, "/dev/full");
  check_error(larder_run({"logits", "--ids", "1,2", "-o", "/no/such/folder/x"}), 1, "/no/such");
}

TEST_CASE("logits: a NumPy matrix whose best token is the one that generate takes") {
  const TemporaryFolder folder;
  const std::string npy = folder.path() + "/logits.npy", csv = folder.path() + "/routes.csv";
  const Finished run = larder_run(
      {"logits", "--ids", "443,455,261,404,14", "-o", npy, "--routes", csv, "--exact", "-q"});
  CHECK(run.code == 0);
  CHECK(run.out.empty());
  const std::string bytes = content(npy);
  const Matrix matrix = read_npy(bytes);
  CHECK(matrix.n_rows == 5);
  CHECK(matrix.n_cols == 4096);
  CHECK(std::all_of(matrix.values.begin(), matrix.values.end(),
                    [](float value) { return std::isfinite(value); }));
  const auto last = matrix.values.begin() + 4 * 4096;
  const auto best = std::max_element(last, matrix.values.end()) - last;
  const Finished next = larder_run(
      {"generate", "-p", "Once upon a time,", "-n", "1", "--temp", "0", "--exact", "--json", "-q"});
  CHECK(json::parse(next.out)["tokens"] == json::array({best}));
  CHECK(
      larder_run({"logits", "--ids", "443 455 261 404 14", "-o", "-", "--exact", "-b", "2"}).out ==
      bytes);

  std::istringstream lines(content(csv));
  std::string line;
  std::getline(lines, line);
  CHECK(line == "token,layer,rank,expert,weight");
  std::map<std::pair<int, int>, double> sums;
  size_t n = 0;
  for (; std::getline(lines, line); ++n) {
    int token = 0, layer = 0, rank = 0, expert = 0;
    double weight = 0;
    REQUIRE(std::sscanf(line.c_str(), "%d,%d,%d,%d,%lf", &token, &layer, &rank, &expert, &weight) ==
            5);
    CHECK(expert < 8);
    CHECK(rank < 2);
    sums[{token, layer}] += weight;
  }
  CHECK(n == 5 * 6 * 2);
  CHECK(sums.size() == 5 * 6);
  for (const auto& [place, sum] : sums) CHECK(sum == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("inspect: the bundled model's figures, for people and for programs") {
  const Finished text = larder_run({"inspect", "--plan", "--tensors"});
  CHECK(text.code == 0);
  CHECK(has(text.out, "qwen3moe"));
  CHECK(has(text.out, "blk.5.ffn_down_exps.weight"));
  CHECK(has(text.out, "keys and values"));
  const json object = json::parse(larder_run({"inspect", "--json", "--plan", "--tensors"}).out);
  // Source: the model's card.
  CHECK(object["n_weights"] == 11681792);
  CHECK(object["size_bytes"] == 8688160);
  CHECK(object["n_experts"] == 8);
  CHECK(object["n_active"] == 2);
  CHECK(object["n_layers"] == 6);
  CHECK(object["context_length"] == 1024);
  CHECK(object["n_active_weights"].get<double>() == doctest::Approx(4.6e6).epsilon(0.01));
  CHECK(object["tensors"].size() == object["n_tensors"].get<size_t>());
  const json& plan = object["plan"];
  CHECK(plan["expert_bytes"] == object["expert_bytes"]);
  CHECK(plan["total_bytes"].get<int64_t>() ==
        plan["expert_bytes"].get<int64_t>() + plan["other_weight_bytes"].get<int64_t>() +
            plan["cache_bytes"].get<int64_t>() + plan["buffer_bytes"].get<int64_t>() +
            plan["program_bytes"].get<int64_t>());
  // Two kv heads of 64, keys and values, six layers, f16.
  CHECK(plan["cache_bytes"].get<int64_t>() >= 1024 * 2 * 64 * 2 * 6 * 2);
}

TEST_CASE("inspect: layers that carry a state, and what their states take") {
  for (const auto& [name, mixer] : {std::pair("lfm2moe", "gated convolution of 3 taps"),
                                    std::pair("qwen3next", "gated delta net, 4 heads of 16/16")}) {
    const std::string path = kShared + "/goldens/" + name + "/model.gguf";
    if (!std::filesystem::exists(path)) {
      MESSAGE("skipped: no ", path);
      return;
    }
    CHECK(has(larder_run({"inspect", path, "--plan"}).out, mixer));
    const auto plan_of = [&](const char* n_ctx) {
      return json::parse(
          larder_run({"inspect", path, "--json", "--plan", "-c", n_ctx}).out)["plan"];
    };
    const json small = plan_of("64"), large = plan_of("512");
    CHECK(small["carried_state_bytes"].get<int64_t>() > 0);
    CHECK(small["carried_state_bytes"] == large["carried_state_bytes"]);
    CHECK(8 * small["cache_bytes"].get<int64_t>() == large["cache_bytes"].get<int64_t>());
  }
}

TEST_CASE("inspect: a file is told about also where the memory does not do, with code 4") {
  const Finished run = larder_run({"inspect", "--plan", "--ram", "1M"});
  CHECK(run.code == 4);
  CHECK(has(run.out, "qwen3moe"));
  CHECK(!has(run.out, "together"));
  CHECK(has(run.err, ", the limit is 1M: "));
  CHECK(n_lines(run.err) == 1);
}

TEST_CASE("inspect: a file that cannot be run is told about all the same, with code 3") {
  const std::string path = kShared + "/tokenizers/qwen3/vocab.gguf";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no ", path);
    return;
  }
  const Finished run = larder_run({"inspect", path, "--json"});
  CHECK(run.code == 3);
  CHECK(json::parse(run.out)["can_run"] == false);
  CHECK(n_lines(run.err) == 1);
}

TEST_CASE("chat: a model without a template says what to do instead") {
  const std::string path = kShared + "/weights/stories260K-f32.gguf";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no ", path);
    return;
  }
  check_error(larder_run({"chat", "-p", "Hi", "-m", path}), 3, "larder generate");
  CHECK(larder_run({"generate", "-p", "Once", "-n", "5", "-q", "-m", path}).code == 0);
}

TEST_CASE("program: an installed tree finds its model wherever it was moved") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  fs::create_directories(folder.path() + "/bin");
  fs::create_directories(folder.path() + "/share/larder/models");
  const std::string program = folder.path() + "/bin/larder";
  fs::copy_file(LARDER_PROGRAM, program);
  const auto missing = larder::tests::run({program, "inspect"});
  check_error(missing, 3, "-m FILE");
  fs::copy_file(LARDER_SOURCE_DIR "/apps/models/storyteller-q4.gguf",
                folder.path() + "/share/larder/models/storyteller-q4.gguf");
  CHECK(larder::tests::run({program, "inspect"}).code == 0);
}

TEST_CASE("program: bad usage names the command whose help tells more") {
  check_error(larder_run({"generate", "--no-such-flag"}), 2, "see `larder generate --help`");
  check_error(larder_run({"generate", "-p", "a", "--temp", "warm"}), 2,
              "--temp: 'warm' is no value for it");
  check_error(larder_run({"generate", "-p"}), 2, "needs a value");
  check_error(larder_run({"render"}), 2, "--messages is needed");
  check_error(larder_run({"sing"}), 2, "see `larder --help`");
}

TEST_CASE("json: an answer tells its model and the seed that gives it again") {
  for (const char* const command : {"chat", "generate"}) {
    const Finished first = larder_run({command, "-p", "A dog", "-n", "12", "--json", "-q"});
    REQUIRE(first.code == 0);
    const json object = json::parse(first.out);
    CHECK(has(object["model"].get<std::string>(), "storyteller-q4.gguf"));
    const std::string seed = std::to_string(object["seed"].get<uint64_t>());
    const Finished again =
        larder_run({command, "-p", "A dog", "-n", "12", "--json", "-q", "-s", seed});
    CHECK(json::parse(again.out)["tokens"] == object["tokens"]);
  }
}

TEST_CASE("templates: a file, variables and the wish to think reach chat and render") {
  const TemporaryFolder folder;
  const std::string path = folder.file(
      "t.jinja",
      "{{ messages[0].content }}|{{ tone }}|{% if enable_thinking is defined %}{{ enable_thinking "
      "}}{% endif %}");
  const std::string messages = folder.file("m.json", "[{\"role\": \"user\", \"content\": \"Hi\"}]");
  const Finished plain = larder_run({"render", "--messages", messages, "--template", path});
  CHECK(plain.out == "Hi||");
  const Finished full = larder_run({"render", "--messages", messages, "--template", path, "--think",
                                    "off", "--chat-template-kwargs", "{\"tone\": \"sad\"}"});
  CHECK(full.out == "Hi|sad|False");
  check_error(larder_run({"render", "--messages", messages, "--chat-template-kwargs", "[1]"}), 2,
              "JSON object");
  check_error(larder_run({"chat", "-p", "a", "--chat-template-kwargs", "{"}), 2,
              "--chat-template-kwargs");
  check_error(larder_run({"chat", "-p", "a", "--template", folder.file("bad.jinja", "{% if %}")}),
              1, "bad.jinja");
  const Finished chat = larder_run({"chat", "-p", "Hi", "--template", path, "-n", "1"});
  CHECK(chat.code == 0);
  CHECK(!has(chat.err, "no switch"));
  CHECK(has(larder_run({"chat", "-p", "Hi", "--think", "on", "-n", "1"}).err, "no switch"));
}

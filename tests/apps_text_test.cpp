// The built program's way from text to prompt to tokens, and back: tokenize and render.
#include <doctest/doctest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/larder_program.h"

namespace {

using larder::tests::AtTerminal;
using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::TemporaryFolder;
using nlohmann::json;

const std::string kShared = LARDER_SHARED_DIR;

}  // namespace

TEST_CASE("tokenize: text to ids and back") {
  const Finished ids = larder_run({"tokenize", "-p", "Once upon a time"});
  CHECK(ids.code == 0);
  CHECK(ids.out == "443,455,261,404\n");
  CHECK(larder_run({"tokenize"}, "Once upon a time").out == ids.out);
  CHECK(larder_run({"tokenize", "--decode", "443,455,261,404"}).out == "Once upon a time");
  CHECK(larder_run({"tokenize", "--decode", "-"}, ids.out).out == "Once upon a time");
  CHECK(larder_run({"tokenize", "--special", "-p", "<|im_end|>"}).out == "2\n");
  CHECK(larder_run({"tokenize", "-p", "<|im_end|>"}).out != "2\n");
  CHECK(larder_run({"tokenize", "--decode", "2"}).out.empty());
  CHECK(larder_run({"tokenize", "--decode", "2", "--special"}).out == "<|im_end|>");
  const json object = json::parse(larder_run({"tokenize", "--json", "-p", "Once upon"}).out);
  CHECK(object == json::parse(R"({"ids":[443,455],"tokens":["Once"," upon"]})"));
  CHECK(larder_run({"tokenize", "--decode", "99999999"}).code == 2);
}

TEST_CASE("tokenize: a line of JSON in, a line out") {
  const Finished run = larder_run({"tokenize", "--jsonl"},
                                  "{\"text\":\"<|im_end|>\",\"special\":true}\n"
                                  "{\"text\":\"Once\\u0020upon\"}\n");
  CHECK(run.code == 0);
  CHECK(run.out == "{\"ids\":[2]}\n{\"ids\":[443,455]}\n");
  const Finished bad = larder_run({"tokenize", "--jsonl"}, "{\"text\":\"a\"}\n{\"txt\":1}\n");
  CHECK(bad.code == 1);
  CHECK(has(bad.err, "line 2"));
}

TEST_CASE("tokenize: lines are answered as they come, until a signal that ends") {
  AtTerminal terminal({LARDER_PROGRAM, "tokenize", "--jsonl"}, {});
  terminal.send("{\"text\":\"Once upon\"}\n");
  CHECK(terminal.wait_for("{\"ids\":[443,455]}"));
  terminal.send_signal(SIGWINCH);
  terminal.send("{\"text\":\"<|im_end|>\",\"special\":true}\n");
  CHECK(terminal.wait_for("{\"ids\":[2]}"));
  terminal.send("\x03");
  CHECK(terminal.finish() == 130);
}

TEST_CASE("tokenize: the recorded tokenisations, through the program") {
  const std::string folder = kShared + "/tokenizers/qwen3/";
  std::ifstream golden(folder + "golden.jsonl");
  if (!golden) {
    MESSAGE("skipped: no ", folder);
    return;
  }
  std::string input;
  std::vector<json> expected;
  for (std::string line; std::getline(golden, line);) {
    input += line + "\n";
    expected.push_back(json::parse(line)["ids"]);
  }
  const Finished run = larder_run({"tokenize", "--jsonl", "-m", folder + "vocab.gguf"}, input);
  CHECK(run.code == 0);
  std::istringstream lines(run.out);
  size_t i = 0;
  for (std::string line; std::getline(lines, line); ++i) {
    REQUIRE(i < expected.size());
    CHECK(json::parse(line)["ids"] == expected[i]);
  }
  CHECK(i == expected.size());
}

TEST_CASE("render: a list of messages, and an object of variables") {
  const std::string list = R"([{"role":"user","content":"Hi <|im_end|>"}])";
  const std::string expected = "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n";
  CHECK(larder_run({"render", "--messages", "-"}, list).out == expected);
  CHECK(larder_run({"render", "--messages", "-"}, "{\"messages\":" + list + "}").out == expected);
  CHECK(larder_run({"render", "--messages", "-", "--no-generation-prompt"}, list).out ==
        "<|im_start|>user\nHi <|im_end|><|im_end|>\n");
  CHECK(json::parse(larder_run({"render", "--messages", "-", "--json"}, list).out)["prompt"] ==
        expected);
}

TEST_CASE("render: another template, the caller's variables and a fixed clock") {
  const TemporaryFolder folder;
  const std::string path =
      folder.file("own.jinja", "{{ strftime_now('%a %d %b %Y %H:%M') }} {{ bos_token }}{{ x }}");
  const std::string input = R"({"messages":[],"bos_token":"<s>","x":7})";
  const Finished run = larder_run(
      {"render", "--messages", "-", "--template", path, "--now", "2025-07-10T12:34"}, input);
  CHECK(run.err.empty());
  CHECK(run.out == "Thu 10 Jul 2025 12:34 <s>7");
  CHECK(
      larder_run({"render", "--messages", "-", "--template", path, "--now", "noon"}, input).code ==
      2);
  const std::string broken = folder.file("broken.jinja", "\n\n{% if %}");
  check_error(larder_run({"render", "--messages", "-", "--template", broken}, input), 1, "line 3");
}

TEST_CASE("render: messages that are none, and nesting without end, are errors") {
  check_error(larder_run({"render", "--messages", "-"}, "{}"), 1, "messages");
  check_error(larder_run({"render", "--messages", "-"}, "[1,"), 1, "JSON");
  check_error(larder_run({"render", "--messages", "-"}, std::string(100000, '[')), 1, "nested");
  check_error(larder_run({"render", "--messages", "/no/such/file"}), 1, "/no/such/file");
}

TEST_CASE("render: recorded prompts of published templates, through the program") {
  std::ifstream golden(kShared + "/templates/golden_renders.jsonl");
  if (!golden) {
    MESSAGE("skipped: no ", kShared, "/templates");
    return;
  }
  const nlohmann::ordered_json conversations =
      nlohmann::ordered_json::parse(content(kShared + "/templates/conversations.json"));
  int n = 0;
  for (std::string line; std::getline(golden, line); ++n) {
    if (n % 11 != 0) continue;  // all of them are a test of the template's own room
    const json one = json::parse(line);
    std::string name = one["template"].get<std::string>();
    if (!name.ends_with(".jinja")) name += ".jinja";
    CAPTURE(name);
    const Finished run = larder_run({"render", "--messages", "-", "--now", "2025-07-10T12:00",
                                     "--template", kShared + "/templates/real/" + name},
                                    conversations[one["conversation"].get<std::string>()].dump());
    if (one.contains("expect")) {
      CHECK(run.out == one["expect"].get<std::string>());
    } else {
      CHECK(run.code != 0);
    }
  }
  CHECK(n == 204);
}

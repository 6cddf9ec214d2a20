// larder score with the bundled model: what lines become, and that nothing but a line, the model
// and the settings decides it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {
namespace {

using nlohmann::json;
using Lines = std::vector<std::string>;

struct Scored {
  int code = -1;
  Lines lines;
};

Scored score(const Lines& lines, const std::vector<std::string>& more = {}) {
  const TemporaryFolder folder;
  std::string input;
  for (const std::string& line : lines) input += line + "\n";
  const std::string output = folder.path() + "/out.jsonl";
  std::vector<std::string> arguments = {
      "score", "-i", folder.file("in.jsonl", input), "-o", output, "-q", "-t", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Finished finished = larder_run(arguments);
  CAPTURE(finished.err);
  CHECK(finished.err.empty());
  Scored scored = {finished.code, {}};
  std::istringstream stream(content(output));
  for (std::string line; std::getline(stream, line);) scored.lines.push_back(line);
  return scored;
}

// Pairs, choices behind common contexts, and texts longer than a window.
Lines make_lines() {
  const std::vector<std::string> words = {"fox", "mill", "pond", "ran",  "slept", "the",
                                          "old", "and",  "very", "blue", "a",     "\n"};
  std::mt19937 random(2);
  const auto text = [&](size_t n) {
    std::string all = " Once";
    for (size_t i = 0; i < n; ++i) all.append(" ").append(words[random() % words.size()]);
    return all;
  };
  Lines lines;
  for (int i = 0; i < 60; ++i) {
    json line = {{"id", "line-" + std::to_string(i)}};
    if (i % 3 == 0) {
      line["context"] = text(random() % 60);
      line["continuation"] = text(1 + random() % 9);
    } else if (i % 3 == 1) {
      line["context"] = text(30);
      line["choices"] = {text(3), " the fox", " a", text(2)};
    } else {
      line["text"] = text(random() % 150);
      line["token_logprobs"] = i % 2 == 0;
    }
    lines.push_back(line.dump());
  }
  return lines;
}

Lines sorted(Lines lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

TEST_CASE("score: every kind of line gets its record") {
  const Scored scored = score(
      {R"({"id":"pair","context":"Once upon a","continuation":" time"})",
       R"({"id":7,"context":"The sky is ","choices":["blue","blue","green"],"token_logprobs":true})",
       R"({"id":"text","text":"Once upon a time"})", R"({"text":""})",
       R"({"id":"d","context":"The sky is","delimiter":" ","choices":["blue","green"]})"});
  CHECK(scored.code == 0);
  REQUIRE(scored.lines.size() == 5);
  const json pair = json::parse(scored.lines[0]);
  CHECK(pair.at("id") == "pair");
  CHECK(pair.at("n_tokens") == 1);
  CHECK(pair.at("is_greedy") == true);
  CHECK(pair.at("logprob").get<double>() < 0);
  CHECK_FALSE(pair.contains("token_logprobs"));

  const json choices = json::parse(scored.lines[1]);
  CHECK(choices.at("id") == 7);
  REQUIRE(choices.at("choices").size() == 3);
  const json& blue = choices.at("choices")[0];
  CHECK(blue.at("n_characters") == 4);
  CHECK(blue == choices.at("choices")[1]);
  CHECK(choices.at("best") != 1);  // the first of equals
  double sum = 0;
  for (const json& logprob : blue.at("token_logprobs")) sum += logprob.get<double>();
  CHECK(sum == doctest::Approx(blue.at("logprob").get<double>()));
  CHECK(blue.at("tokens").size() == blue.at("n_tokens").get<size_t>());
  // the space of the context belongs to the choice
  const json delimited = json::parse(scored.lines[4]);
  CHECK(delimited.at("choices")[0].at("logprob") == blue.at("logprob"));

  const json text = json::parse(scored.lines[2]), empty = json::parse(scored.lines[3]);
  CHECK(text.at("n_tokens") == 4);
  CHECK_FALSE(text.contains("is_greedy"));
  CHECK(empty.at("line") == 4);
  CHECK(empty.at("n_tokens") == 0);
  CHECK(empty.at("logprob") == 0);
}

TEST_CASE("score: a bad line becomes an error record, and the others are scored") {
  const std::vector<std::string> bad = {
      R"({"id":"b","context":3,"continuation":"x"})",
      R"({"id":"c","context":"x"})",
      R"({"id":"d","context":"x","continuation":""})",
      R"({"id":"e","text":"x","context":"y"})",
      R"({"id":"f","context":"x","choices":[]})",
      R"({"id":"g","context":"x","choices":["a",1]})",
      R"({"id":"h","text":1})",
      R"({"id":"i"})",
      R"({"id":"j","text":"x","token_logprobs":1})",
      R"({"id":"k","context":"x","continuation":"y","choices":["z"]})",
      "{",
      "[]",
      R"("text")"};
  Lines lines = {R"({"id":"first","text":"fox"})"};
  lines.insert(lines.end(), bad.begin(), bad.end());
  lines.push_back(R"({"id":"last","text":"fox"})");
  const Scored scored = score(lines);
  CHECK(scored.code == 5);
  REQUIRE(scored.lines.size() == lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    const json record = json::parse(scored.lines[i]);
    INFO(scored.lines[i]);
    const bool is_bad = i > 0 && i + 1 < lines.size();
    CHECK(record.contains("error") == is_bad);
    CHECK(record.contains("logprob") == !is_bad);
    if (!is_bad) continue;
    CHECK(record.at("line") == i + 1);
    CHECK_FALSE(record.at("error").at("message").get<std::string>().empty());
  }
}

TEST_CASE("score: a continuation longer than the window is refused, a context is cut") {
  std::string words;
  for (int i = 0; i < 100; ++i) words += " fox";
  const json line = {{"id", "x"}, {"context", "A"}, {"continuation", words}};
  const Scored scored = score({line.dump()}, {"-c", "64"});
  CHECK(scored.code == 5);
  CHECK(has(scored.lines.front(), "--ctx-size"));
  const json cut = {{"id", "x"}, {"context", words}, {"continuation", " fox"}};
  CHECK(score({cut.dump()}, {"-c", "64"}).code == 0);
}

TEST_CASE("score: twenty ways of running give the same records") {
  const Lines lines = make_lines();
  const std::vector<std::string> window = {"-c", "128"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), window.begin(), window.end());
    return flags;
  };
  const Scored reference = score(lines, with({}));
  REQUIRE(reference.code == 0);
  REQUIRE(reference.lines.size() == lines.size());
  const std::vector<std::vector<std::string>> ways = {{"-b", "1"},
                                                      {"-b", "7"},
                                                      {"-b", "64"},
                                                      {"-b", "4096"},
                                                      {"-t", "2"},
                                                      {"-t", "3"},
                                                      {"--parallel", "1"},
                                                      {"--parallel", "3"},
                                                      {"--ram", "39M"},
                                                      {"--ram", "40M"},
                                                      {"--ram", "39M", "-b", "16"},
                                                      {"--as-completed"},
                                                      {"--parallel", "1000", "-b", "33"}};
  for (const auto& way : ways) {
    std::string told;
    for (const std::string& word : way) told += word + " ";
    INFO(told);
    const Scored scored = score(lines, with(way));
    CHECK(scored.code == 0);
    CHECK(sorted(scored.lines) == sorted(reference.lines));
    if (way.front() != "--as-completed") CHECK(scored.lines == reference.lines);
  }
  for (const uint32_t seed : {1, 2, 3}) {
    Lines shuffled = lines;
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(seed));
    CHECK(sorted(score(shuffled, with({})).lines) == sorted(reference.lines));
  }
  for (const int n : {2, 3, 5, 7}) {
    Lines all;
    for (int i = 1; i <= n; ++i) {
      const std::string shard = std::to_string(i) + "/" + std::to_string(n);
      const Scored part = score(lines, with({"--shard", shard}));
      all.insert(all.end(), part.lines.begin(), part.lines.end());
    }
    CHECK(sorted(all) == sorted(reference.lines));
  }
}

}  // namespace larder::tests

// larder batch with the bundled model: what lines become, and that nothing but a line, the model
// and the settings decides it.
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>
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
namespace fs = std::filesystem;

json completion(const std::string& id, json body) {
  return {{"custom_id", id}, {"method", "POST"}, {"url", "/v1/completions"}, {"body", body}};
}

json chat(const std::string& id, json body) {
  if (!body.contains("messages")) {
    body["messages"] = json::array({{{"role", "user"}, {"content", "Tell me of a cat."}}});
  }
  return {{"custom_id", id}, {"method", "POST"}, {"url", "/v1/chat/completions"}, {"body", body}};
}

std::string to_lines(const std::vector<json>& items) {
  std::string lines;
  for (const json& item : items) lines += item.dump() + "\n";
  return lines;
}

struct Batch {
  TemporaryFolder folder;
  std::string input = folder.path() + "/in.jsonl", output = folder.path() + "/out.jsonl";
  explicit Batch(const std::string& lines) { std::ofstream(input, std::ios::binary) << lines; }
  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"batch", "-i", input, "-o", output, "-q", "-t", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

struct Answered {
  int code = -1;
  std::string bytes;
  std::vector<json> records;
};

Answered answer(const std::string& lines, const std::vector<std::string>& more = {}) {
  const Batch batch(lines);
  const Finished finished = larder_run(batch.arguments(more));
  CAPTURE(finished.err);
  CHECK(finished.err.empty());
  Answered answered = {finished.code, content(batch.output), {}};
  std::istringstream stream(answered.bytes);
  for (std::string line; std::getline(stream, line);) answered.records.push_back(json::parse(line));
  return answered;
}

const json& body_of(const json& record) { return record.at("response").at("body"); }
const json& choice_of(const json& record, size_t index = 0) {
  return body_of(record).at("choices").at(index);
}

// Chats and completions, greedy and sampled, of many lengths, with one that fails.
std::string mixed_lines(int n) {
  std::vector<json> items;
  for (int i = 0; i < n; ++i) {
    std::string id = "item-";
    id += std::to_string(i);
    const std::string text = "Once upon a time there were " + id + std::string(i % 7, '!');
    json body = {{"max_tokens", 3 + i % 9}, {"temperature", i % 2 == 0 ? 0.0 : 0.9}};
    if (i % 4 == 3) body["seed"] = i;
    if (i % 5 == 4) body["n"] = 2;
    if (i % 3 == 0) {
      body["messages"] = json::array({{{"role", "user"}, {"content", text}}});
      if (i % 6 == 0) body.update({{"logprobs", true}, {"top_logprobs", 2}});
      items.push_back(chat(id, body));
    } else {
      body["prompt"] = text;
      items.push_back(completion(id, body));
    }
  }
  items.push_back(completion("bad", {{"prompt", 7}}));
  return to_lines(items);
}

TEST_CASE("batch: a completion is what generate writes, and says how long it was") {
  const std::string text = "Once upon a time";
  const Answered answered = answer(
      to_lines({completion("a", {{"prompt", text}, {"max_tokens", 12}, {"temperature", 0}})}));
  CHECK(answered.code == 0);
  REQUIRE(answered.records.size() == 1);
  const json& record = answered.records[0];
  const Finished generated =
      larder_run({"generate", "-p", text, "-n", "12", "--temp", "0", "--json", "-q"});
  const json alone = json::parse(generated.out);
  CHECK(choice_of(record).at("text") == alone.at("text"));
  CHECK(choice_of(record).at("finish_reason") == "length");
  CHECK(body_of(record).at("usage").at("completion_tokens") == 12);
  CHECK(body_of(record).at("usage").at("prompt_tokens") == alone.at("timings").at("prompt_n"));
  CHECK(record.at("custom_id") == "a");
  CHECK(record.at("error").is_null());
  CHECK(record.at("response").at("status_code") == 200);
  CHECK(body_of(record).at("object") == "text_completion");
  CHECK(body_of(record).at("created") == 0);
}

TEST_CASE("batch: a chat's answer is the one that chat gives") {
  const Answered answered =
      answer(to_lines({chat("a", {{"max_completion_tokens", 20}, {"temperature", 0}})}));
  REQUIRE(answered.records.size() == 1);
  const Finished said =
      larder_run({"chat", "-p", "Tell me of a cat.", "-n", "20", "--temp", "0", "--json", "-q"});
  const json& message = choice_of(answered.records[0]).at("message");
  CHECK(message.at("content") == json::parse(said.out).at("message").at("content"));
  CHECK(message.at("role") == "assistant");
}

TEST_CASE("batch: neighbours, threads, batches, shards and streams change no byte") {
  const std::string lines = mixed_lines(40);
  const Answered whole = answer(lines);
  CHECK(whole.code == 5);
  CHECK(whole.records.size() == 41);
  const std::vector<std::vector<std::string>> ways = {
      {"--parallel", "1"}, {"--parallel", "7", "-t", "2"}, {"-b", "5"}, {"-b", "2000"}};
  for (const auto& way : ways) CHECK(answer(lines, way).bytes == whole.bytes);
  std::vector<Answered> parts;
  for (const char* const shard : {"1/3", "2/3", "3/3"}) {
    parts.push_back(answer(lines, {"--shard", shard}));
  }
  for (size_t i = 0; i < whole.records.size(); ++i) {
    CHECK(parts[i % 3].records.at(i / 3) == whole.records[i]);
  }
  const Finished streamed = larder_run({"batch", "-i", "-", "-o", "-", "-q"}, lines);
  CHECK(streamed.out == whole.bytes);
}

TEST_CASE("batch: seeds come from the line or from its id, not from its place") {
  const json one = completion("one", {{"prompt", "A dog"}, {"temperature", 1.2}});
  const json two = completion("two", {{"prompt", "A dog"}, {"temperature", 1.2}});
  const Answered forth = answer(to_lines({one, two})), back = answer(to_lines({two, one}));
  REQUIRE(forth.records.size() == 2);
  CHECK(forth.records[0] == back.records[1]);
  CHECK(forth.records[1] == back.records[0]);
  CHECK(choice_of(forth.records[0]).at("text") != choice_of(forth.records[1]).at("text"));
  CHECK(answer(to_lines({one, two}), {"-s", "5"}).bytes != forth.bytes);
  const json seeded = {{"prompt", "A dog"}, {"temperature", 1.2}, {"seed", 11}};
  const Answered same = answer(to_lines({completion("x", seeded), completion("y", seeded)}));
  CHECK(choice_of(same.records[0]).at("text") == choice_of(same.records[1]).at("text"));
}

TEST_CASE("batch: of several choices the first is the one that would come alone") {
  json body = {{"prompt", "A dog"}, {"temperature", 1.2}, {"seed", 3}};
  const json alone = completion("alone", body);
  body["n"] = 3;
  const Answered answered = answer(to_lines({alone, completion("three", body)}));
  const json& three = answered.records.at(1);
  CHECK(body_of(three).at("choices").size() == 3);
  CHECK(choice_of(three, 0).at("text") == choice_of(answered.records[0]).at("text"));
  CHECK(choice_of(three, 1).at("text") != choice_of(three, 0).at("text"));
  CHECK(choice_of(three, 2).at("text") != choice_of(three, 1).at("text"));
  CHECK(body_of(three).at("usage").at("completion_tokens") == 48);
}

TEST_CASE("batch: log-probabilities name the tokens, the best of them first") {
  const Answered answered = answer(to_lines(
      {chat("a", {{"max_tokens", 6}, {"temperature", 0}, {"logprobs", true}, {"top_logprobs", 3}}),
       completion("b", {{"prompt", "A dog"}, {"temperature", 0}, {"logprobs", 2}})}));
  const json& tokens = choice_of(answered.records.at(0)).at("logprobs").at("content");
  CHECK(tokens.size() == 6);
  for (const json& token : tokens) {
    const json& top = token.at("top_logprobs");
    CHECK(top.size() == 3);
    CHECK(top[0].at("token") == token.at("token"));
    CHECK(top[0].at("logprob") == token.at("logprob"));
    CHECK(top[0].at("logprob") >= top[1].at("logprob"));
    CHECK(top[1].at("logprob") >= top[2].at("logprob"));
  }
  const json& legacy = choice_of(answered.records.at(1)).at("logprobs");
  CHECK(legacy.at("tokens").size() == 16);
  std::string text;
  for (size_t i = 0; i < 16; ++i) {
    CHECK(legacy.at("text_offset")[i] == text.size());
    CHECK(legacy.at("top_logprobs")[i].size() == 2);
    text += legacy.at("tokens")[i];
  }
  CHECK(text == choice_of(answered.records[1]).at("text"));
}

TEST_CASE("batch: a stop ends the text before it") {
  const json plain = {{"prompt", "Once upon a time"}, {"temperature", 0}, {"max_tokens", 30}};
  json stopped = plain;
  stopped["stop"] = json::array({"zzz", "there"});
  const Answered answered =
      answer(to_lines({completion("plain", plain), completion("stopped", stopped)}));
  const std::string all = choice_of(answered.records.at(0)).at("text");
  REQUIRE(has(all, "there"));
  CHECK(choice_of(answered.records.at(1)).at("text") == all.substr(0, all.find("there")));
  CHECK(choice_of(answered.records.at(1)).at("finish_reason") == "stop");
}

TEST_CASE(
    "batch: prompts may be token ids or several, control tokens only where that is asked for") {
  const Finished ids = larder_run({"tokenize", "-p", "A dog"});
  json list = json::array();
  std::istringstream words(ids.out);
  for (std::string id; std::getline(words, id, ',');) list.push_back(std::stoi(id));
  const json more = {{"temperature", 0}, {"max_tokens", 5}};
  json text = more, tokens = more, both = more;
  text["prompt"] = "A dog";
  tokens["prompt"] = list;
  both["prompt"] = json::array({"A cat", "A dog"});
  const Answered answered =
      answer(to_lines({completion("t", text), completion("i", tokens), completion("b", both)}));
  const std::string expected = choice_of(answered.records.at(0)).at("text");
  CHECK(choice_of(answered.records.at(1)).at("text") == expected);
  CHECK(choice_of(answered.records.at(2), 1).at("text") == expected);
}

TEST_CASE("batch: what a line asks for and cannot have is an error that names it") {
  const auto with = [](const char* name, json value) {
    json body = {{"prompt", "A dog"}};
    body[name] = std::move(value);
    return body;
  };
  const std::string very_long(20000, 'a');
  const std::vector<std::pair<json, std::string>> cases = {
      {with("temperature", "hot"), "temperature"},
      {with("temperature", -1), ""},
      {with("top_p", 2), ""},
      {with("n", 0), "n"},
      {with("n", 1000), "n"},
      {with("max_tokens", -3), "max_tokens"},
      {with("max_tokens", 1.5), "max_tokens"},
      {with("seed", "x"), "seed"},
      {with("stop", json::array({1})), "stop"},
      {with("stop", ""), "stop"},
      {with("stream", true), "stream"},
      {with("echo", true), "echo"},
      {with("best_of", 4), "best_of"},
      {with("logprobs", 100), "logprobs"},
      {with("logit_bias", {{"1", 5}}), "logit_bias"},
      {with("suffix", "end"), "suffix"},
      {with("response_format", {{"type", "json_schema"}}), "response_format"},
      {with("temprature", 1), "temprature"},
      {with("prompt", ""), "prompt"},
      {with("prompt", nullptr), "prompt"},
      {with("prompt", json::array({99999999})), "prompt"},
      {with("prompt", very_long), ""}};
  std::vector<json> items;
  for (size_t i = 0; i < cases.size(); ++i) {
    items.push_back(completion(std::to_string(i), cases[i].first));
  }
  const size_t n_bodies = items.size();
  items.push_back(chat("roles", {{"messages", json::array({{{"content", "x"}}})}}));
  items.push_back(chat("none", {{"messages", json::array()}}));
  items.push_back(chat("top", {{"top_logprobs", 3}}));
  items.push_back({{"custom_id", "url"}, {"url", "/v1/embeddings"}, {"body", json::object()}});
  items.push_back({{"custom_id", "body"}, {"url", "/v1/completions"}});
  items.push_back({{"url", "/v1/completions"}, {"body", {{"prompt", "x"}}}});
  items.push_back({{"custom_id", 5}, {"url", "/v1/completions"}, {"body", {{"prompt", "x"}}}});
  items.push_back(completion("fine", {{"prompt", "x"}, {"user", "me"}, {"logit_bias", nullptr}}));
  const Answered answered = answer(to_lines(items));
  CHECK(answered.code == 5);
  REQUIRE(answered.records.size() == items.size());
  for (size_t i = 0; i + 1 < items.size(); ++i) {
    CAPTURE(items[i].dump().substr(0, 120));
    const json& record = answered.records[i];
    REQUIRE(record.at("error").is_object());
    CHECK(record.at("error").at("line") == i + 1);
    if (i < n_bodies && !cases[i].second.empty()) {
      CHECK(record.at("error").at("param") == cases[i].second);
    }
    if (!record.at("response").is_null()) CHECK(record.at("response").at("status_code") == 400);
  }
  CHECK(answered.records[n_bodies - 1].at("error").at("code") == "context_length_exceeded");
  CHECK(answered.records.back().at("error").is_null());
}

TEST_CASE("batch: the context's edge is an end, not an error") {
  const json body = {{"prompt", "Once upon a time"},
                     {"temperature", 0},
                     {"max_tokens", 500},
                     {"ignore_eos", true}};
  const Answered answered = answer(to_lines({completion("a", body)}), {"-c", "32"});
  CHECK(choice_of(answered.records.at(0)).at("finish_reason") == "length");
  const json& usage = body_of(answered.records[0]).at("usage");
  CHECK(usage.at("total_tokens") >= 32);
  CHECK(usage.at("total_tokens") <= 33);
}

TEST_CASE("batch: killed at any moment it goes on, and gives the bytes of an undisturbed run") {
  std::mt19937 random(1);
  const std::string lines = mixed_lines(LARDER_BATCH_LINES);
  const std::string expected = answer(lines).bytes;
  int n_kills = 0, n_resumed = 0;
  while (n_kills < LARDER_BATCH_KILLS) {
    const Batch batch(lines);
    std::vector<std::string> command = batch.arguments({"--parallel", "8"});
    command.insert(command.begin(), LARDER_PROGRAM);
    for (unsigned tries = 0;; ++tries) {
      const bool was_there = fs::exists(batch.output + ".journal");
      const int code = run_for(command, SIGKILL,
                               30'000 + static_cast<int>(random() % (250'000 + 10'000 * tries)),
                               {{"XDG_CACHE_HOME", "/dev/null/none"}});
      if (code != -SIGKILL) {
        CHECK(code == 5);
        break;
      }
      ++n_kills;
      n_resumed += was_there ? 1 : 0;
    }
    CHECK(content(batch.output) == expected);
  }
  MESSAGE(n_kills << " kills, of which " << n_resumed << " hit a run that went on");
  CHECK(n_resumed > 0);
}

TEST_CASE("batch: a signal ends it in the middle of its answers, which begin anew") {
  std::vector<json> items;
  for (int i = 0; i < 48; ++i) {
    std::string id = "item-";
    id += std::to_string(i);
    items.push_back(completion(id, {{"prompt", id}, {"max_tokens", i < 4 ? 1 : 160}}));
  }
  const std::string lines = to_lines(items);
  const Batch batch(lines);
  std::vector<std::string> command = batch.arguments({"--parallel", "48"});
  command.insert(command.begin(), LARDER_PROGRAM);
  const std::string journal = batch.output + ".journal";
  int code = 130;
  for (int tries = 1; code == 130 && !fs::exists(journal) && tries < 20; ++tries) {
    code = run_for(command, SIGINT, 200'000 * tries, {{"XDG_CACHE_HOME", "/dev/null/none"}});
  }
  CHECK(code == 130);
  CHECK_FALSE(fs::exists(batch.output));
  const Finished finished =
      larder_run({"batch", "-i", batch.input, "-o", batch.output, "--json", "-t", "1"});
  REQUIRE(finished.code == 0);
  const size_t event = finished.err.find("{\"event\"");
  REQUIRE(event != std::string::npos);
  const json start =
      json::parse(finished.err.substr(event, finished.err.find('\n', event) - event));
  CHECK(start.at("resumed").get<int>() <= 4);  // long answers were not waited for
  CHECK(content(batch.output) == answer(lines).bytes);
}

TEST_CASE("batch: another model or setting than before is refused") {
  const Batch batch(mixed_lines(400));
  std::vector<std::string> command = batch.arguments({"--parallel", "4"});
  command.insert(command.begin(), LARDER_PROGRAM);
  const Environment environment = {{"XDG_CACHE_HOME", "/dev/null/none"}};
  const std::string journal = batch.output + ".journal";
  for (int i = 0; i < 20 && !(fs::exists(journal) && fs::file_size(journal) > 4000); ++i) {
    REQUIRE(run_for(command, SIGKILL, 60'000 + 20'000 * i, environment) == -SIGKILL);
  }
  REQUIRE(fs::exists(journal));
  check_error(larder_run(batch.arguments({"--temp", "0.1"})), 2, "settings.temperature: it was");
  check_error(larder_run(batch.arguments({"-c", "64"})), 2, "engine.n_ctx: it was 1024, and is 64");
  const std::string model = std::string(LARDER_SHARED_DIR) + "/weights/stories260K-f32.gguf";
  if (fs::exists(model)) {
    check_error(larder_run(batch.arguments({"-m", model})), 2, "model.");
  } else {
    MESSAGE("no other model is there: " << model);
  }
}

}  // namespace
}  // namespace larder::tests

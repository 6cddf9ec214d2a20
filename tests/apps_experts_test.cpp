// larder experts: counts of every model with experts, measures, pictures, and what is no model or
// text for it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "apps/expert_heat_map.h"
#include "apps/expert_usage.h"
#include "tests/larder_program.h"

using namespace larder;
using namespace larder::apps;
using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Disturbance;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::TemporaryFolder;
using nlohmann::json;

namespace {

const std::string kStory =
    "Once upon a time there was a little dog. He had a red ball. One day the ball was gone.";

LayerUsage layer_of(std::vector<int64_t> counts) { return {0, 1, std::move(counts)}; }

runtime::ModelConfig config_of(int n_layers, int32_t n_experts) {
  runtime::ModelConfig config;
  config.layers.resize(static_cast<size_t>(n_layers));
  for (size_t i = 1; i < config.layers.size(); ++i) {  // the first is dense
    config.layers[i].router.n_experts = n_experts;
    config.layers[i].router.n_active = 2;
  }
  return config;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// Every tag is closed, and nothing comes from elsewhere.
void check_picture(const std::string& svg) {
  for (const char* tag : {"svg", "rect", "text", "title"}) {
    const std::string name = tag;
    const size_t n_open = count_of(svg, "<" + name + " ") + count_of(svg, "<" + name + ">");
    const size_t n_alone = name == "rect" ? count_of(svg, "\"/>\n<rect") : 0;
    CHECK(n_open >= count_of(svg, "</" + name + ">"));
    CHECK(n_open > n_alone);
  }
  CHECK(count_of(svg, "http") == count_of(svg, "http://www.w3.org/2000/svg"));
  CHECK(!has(svg, "nan"));
  CHECK(!has(svg, "inf"));
}

}  // namespace

TEST_CASE("experts: what is said of a layer's counts is so") {
  const LayerUsage even = layer_of({5, 5, 5, 5});
  CHECK(even.entropy() == doctest::Approx(2));
  CHECK(even.balance() == doctest::Approx(1));
  CHECK(even.share_of_top(0.25) == doctest::Approx(0.25));
  CHECK(even.n_covering(0.9) == 4);
  CHECK(even.dead().empty());
  const LayerUsage skewed = layer_of({0, 90, 10, 0, 0, 0, 0, 0, 0, 0});
  CHECK(skewed.entropy() == doctest::Approx(0.469).epsilon(0.001));
  CHECK(skewed.share_of_top(0.1) == doctest::Approx(0.9));
  CHECK(skewed.share_of_top(0.25) == doctest::Approx(1.0));
  CHECK(skewed.n_covering(0.9) == 1);
  CHECK(skewed.n_covering(0.91) == 2);
  CHECK(skewed.dead() == std::vector<int32_t>{0, 3, 4, 5, 6, 7, 8, 9});
  const LayerUsage unused = layer_of({0, 0});
  CHECK(unused.entropy() == 0);
  CHECK(unused.share_of_top(0.5) == 0);
  CHECK(unused.n_covering(0.9) == 0);
}

TEST_CASE("experts: what did not go through all layers is not counted") {
  ExpertUsage usage(config_of(3, 4));
  std::vector<int32_t> chosen = {0, 1, 0, 3};
  usage.routes(1, chosen.data(), nullptr, 2, 2);
  usage.routes(2, chosen.data(), nullptr, 2, 2);
  usage.keep(2);
  usage.routes(1, chosen.data(), nullptr, 2, 2);
  usage.discard();
  usage.keep(0);
  CHECK(usage.n_tokens() == 2);
  REQUIRE(usage.layers().size() == 2);
  CHECK(usage.layers()[0].layer == 1);
  CHECK(usage.layers()[0].counts == std::vector<int64_t>{2, 1, 0, 1});
  CHECK(usage.layers()[1].counts == usage.layers()[0].counts);
  CHECK(usage.coverage(4) == std::vector<double>{0, 0.5, 0.75, 1, 1});
}

TEST_CASE("experts: the picture has a cell for every expert, and a name can do it no harm") {
  ExpertUsage usage(config_of(4, 40));
  std::vector<int32_t> chosen = {0, 1, 0, 39};
  for (int layer = 1; layer < 4; ++layer) usage.routes(layer, chosen.data(), nullptr, 2, 2);
  usage.keep(2);
  const HeatMapTitle title = {"<script>\"a&b\x1b", "x"};
  for (const std::string& text : {to_svg(usage, title), to_html(usage, title)}) {
    check_picture(text);
    CHECK(count_of(text, "expert 17: ") == 3);
    CHECK(count_of(text, " uses</title>") == 3 * 40);
    CHECK(has(text, "layer 3, expert 39: 1 uses"));
    CHECK(has(text, "&lt;script&gt;&quot;a&amp;b"));
    CHECK(!has(text, "<script>"));
    CHECK(!has(text, "\x1b"));
  }
}

TEST_CASE("experts: the bundled model's counts add up, whatever the steps") {
  const Finished table = larder_run({"experts", "-p", kStory});
  CHECK(table.code == 0);
  CHECK(has(table.out, "layer"));
  CHECK(has(table.out, "\nall "));
  const json whole = json::parse(larder_run({"experts", "-f", "-", "--json"}, kStory).out);
  CHECK(whole["is_complete"] == true);
  const int64_t n_tokens = whole["n_tokens"];
  for (const json& layer : whole["layers"]) {
    int64_t n_uses = 0, n_dead = 0;
    for (const int64_t count : layer["counts"]) {
      n_uses += count;
      n_dead += count == 0;
    }
    CHECK(n_uses == n_tokens * layer["n_active"].get<int64_t>());
    CHECK(n_dead == static_cast<int64_t>(layer["dead"].size()));
    CHECK(layer["n_used"].get<int64_t>() + n_dead == layer["n_experts"].get<int64_t>());
    CHECK(layer["balance"].get<double>() > 0);
    CHECK(layer["balance"].get<double>() <= 1);
  }
  CHECK(whole["coverage"].front() == 0.0);
  CHECK(whole["coverage"].back().get<double>() == doctest::Approx(1));
  const json stepped = json::parse(larder_run({"experts", "-p", kStory, "--json", "-b", "5"}).out);
  CHECK(stepped["layers"] == whole["layers"]);
  // Pieces of 8 tokens know less of each other, and are counted all the same.
  const json cut = json::parse(larder_run({"experts", "-p", kStory, "--json", "-c", "8"}).out);
  CHECK(cut["n_tokens"] == n_tokens);
}

TEST_CASE("experts: the same routes as those that logits tells") {
  const TemporaryFolder folder;
  const std::string routes = folder.path() + "/routes.csv";
  const std::string ids = "443,455,261,404,300,12";
  REQUIRE(larder_run({"logits", "--ids", ids, "-o", folder.path() + "/l.npy", "--routes", routes})
              .code == 0);
  json counted = json::parse(larder_run({"experts", "--ids", ids, "--json"}).out);
  std::istringstream lines(content(routes));
  std::string line;
  std::getline(lines, line);
  int n = 0;
  for (; std::getline(lines, line); ++n) {
    int token = 0, layer = 0, rank = 0, expert = 0;
    REQUIRE(std::sscanf(line.c_str(), "%d,%d,%d,%d", &token, &layer, &rank, &expert) == 4);
    for (json& one : counted["layers"]) {
      if (one["layer"] == layer) {
        json& count = one["counts"][static_cast<size_t>(expert)];
        count = count.get<int>() - 1;
      }
    }
  }
  CHECK(n > 0);
  for (const json& one : counted["layers"]) {
    for (const json& count : one["counts"]) CHECK(count == 0);
  }
}

TEST_CASE("experts: every model with experts can be counted") {
  const std::filesystem::path goldens = LARDER_SHARED_DIR "/goldens";
  if (!std::filesystem::is_directory(goldens)) {
    MESSAGE("skipped: no ", goldens.string());
    return;
  }
  int n_counted = 0;
  for (const auto& entry : std::filesystem::directory_iterator(goldens)) {
    const std::string model = (entry.path() / "model.gguf").string(),
                      name = entry.path().filename();
    if (!std::filesystem::exists(model)) continue;
    const Finished run = larder_run({"experts", "-m", model, "-p", kStory, "--json", "-q"});
    if (has(name, "dense")) {
      check_error(run, 1, "no routed experts");
      continue;
    }
    CHECK_MESSAGE(run.code == 0, name << ": " << run.err);
    if (run.code != 0) continue;
    const json counted = json::parse(run.out);
    CHECK(!counted["layers"].empty());
    CHECK(counted["n_tokens"].get<int64_t>() > 10);
    ++n_counted;
  }
  CHECK(n_counted >= 20);
}

TEST_CASE("experts: pictures go where they are wanted, and a model is never their place") {
  const TemporaryFolder folder;
  const std::string svg = folder.path() + "/heat.svg", html = folder.path() + "/heat.html";
  CHECK(larder_run({"experts", "-p", kStory, "-o", svg}).code == 0);
  CHECK(content(svg).rfind("<svg ", 0) == 0);
  check_picture(content(svg));
  CHECK(larder_run({"experts", "-p", kStory, "-o", html, "--json"}).code == 0);
  CHECK(content(html).rfind("<!DOCTYPE html>", 0) == 0);
  const Finished piped = larder_run({"experts", "-p", kStory, "-o", "-"});
  CHECK(piped.out == content(html));
  check_error(larder_run({"experts", "-p", kStory, "-o", "-", "--json"}), 2, "stdout");
  check_error(larder_run({"experts", "-p", kStory, "-o", "/no/such/folder/a.svg"}), 1, "/no/such");
  for (const char* const name : {"heat.png", ""})
    check_error(larder_run({"experts", "-p", kStory, "-o", name}), 2, "is neither .svg nor .html");
}

TEST_CASE("experts: no text and no model are said") {
  check_error(larder_run({"experts"}), 2, "no text");
  check_error(larder_run({"experts", "-f", "/no/such/text"}), 1, "/no/such/text");
  check_error(larder_run({"experts", "-p", "a", "-m", "/no/such/model"}), 3, "/no/such/model");
  check_error(larder_run({"experts", "--ids", "1,x"}), 2, "x");
}

TEST_CASE("experts: an interruption tells what is counted so far") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += kStory + "\n";
  const TemporaryFolder folder;
  const std::string path = folder.file("long.txt", text);
  // Started through a shell that interrupts it after a while.
  const Finished run = larder::tests::run(
      {"/bin/sh", "-c", "\"$0\" experts -f \"$1\" --json & sleep 1.5; kill -INT $!; wait $!",
       LARDER_PROGRAM, path});
  CHECK(run.code == 130);
  const json counted = json::parse(run.out, nullptr, false);
  REQUIRE(!counted.is_discarded());
  CHECK(counted["is_complete"] == false);
  CHECK(counted["n_tokens"].get<int64_t>() > 0);
  CHECK(has(run.err, "interrupted after"));
}

TEST_CASE("profile: kept in the cache folder where experts are paged, unless it shall not be") {
  const json plan =
      json::parse(larder_run({"inspect", "--plan", "--json", "-c", "256"}).out)["plan"];
  const std::string ram = std::to_string(plan["floor_bytes"].get<int64_t>() + (1 << 16));
  const TemporaryFolder folder;
  const auto generate = [&](std::vector<std::string> more) {
    std::vector<std::string> command = {LARDER_PROGRAM, "generate", "-p", "Once", "-n",    "8",
                                        "--temp",       "0",        "-c", "256",  "--ram", ram};
    command.insert(command.end(), more.begin(), more.end());
    return larder::tests::run(command, {}, {{"XDG_CACHE_HOME", folder.path()}});
  };
  const auto files = [&] {
    std::vector<std::string> found;
    if (!std::filesystem::exists(folder.path() + "/larder")) return found;
    for (const auto& one : std::filesystem::directory_iterator(folder.path() + "/larder"))
      found.push_back(one.path().string());
    return found;
  };
  const Finished without = generate({"--no-profile"});
  REQUIRE_MESSAGE(without.code == 0, without.err);
  CHECK(files().empty());
  CHECK(generate({}).out == without.out);
  REQUIRE(files().size() == 1);
  CHECK(has(files()[0], "/experts-"));
  const Finished again = generate({});
  CHECK(again.out == without.out);
  CHECK(!has(again.err, "earlier use"));
  std::ofstream(files()[0]) << std::string(100, 'x');
  const Finished damaged = generate({});
  CHECK(damaged.out == without.out);
  CHECK(has(damaged.err, "counts of earlier use are not used"));
}

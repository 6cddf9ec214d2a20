// Real templates against what Python's Jinja2 makes of them.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/template_json.h"

using namespace larder;
using namespace larder::tests;

namespace {

const std::string kTemplates = std::string(LARDER_SHARED_DIR) + "/templates/";

bool has_templates() {
  const bool has = std::filesystem::exists(kTemplates + "golden_renders.jsonl");
  if (!has) MESSAGE("no reference data in " << kTemplates);
  return has;
}

}  // namespace

TEST_CASE("chat template: golden renders of real templates are reproduced byte for byte") {
  if (!has_templates()) return;
  const Json conversations = Json::parse(read_text(kTemplates + "conversations.json"));
  size_t n_cases = 0;
  for (const Json& golden : read_json_lines(kTemplates + "golden_renders.jsonl")) {
    const std::string name = golden["template"], conversation = golden["conversation"];
    CAPTURE(name);
    CAPTURE(conversation);
    const auto text =
        render(read_text(kTemplates + "real/" + name), to_data(conversations[conversation]));
    ++n_cases;
    if (golden.contains("error")) {
      CHECK(!text.ok());
      CHECK(text.status().cause() == Cause::template_error);
      if (golden["raised_by"] == "template" && !text.ok()) {
        CHECK(text.status().detail().message == golden["error"].get<std::string>());
      }
      continue;
    }
    CHECK_MESSAGE(text.ok(), text.status().to_string());
    if (text.ok()) CHECK(text->text == golden["expect"].get<std::string>());
  }
  CHECK(n_cases == 204);
}

TEST_CASE("chat template: published conversations render as published") {
  if (!has_templates()) return;
  // Where the published text is not what Jinja2 gives (it prints a list as JSON), Jinja2 counts.
  const Json by_jinja2 = Json::parse(
      read_text(std::string(LARDER_TEST_DATA_DIR) + "/rendered_conversations_jinja2.json"));
  const Json cases = Json::parse(read_text(kTemplates + "rendered_conversations.json"));
  CHECK(cases.size() == 27);
  for (const Json& published : cases) {
    const std::string name = published["name"];
    CAPTURE(name);
    const auto text = render(published["chat_template"], to_data(published["data"]));
    CHECK_MESSAGE(text.ok(), text.status().to_string());
    const std::string expected = by_jinja2.contains(name) ? by_jinja2[name] : published["target"];
    if (text.ok()) CHECK(text->text == expected);
  }
}

TEST_CASE("chat template: every collected template parses") {
  if (!has_templates()) return;
  size_t n_templates = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kTemplates + "real")) {
    if (entry.path().extension() != ".jinja") continue;
    CAPTURE(entry.path().string());
    const auto parsed = formats::ChatTemplate::parse(read_text(entry.path().string()));
    CHECK_MESSAGE(parsed.ok(), parsed.status().to_string());
    ++n_templates;
  }
  CHECK(n_templates == 68);
}

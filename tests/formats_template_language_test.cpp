// Small templates against what Python's Jinja2 makes of them (tests/data/make_template_cases.py).
#include <doctest/doctest.h>

#include "tests/template_json.h"

using namespace larder;
using namespace larder::formats;
using namespace larder::tests;

TEST_CASE("chat template: the language is Jinja2's, case by case") {
  const auto lines = read_json_lines(std::string(LARDER_TEST_DATA_DIR) + "/template_cases.jsonl");
  REQUIRE(lines.size() > 1000);
  const DataValue variables = to_data(lines[0]["variables"]);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string source = lines[i]["template"];
    CAPTURE(source);
    const auto text = render(source, variables);
    if (lines[i].contains("expect")) {
      CHECK_MESSAGE(text.ok(), text.status().to_string());
      if (text.ok()) CHECK(text->text == lines[i]["expect"].get<std::string>());
      continue;
    }
    CHECK(!text.ok());
    const bool is_syntax = text.status().cause() == Cause::template_syntax;
    CHECK(is_syntax == (lines[i]["error"] == "syntax"));
  }
}

TEST_CASE("chat template: errors say line and reason") {
  const DataValue variables = DataValue::make_dict();
  const auto status_of = [&](const char* source) { return render(source, variables).status(); };

  const Status raised =
      status_of("a\n{% if true %}\n{{ raise_exception('roles must alternate') }}{% endif %}");
  CHECK(raised.cause() == Cause::template_error);
  CHECK(raised.detail().subject == "chat template line 3");
  CHECK(raised.detail().message == "roles must alternate");

  const Status undefined = status_of("\n{{ message.content + 'x' }}");
  CHECK(undefined.detail().subject == "chat template line 2");
  CHECK(undefined.detail().message == "'message' is undefined");

  const Status syntax = status_of("{% for x in y %}\n\n{% endif %}");
  CHECK(syntax.cause() == Cause::template_syntax);
  CHECK(syntax.detail().subject == "chat template line 3");

  const Status in_macro = status_of("{% macro f() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ f() }}");
  CHECK(in_macro.detail().subject == "chat template line 2");
  CHECK(in_macro.detail().message == "division by zero");

  CHECK(status_of("{{ raise_exception('a\nb\x1b[0m') }}").detail().message == "a b [0m");
}

TEST_CASE("chat template: variables must be a dict") {
  CHECK(render("x", DataValue::make_list()).status().cause() == Cause::invalid_argument);
}

TEST_CASE("chat template: the source stays as it was given") {
  const auto parsed = ChatTemplate::parse("a\r\nb\n");
  REQUIRE(parsed.ok());
  CHECK((*parsed)->source() == "a\r\nb\n");
  const auto text = (*parsed)->render(DataValue::make_dict(), golden_time());
  CHECK(text.value().text == "a\nb");
}

TEST_CASE("chat template: where JSON or 64 bits end, there is an error") {
  const DataValue variables =
      DataValue::make_dict({{"nan", DataValue(0.0 / 0.0)}, {"bad", DataValue("\xff")}});
  for (const char* source :
       {"{{ nan|tojson }}", "{{ bad|tojson }}", "{{ 9223372036854775807 + 1 }}", "{{ 10 ** 19 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ '99999999999999999999'|int }}"}) {
    CAPTURE(source);
    CHECK(render(source, variables).status().cause() == Cause::template_error);
  }
  CHECK(render("{{ bad }}{{ bad|length }}", variables).value().text ==
        "\xff"
        "1");
  CHECK(render("{{ (-9223372036854775807 - 1) % -1 }}", variables).value().text == "0");
}

// Hostile values, sizes and searches in templates: within a second and 64 MiB, typed.
#include <doctest/doctest.h>

#include "tests/template_limits.h"

using namespace larder;
using namespace larder::formats;
using namespace larder::tests;

TEST_CASE("template catalogue T15 to T19: comparisons, arithmetic, slices, literals") {
  CHECK(text_of("{{ [1, 2, 3, 4] == [1] }}{{ {'a': 1, 'b': 2} == {'a': 1} }}") == "FalseFalse");
  for (const char* expression :
       {"1 // 0", "1 % 0", "1 / 0", "1.0 / 0", "(-9223372036854775807 - 1) // -1",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1)|abs", "9223372036854775807 * 2",
        "2 ** 64", "'abc'[::0]", "'abc'.split('')", "10 ** 400", "1e308 ** 2", "1e300|int"}) {
    check_cause("{{ " + std::string(expression) + " }}", Cause::template_error);
  }
  CHECK(text_of("{{ 'abc'[-100000000000:100000000000] }}") == "abc");
  CHECK(text_of("{{ 'abc'[9223372036854775807:] }}{{ 'abc'[::9223372036854775807] }}") == "a");
  CHECK(text_of("{{ 'abc'[::-9223372036854775807] }}{{ [1][-9223372036854775807 - 1:] }}") ==
        "c[1]");
  CHECK(text_of("{{ [1][100000000000] is defined }}{{ 'a'[-5] is defined }}") == "FalseFalse");
  CHECK(text_of("{{ 'abc'.replace('', 'x') }}") == "xaxbxcx");
  check_cause("{{ 100000000000000000000000 }}", Cause::template_syntax);
  check_cause("{{ 1e999 }}", Cause::template_syntax);
  CHECK(text_of("{{ '1e999'|float }}{{ '-1e-999'|float }}") == "inf-0.0");
}

TEST_CASE("template catalogue T20: raise_exception is the template's own error") {
  const Status status = status_of("{{ raise_exception('x') }}");
  CHECK(status.cause() == Cause::template_error);
  CHECK(status.detail().message == "x");
}

TEST_CASE("template catalogue T21: 300,000 expressions are linear or refused") {
  check_cause(repeated("{{1}}", 300000), Cause::template_limit);
  CHECK(text_of(repeated("{{1}}", 200000)).size() == 200000);
  const WithinLimits limits;
  const auto parsed = ChatTemplate::parse(repeated("{{1}}", 300000), {.source_bytes = 2 << 20});
  limits.check();
  CHECK(parsed.ok());
  CHECK(status_of("{{ [" + repeated("1,", 500000) + "] }}").ok());
  CHECK(status_of(repeated("{#", 500000)).cause() == Cause::template_syntax);
  CHECK(status_of(repeated("{%raw%}", 100000)).cause() == Cause::template_syntax);
  CHECK(status_of("{%raw%}" + repeated("{% endraw", 100000)).cause() == Cause::template_syntax);
  CHECK(status_of(repeated("{{ '{{", 100000)).cause() == Cause::template_syntax);
  CHECK(status_of(repeated("{", 1000000)).cause() == Cause::template_limit);
  CHECK(status_of(repeated("{ ", 500000)).ok());
  std::string names;
  for (int i = 0; i < 40000; ++i) names += "{% set a" + std::to_string(i) + "=1 %}";
  CHECK(status_of(names).ok());
}

TEST_CASE("template catalogue T22: NUL bytes and bytes that are no UTF-8 are kept") {
  CHECK(text_of(std::string("a\0b", 3)) == std::string("a\0b", 3));
  const DataValue variables = DataValue::make_dict(
      {{"messages", DataValue::make_list({message(std::string("\xff\0\xc3", 3))})}});
  CHECK(text_of("{{ messages[0].content }}", variables) == std::string("\xff\0\xc3", 3));
  CHECK(text_of("{{ messages[0].content|length }}{{ messages[0].content|upper|list|length }}",
                variables) == "33");
}

TEST_CASE("template catalogue T23: content of every shape, many messages, long messages") {
  const std::string chatml =
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content']|trim + "
      "'<|im_end|>' + '\n' }}{% endfor %}";
  DataValue many = DataValue::make_dict({{"messages", DataValue::make_list()}});
  for (int i = 0; i < 100000; ++i)
    many.dict[0].second.list.push_back(message(std::string(100, 'x')));
  CHECK(text_of(chatml, many).size() == 100000 * (100 + 28));
  const DataValue large = DataValue::make_dict(
      {{"messages", DataValue::make_list({message(std::string(10'000'000, 'x'))})}});
  CHECK(text_of(chatml, large).size() == 10'000'028);
  CHECK(text_of("{{ messages[0].content|tojson }}", large).size() == 10'000'002);
  CHECK(text_of("{% set c = messages[0].content %}{% set c = c.replace('y', 'z') %}{{ "
                "c.split('</think>')[-1].lstrip('\\n') }}",
                large)
            .size() == 10'000'000);
  const DataValue odd = DataValue::make_dict(
      {{"messages",
        DataValue::make_list(
            {DataValue::make_dict({{"role", "user"}, {"content", DataValue()}}),
             DataValue::make_dict({{"content", DataValue::make_list({DataValue::make_dict(
                                                   {{"type", "text"}, {"text", "t"}})})}})})}});
  CHECK(status_of(chatml, odd).cause() == Cause::template_error);
  CHECK(text_of("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}", odd) ==
        "userNone[{'type': 'text', 'text': 't'}]");
}

TEST_CASE("template catalogue T25: variables nested too deep, with duplicate keys, large") {
  DataValue deep;
  for (int i = 0; i < 100000; ++i) {
    DataValue outer = DataValue::make_list();
    outer.list.push_back(std::move(deep));
    deep = std::move(outer);
  }
  DataValue variables = DataValue::make_dict();
  variables.dict.emplace_back("tools", std::move(deep));
  CHECK(status_of("{{ tools|tojson }}", variables).cause() == Cause::template_limit);

  const DataValue twice =
      DataValue::make_dict({{"tools", DataValue::make_dict({{"a", 1}, {"a", 2}})}});
  CHECK(text_of("{{ tools.a }}{{ tools|length }}", twice) == "12");

  DataValue tools = DataValue::make_list();
  for (int i = 0; i < 10000; ++i) {
    tools.list.push_back(
        DataValue::make_dict({{"name", "f"}, {"description", std::string(1000, 'd')}}));
  }
  const DataValue large = DataValue::make_dict({{"tools", std::move(tools)}});
  CHECK(text_of("{{ tools|tojson }}", large).size() > 10'000'000);
  CHECK(status_of("{{ tools|tojson(indent=4)|length }}", large).ok());
}

TEST_CASE("template catalogue T26: what JSON cannot hold") {
  const DataValue variables = DataValue::make_dict({{"bad", "\xc3("}});
  CHECK(status_of("{{ bad|tojson }}", variables).cause() == Cause::template_error);
  check_cause("{{ ('nan'|float)|tojson }}", Cause::template_error);
  check_cause("{{ ('inf'|float)|tojson }}", Cause::template_error);
  check_cause("{{ range(3)|tojson }}", Cause::template_error);
}

TEST_CASE("template catalogue T27: dates and neighbours") {
  const DataValue variables =
      DataValue::make_dict({{"long", repeated("%Y", 100000)}, {"wide", repeated("%9999Y", 30000)}});
  CHECK(text_of("{{ strftime_now(long) }}", variables).size() == 400000);
  CHECK(status_of("{{ strftime_now(wide) }}", variables).cause() == Cause::template_limit);
  CHECK(text_of("{{ strftime_now('%') }}{{ strftime_now('%Q%-') }}") == "%%Q%-");
  CHECK(text_of("{% for x in [1] %}{{ loop.previtem is defined }}{% endfor %}") == "False");
  check_cause("{% for x in [1] %}{{ loop.previtem.x }}{% endfor %}", Cause::template_error);
}

TEST_CASE("template catalogue T28: each render starts afresh") {
  const auto parsed = ChatTemplate::parse(
      "{% macro m(x=namespace(n=0)) %}{% set x.n = x.n + 1 %}{{ x.n }}{% endmacro %}{{ m() }}{{ "
      "m() }}"
      "{% if seen is defined %}again{% endif %}{% set seen = 1 %}{% set c = cycler('a', 'b') %}{{ "
      "c.next() }}");
  REQUIRE(parsed.ok());
  const std::string first = (*parsed)->render(DataValue::make_dict(), golden_time())->text;
  CHECK(first == "11a");
  CHECK((*parsed)->render(DataValue::make_dict(), golden_time())->text == first);
}

TEST_CASE("template catalogue T29: nothing behind the values can be reached") {
  check_cause("{{ ''.__class__.__mro__ }}", Cause::template_error);
  check_cause("{{ [].__class__.__base__.__subclasses__() }}", Cause::template_error);
  check_cause("{{ '{0.__class__.__init__}'.format(1) }}", Cause::template_error);
  check_cause("{{ namespace.__init__.__globals__ }}", Cause::template_error);
  CHECK(text_of("{{ ''.__class__ is defined }}{{ ''['__class__'] }}{{ ''|attr('__class__') }}") ==
        "False");
}

TEST_CASE("template catalogue: quadratic searches stay linear") {
  for (const char* source :
       {"{% set s = 'a' * 1000000 %}{{ (s ~ 'c').find('a' * 500000 ~ 'b') }}",
        "{% set s = 'a' * 1000000 %}{{ ('b' ~ 'a' * 500000) in s }}",
        "{% set s = 'a' * 1000000 %}{{ s.split('a' * 500000 ~ 'b')|length }}",
        "{% set s = 'a' * 1000000 %}{{ s.replace('a' * 500000 ~ 'b', '')|length }}",
        "{% set s = 'a' * 1000000 %}{{ s.count('a' * 500000 ~ 'b') }}",
        "{% set s = ' ' * 1000000 %}{{ s|trim }}{{ s.split()|length }}{{ s|title|length }}",
        "{% set s = '<' * 1000000 %}{{ s|striptags|length }}",
        "{% set s = '<!--' * 250000 %}{{ s|striptags|length }}",
        "{% set s = '&' * 1000000 %}{{ s|striptags|length }}",
        "{% set s = '{' * 100000 %}{{ s.format() }}",
        "{% set s = '{0[' * 100000 %}{{ s.format(1) }}",
        "{% set s = '%(' * 100000 %}{{ s % {} }}"}) {
    CAPTURE(source);
    const Status status = status_of(source);
    CHECK((status.ok() || status.cause() == Cause::template_error ||
           status.cause() == Cause::template_limit));
  }
  // rfind compares at every place: long needles are charged for it.
  for (const char* source :
       {"{% set s = 'a' * 1000000 %}{{ s.rfind('b' ~ 'a' * 500000) }}",
        "{% set s = 'a' * 1000000 %}{{ s.rsplit('b' ~ 'a' * 500000, 1)|length }}"}) {
    check_cause(source, Cause::template_limit);
  }
}

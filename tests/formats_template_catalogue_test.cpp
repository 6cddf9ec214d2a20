// Hostile templates: each ends within a second and 64 MiB with a typed result.
#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <new>

#include "tests/template_json.h"

using namespace larder;
using namespace larder::formats;
using namespace larder::tests;

namespace {

std::atomic<int64_t> g_live_bytes{0}, g_peak_bytes{0};

void* counted_alloc(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  const int64_t live = g_live_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  if (live > g_peak_bytes) g_peak_bytes = live;
  return memory;
}

void counted_free(void* memory) {
  if (memory != nullptr) g_live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return counted_alloc(size); }
void* operator new[](size_t size) { return counted_alloc(size); }
void operator delete(void* memory) noexcept { counted_free(memory); }
void operator delete[](void* memory) noexcept { counted_free(memory); }
void operator delete(void* memory, size_t) noexcept { counted_free(memory); }
void operator delete[](void* memory, size_t) noexcept { counted_free(memory); }

namespace {

#if defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr double kSlowdown = 10;  // of unoptimised or instrumented builds
#else
constexpr double kSlowdown = 1;
#endif

std::string repeated(const std::string& text, size_t n) {
  std::string out;
  out.reserve(text.size() * n);
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

DataValue message(const std::string& content) {
  return DataValue::make_dict({{"role", "user"}, {"content", content}});
}

// Runs inside the limits of time and memory; extra_bytes: what the variables let a render use.
template <class Run>
auto within_limits(Run run, int64_t extra_bytes = 0) {
  const int64_t live = g_live_bytes;
  g_peak_bytes = live;
  const std::clock_t start = std::clock();  // of the processor: the machine may be busy
  auto result = run();
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  CHECK(seconds < kSlowdown);
  CHECK(g_peak_bytes - live < (64 << 20) + extra_bytes);
  return result;
}

Status status_of(const std::string& source, const DataValue& variables = DataValue::make_dict()) {
  return within_limits([&] { return render(source, variables).status(); });
}

void check_cause(const std::string& source, Cause cause) {
  CAPTURE(source.substr(0, 200));
  const Status status = status_of(source);
  CHECK_MESSAGE(status.cause() == cause, status.to_string());
}

std::string text_of(const std::string& source,
                    const DataValue& variables = DataValue::make_dict()) {
  CAPTURE(source.substr(0, 200));
  const auto text = within_limits([&] { return render(source, variables); });
  CHECK_MESSAGE(text.ok(), text.status().to_string());
  return text.ok() ? text->text : "";
}

}  // namespace

TEST_CASE("template catalogue T01: sizes and encoding of the source") {
  CHECK(text_of("") == "");
  check_cause(std::string((1 << 20) + 1, 'x'), Cause::template_limit);
  CHECK(text_of(std::string(1 << 20, 'x')).size() == 1 << 20);
  const Status status = status_of("ab\xff");
  CHECK(status.cause() == Cause::utf8);
  CHECK(status.detail().offset == 2);
}

TEST_CASE("template catalogue T02, T03: what is no template is a syntax error with its line") {
  for (const char* source : {"{% if true %}", "{{", "{{ 'abc", "{# abc", "{% endfor %}", "{% if",
                             "{% raw %}", "{{ 1 }", "{{ x|nope }}", "{{ x is nope }}", "{% nope %}",
                             "{% import 'x' as y %}", "{% include 'x' %}", "{% extends 'x' %}",
                             "{% from 'x' import y %}", "{% macro %}", "{{ (1] }}", "{{ 1 2 }}"}) {
    check_cause(source, Cause::template_syntax);
    check_cause("\n\n" + std::string(source), Cause::template_syntax);
    CHECK(status_of("\n\n" + std::string(source)).detail().subject == "chat template line 3");
  }
}

TEST_CASE("template catalogue T04, T05: endless recursion stops at the depth limit") {
  check_cause("{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}", Cause::template_limit);
  check_cause(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      Cause::template_limit);
  check_cause("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", Cause::template_limit);
  check_cause("{% macro a() %}{% call a() %}{{ caller() }}{% endcall %}{% endmacro %}{{ a() }}",
              Cause::template_limit);
  check_cause(
      "{% macro m(x) %}{% if true %}{% for i in [1] %}{% set y %}{% filter upper %}"
      "{{ [[[[m(x)]]]]|map('string')|join }}{% endfilter %}{% endset %}{% endfor %}{% endif %}"
      "{% endmacro %}{{ m(1) }}",
      Cause::template_limit);
  // A closure that nests its own scope with every call.
  check_cause(
      "{% set ns = namespace() %}{% macro f() %}{% macro g() %}{{ 1 }}{% endmacro %}"
      "{% set ns.f = g %}{% endmacro %}{% for i in range(20000) %}{{ f() }}{% endfor %}",
      Cause::ok);
}

TEST_CASE("template catalogue T06: nesting of 20,000") {
  const size_t n = 20000;
  check_cause("{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}", Cause::template_limit);
  check_cause("{{ " + repeated("[", n) + repeated("]", n) + " }}", Cause::template_limit);
  check_cause("{{ " + repeated("{1:", n) + "1" + repeated("}", n) + " }}", Cause::template_limit);
  check_cause(repeated("{% if 1 %}", n) + repeated("{% endif %}", n), Cause::template_limit);
  check_cause(repeated("{% for x in y %}", n) + repeated("{% endfor %}", n), Cause::template_limit);
  check_cause("{{ " + repeated("1 if 0 else ", n) + "1 }}", Cause::template_limit);
  check_cause("{{ 1" + repeated(" if 0", n) + " }}", Cause::template_limit);
  check_cause("{{ " + repeated("f(", n) + repeated(")", n) + " }}", Cause::template_limit);
  check_cause("{{ " + repeated("x[", n) + repeated("]", n) + " }}", Cause::template_limit);
  check_cause("{% set " + repeated("(", n) + "x" + repeated(")", n) + " = 1 %}",
              Cause::template_limit);
  check_cause(repeated("{% if 1 %}", n), Cause::template_limit);
  check_cause("{{ " + repeated("(", n), Cause::template_limit);
  check_cause("{{ " + repeated("[", 150) + repeated("]", 150) + " }}", Cause::ok);
}

TEST_CASE("template catalogue T07: chains of 20,000 links need no stack") {
  const size_t n = 20000;
  CHECK(text_of("{{ " + repeated("not ", n) + "1 }}") == "True");
  CHECK(text_of("{{ " + repeated("- ", n) + "1 }}") == "1");
  check_cause("{{ a" + repeated(".a", n) + " }}", Cause::template_error);  // of an undefined value
  CHECK(text_of("{{ 'a'" + repeated("|upper", n) + " }}") == "A");
  CHECK(text_of("{{ " + repeated("1+", n) + "1 }}") == "20001");
  CHECK(text_of("{{ " + repeated("'a'~", n) + "'a' }}").size() == n + 1);
  CHECK(text_of("{{ " + repeated("'a'+", n) + "'a' }}").size() == n + 1);
  CHECK(text_of("{{ " + repeated("1 and ", n) + "2 }}") == "2");
  CHECK(text_of("{{ " + repeated("0 or ", n) + "2 }}") == "2");
  CHECK(text_of("{{ " + repeated("1 <= ", n) + "2 }}") == "True");
  CHECK(text_of("{% if 0 %}" + repeated("{% elif 0 %}", n) + "{% else %}x{% endif %}") == "x");
  check_cause("{{ 1" + repeated(" is odd", n) + " }}", Cause::template_syntax);
  check_cause("{{ a" + repeated("()", n) + " }}", Cause::template_error);
  check_cause("{{ a" + repeated("[0]", n) + " }}", Cause::template_error);
  CHECK(text_of("{{ " + repeated("'a' ", n) + " }}").size() == n);
}

TEST_CASE("template catalogue T08, T09: ranges") {
  check_cause("{% for i in range(1000000000) %}{% endfor %}", Cause::template_limit);
  check_cause("{{ range(1000000000)|list }}", Cause::template_limit);
  check_cause("{{ range(-9223372036854775807, 9223372036854775807)|list }}", Cause::template_limit);
  check_cause("{{ range(0, 10, 0) }}", Cause::template_error);
  check_cause("{{ range(1000001) }}", Cause::template_limit);
  CHECK(text_of("{{ range(1000000)|length }}") == "1000000");
  CHECK(text_of("{{ range(0, -9223372036854775807, -9223372036854775807)|list }}") == "[0]");
}

TEST_CASE("template catalogue T10: loops in loops stop at the step limit") {
  check_cause(
      "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(100) %}"
      "{% endfor %}{% endfor %}{% endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set l = range(1000)|list %}{% for a in range(100000) %}{{ l|sort|length }}{% endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set l = range(100000)|list %}{% for a in range(100000) %}{{ l == range(100000)|list }}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set s = 'ab' * 1000000 %}{% for a in range(1000000) %}{% if s.find('c') > 0 %}{% endif "
      "%}{% endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set s = 'ab' * 1000000 %}{% for a in range(1000000) %}{% if s|length > 0 %}{% endif %}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set s = 'a' * 1000000 %}{% for a in range(1000000) %}{% if s|upper %}{% endif %}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set s = 'a' * 1000000 %}{% for a in range(1000000) %}{% if s == s ~ 'b' %}{% endif %}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause(repeated("{% with %}", 150) +
                  "{% set v = namespace() %}{% for a in range(1000) %}{% for b in range(1000) %}{% "
                  "if x and y and z %}{% endif %}"
                  "{% if x is defined or y is defined %}{% endif %}{% if a == b + a - b * 1 %}{% "
                  "endif %}{% endfor %}{% endfor %}" +
                  repeated("{% endwith %}", 150),
              Cause::template_limit);
}

TEST_CASE("template catalogue T11, T12: strings that grow") {
  check_cause(
      "{% set ns = namespace(s='aa') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause(
      "{% set ns = namespace(s='aa') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% "
      "endfor %}",
      Cause::template_limit);
  check_cause("{% for i in range(1000) %}{{ 'a' * 1000000 }}{% endfor %}", Cause::template_limit);
  for (const char* expression : {"'a' * 10000000000",
                                 "10000000000 * 'a'",
                                 "[1] * 10000000000",
                                 "'a\nb'|indent(2000000000)",
                                 "'%999999999s'|format(1)",
                                 "'%999999999d' % 1",
                                 "'%.999999999f' % 1.5",
                                 "'%.999999999d' % 1",
                                 "'%*d' % (999999999, 1)",
                                 "'{:999999999}'.format('a')",
                                 "'{:>999999999}'.format(1)",
                                 "'a'.center(2000000000)",
                                 "'a'.ljust(2000000000)",
                                 "'a'.zfill(2000000000)",
                                 "'\t'.expandtabs(2000000000)",
                                 "'a'|center(2000000000)",
                                 "[1]|batch(2000000000, 'x')|list",
                                 "[1]|slice(2000000000)|list",
                                 "[1]|tojson(indent=2000000000)",
                                 "('a' * 1000000).replace('a', 'b' * 100)",
                                 "('a,' * 1000000).split(',')",
                                 "('a' * 1000000)|list",
                                 "(('ab' * 1000) * 100)|replace('', 'x' * 1000)",
                                 "('a' * 1000000).join(('b' * 100)|list)"}) {
    check_cause("{{ " + std::string(expression) + " }}", Cause::template_limit);
  }
  CHECK(text_of("{{ '%.400f' % 1.5 }}").size() == 402);
}

TEST_CASE(
    "template catalogue T13, T14: values cannot hold themselves, namespaces may without harm") {
  check_cause("{% set l = [] %}{{ l.append(l) }}{{ l }}", Cause::template_error);
  check_cause("{% set d = {} %}{{ d.update(a=d) }}", Cause::template_error);
  CHECK(text_of("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns.ns.ns == ns }}") == "True");
  check_cause("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}", Cause::template_limit);
  check_cause("{% set ns = namespace() %}{% set ns.ns = [ns] %}{{ ns }}", Cause::template_limit);
  check_cause("{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns|tojson }}",
              Cause::template_error);
  check_cause(
      "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor "
      "%}",
      Cause::template_limit);
  check_cause(
      "{% set ns = namespace(l={}) %}{% for i in range(100000) %}{% set ns.l = {'a': ns.l} %}{% "
      "endfor %}",
      Cause::template_limit);
  // A chain of namespaces is freed without recursion.
  CHECK(status_of("{% set ns = namespace(n=none) %}{% for i in range(20000) %}{% set m = "
                  "namespace(n=ns.n) %}"
                  "{% set ns.n = m %}{% endfor %}")
            .ok());
}

TEST_CASE("template catalogue: renders leave no memory behind") {
  const int64_t live = g_live_bytes;
  for (const char* source :
       {"{% set ns = namespace() %}{% set ns.ns = [ns, {'a': ns}] %}",
        "{% macro m() %}{{ m }}{% endmacro %}{% set x = m %}",
        "{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}{{ loop }}{% endmacro %}{% "
        "set ns.m = m %}{% set ns.l = loop %}{% endfor %}{{ ns.m() }}",
        "{% set ns = namespace() %}{% set ns.ns = ns %}{{ 1 // 0 }}",
        "{{ raise_exception('x') }}"}) {
    (void)render(source, DataValue::make_dict()).ok();
  }
  CHECK(g_live_bytes == live);
}

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
  const auto parsed = within_limits(
      [] { return ChatTemplate::parse(repeated("{{1}}", 300000), {.source_bytes = 2 << 20}); });
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

// Hostile templates that nest, loop and grow: each ends within a second and 64 MiB, typed.
#include <doctest/doctest.h>

#include "tests/template_limits.h"

using namespace larder;
using namespace larder::formats;
using namespace larder::tests;

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
  const int64_t live = live_bytes();
  for (const char* source :
       {"{% set ns = namespace() %}{% set ns.ns = [ns, {'a': ns}] %}",
        "{% macro m() %}{{ m }}{% endmacro %}{% set x = m %}",
        "{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}{{ loop }}{% endmacro %}{% "
        "set ns.m = m %}{% set ns.l = loop %}{% endfor %}{{ ns.m() }}",
        "{% set ns = namespace() %}{% set ns.ns = ns %}{{ 1 // 0 }}",
        "{{ raise_exception('x') }}"}) {
    (void)render(source, DataValue::make_dict()).ok();
  }
  CHECK(live_bytes() == live);
}

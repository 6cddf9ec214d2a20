// What somebody said stays marked as theirs, whatever the template does with it.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "tests/template_json.h"

using namespace larder;
using namespace larder::formats;
using namespace larder::tests;

namespace {

DataValue conversation(const std::string& content) {
  return DataValue::make_dict(
      {{"messages",
        DataValue::make_list({DataValue::make_dict({{"role", "user"}, {"content", content}})})},
       {"bos_token", "<s>"}});
}

// The text with each input in square brackets.
std::string shown(const MarkedText& text) {
  std::string out;
  size_t at = 0;
  for (const ByteRange& range : text.inputs) {
    out += text.text.substr(at, range.begin - at) + "[" +
           text.text.substr(range.begin, range.end - range.begin) + "]";
    at = range.end;
  }
  return out + text.text.substr(at);
}

std::string shown(const std::string& expression, const std::string& content) {
  const auto text =
      render("{% set c = messages[0].content %}{{ " + expression + " }}", conversation(content));
  CHECK_MESSAGE(text.ok(), expression << ": " << text.status().to_string());
  return text.ok() ? shown(*text) : "";
}

void check_ranges(const MarkedText& text) {
  size_t end = 0;
  bool is_first = true;
  for (const ByteRange& range : text.inputs) {
    CHECK(range.begin < range.end);
    CHECK((is_first || range.begin > end));  // not even touching
    CHECK(range.end <= text.text.size());
    end = range.end;
    is_first = false;
  }
}

}  // namespace

TEST_CASE("marking: content is an input, the template's text and other variables are not") {
  const auto text = render(
      "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% "
      "endfor %}",
      conversation("<|im_end|><s>"));
  CHECK(shown(*text) == "<s><|im_start|>[user]\n[<|im_end|><s>]<|im_end|>");
}

TEST_CASE("marking: template syntax in content is inert") {
  const std::string content = "{{ raise_exception('x') }}{% endfor %}{# #}<|im_start|>";
  CHECK(shown("c", content) == "[" + content + "]");
}

TEST_CASE("marking: operators and filters carry the marks along") {
  struct Case {
    const char *expression, *content, *expected;
  };
  const Case cases[] = {
      {"'a' + c + 'b'", "xy", "a[xy]b"},
      {"'a' ~ c ~ 1", "xy", "a[xy]1"},
      {"c + c", "xy", "[xyxy]"},
      {"c * 2", "xy", "[xyxy]"},
      {"c[1:]", "xyz", "[yz]"},
      {"('ab' + c)[1:3]", "xyz", "b[x]"},
      {"('ab' + c)[::-1]", "xyz", "[zyx]ba"},
      {"c[0]", "xyz", "[x]"},
      {"c|trim", "  x ", "[x]"},
      {"c.strip('x')", "xax", "[a]"},
      {"c|upper", "ab\xc3\x9f", "[ABSS]"},
      {"('q' + c)|upper", "ab", "Q[AB]"},
      {"c|title", "ab cd", "[Ab Cd]"},
      {"(c + 'x').capitalize()", "ab", "[Ab]x"},
      {"c.split(',')|join('-')", "a,b", "[a]-[b]"},
      {"c.split()[1]", "a b", "[b]"},
      {"c.splitlines()|join('|')", "a\nb", "[a]|[b]"},
      {"c.partition('=')|join('#')", "a=b", "[a]#[=]#[b]"},
      {"c|replace('a', '<s>')", "bab", "[b]<s>[b]"},
      {"'<x>'.replace('x', c)", "s", "<[s]>"},
      {"'x-x'|replace('x', c)", "s", "[s]-[s]"},
      {"c.replace('', '-')", "ab", "-[a]-[b]-"},
      {"c|indent(2)", "a\nb", "[a]\n  [b]"},
      {"'a\nb'|indent(c)", "> ", "a\n[> ]b"},
      {"c|list|join", "ab", "[ab]"},
      {"c|reverse", "ab", "[ba]"},
      {"c|first ~ c|last", "abc", "[ac]"},
      {"c|e", "<b>", "[&lt;b&gt;]"},
      {"c|safe", "<b>", "[<b>]"},
      {"'<' + (c|safe)", "<b>", "&lt;[<b>]"},
      {"c|string", "x", "[x]"},
      {"c|center(5)", "x", "  [x]  "},
      {"'x'.center(3, c)", "*", "[*]x[*]"},
      {"c|truncate(3, true, '', 0)", "abcdef", "[abc]"},
      {"c|urlencode", "<", "[%3C]"},
      {"c|striptags", "<b>x</b>&lt;s&gt;", "[x<s>]"},
      {"[c]", "it's", "[\"[it's]\"]"},
      {"{'k': c}", "a\nb", "{'k': '[a\\nb]'}"},
      {"{c: 1}", "k", "{'[k]': 1}"},
      {"c|tojson", "a\"\n<s>", "\"[a\\\"\\n<s>]\""},
      {"[c, 1]|tojson(indent=1)", "x", "[\n \"[x]\",\n 1\n]"},
      {"{}|tojson ~ [1]|tojson(indent=c)", "x", "{}[\n[x]1\n]"},
      {"[1, 2]|tojson(separators=(c, ':'))", ";", "[1[;]2]"},
      {"c|tojson(ensure_ascii=true)", "\xc3\xa9", "\"[\\u00e9]\""},
      {"'%s!' % c", "x", "[x]!"},
      {"c % 5", "n=%d", "[n=]5"},
      {"'{}!'.format(c)", "x", "[x]!"},
      {"c.format(5)", "n={}", "[n=]5"},
      {"c.format(5)", "{:<>3}", "[<<5]"},
      {"c.format('s')", "{:<>3}", "[<<s]"},
      {"'%c' % 60", "x", "[<]"},
      {"'{:c}'.format(60)", "x", "[<]"},
      {"'%s'|format(c)", "x", "[x]"},
      {"'%r' % [c]", "x", "['[x]']"},
      {"'%-3s|' % c", "x", "[x]  |"},
      {"strftime_now(c)", "<%d>", "[<10>]"},
      {"c.join(['a', 'b'])", "-", "a[-]b"},
      {"[c, 'a']|join(c)", "-", "[--]a"},
      {"[c]|map('upper')|first", "x", "[X]"},
      {"messages|map(attribute='content')|join", "x", "[x]"},
      {"(messages|groupby('content'))[0].grouper", "x", "[x]"},
      {"[c, 'b']|sort|join(',')", "a", "[a],b"},
      {"[c, c]|unique|list|length", "a", "1"},
      {"c.expandtabs(2)", "a\tb", "[a b]"},
      {"c.zfill(3)", "x", "00[x]"},
      {"c.removeprefix('a')", "ab", "[b]"},
      {"c if true else 'x'", "a", "[a]"},
      {"c or 'x'", "a", "[a]"},
      {"'x' and c", "a", "[a]"},
      {"none|default(c, true)", "a", "[a]"},
      {"namespace(x=c).x", "a", "[a]"},
      {"dict(k=c).k", "a", "[a]"},
      {"[c]|sum(start='')  if false else c", "a", "[a]"},
      {"c|length", "abc", "3"},
      {"c == 'abc'", "abc", "True"},
      {"{'a': c}|dictsort|first|last", "x", "[x]"},
      {"{'a': c}|xmlattr", "<", " a=\"[&lt;]\""},
      {"{'a': c}|items|list|string", "x", "[('a', '[x]')]"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.expression);
    CHECK(shown(c.expression, c.content) == c.expected);
  }
}

TEST_CASE("marking: macros, calls and blocks keep the marks") {
  const std::string sources[] = {
      "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[0].content) }}",
      "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}{{ messages[0].content }}{% "
      "endcall %}",
      "{% set x %}<{{ messages[0].content }}>{% endset %}{{ x }}",
      "{% filter trim %}<{{ messages[0].content }}>{% endfilter %}",
      "{% generation %}<{{ messages[0].content }}>{% endgeneration %}",
      "{% set ns = namespace(t='<') %}{% for m in messages %}{% set ns.t = ns.t + m.content %}{% "
      "endfor %}{{ ns.t + '>' }}",
      "{% for m in messages recursive %}<{{ m.content }}>{% endfor %}",
      "{% for k, v in messages[0].items() if k == 'content' %}<{{ v }}>{% endfor %}",
  };
  for (const std::string& source : sources) {
    CAPTURE(source);
    CHECK(shown(*render(source, conversation("a<s>b"))) == "<[a<s>b]>");
  }
}

TEST_CASE("marking: appending to a shared string does not disturb its other owners") {
  const auto text = render(
      "{% set a = 'x' ~ messages[0].content %}{% set b = a + '1' %}{% set d = a + "
      "messages[0].content %}"
      "{{ a }} {{ b }} {{ d }} {{ (a + '2')[:2] + a }} {{ a + a }}",
      conversation("uv"));
  CHECK(shown(*text) == "x[uv] x[uv]1 x[uvuv] x[u]x[uv] x[uv]x[uv]");
}

TEST_CASE("marking: tools and documents are inputs with their keys") {
  const DataValue variables = DataValue::make_dict(
      {{"tools", DataValue::make_list({DataValue::make_dict({{"<s>", "<e>"}})})},
       {"documents", DataValue::make_list({DataValue("doc")})},
       {"other", "plain"}});
  CHECK(shown(*render("{{ tools|tojson }}{{ documents[0] }}{{ other }}", variables)) ==
        "[{\"[<s>]\": \"[<e>]\"}][doc]plain");
}

TEST_CASE("marking: in every real template the specials of content stay inside inputs") {
  const std::string folder = std::string(LARDER_SHARED_DIR) + "/templates/";
  if (!std::filesystem::exists(folder + "golden_renders.jsonl")) {
    MESSAGE("no reference data in " << folder);
    return;
  }
  // Survives trimming, splitting at tags of templates, escaping in JSON and title case alike.
  const std::string secret = "<|zzspecialzz|>";
  Json conversation = Json::parse(read_text(folder + "conversations.json"))["multi_turn"];
  for (Json& message : conversation["messages"]) message["content"] = "say " + secret + " now";
  const DataValue variables = to_data(conversation);
  size_t n_found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "real")) {
    if (entry.path().extension() != ".jinja") continue;
    CAPTURE(entry.path().string());
    const auto text = render(read_text(entry.path().string()), variables);
    if (!text.ok()) continue;
    check_ranges(*text);
    for (size_t at = text->text.find(secret); at != std::string::npos;
         at = text->text.find(secret, at + 1)) {
      ++n_found;
      CHECK(std::any_of(text->inputs.begin(), text->inputs.end(), [&](const ByteRange& range) {
        return range.begin <= at && at + secret.size() <= range.end;
      }));
    }
  }
  CHECK(n_found > 150);
}

// The parts of the program that need no model.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "apps/history_file.h"
#include "apps/npy.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/terminal.h"
#include "apps/transcript.h"
#include "apps/word_wrap.h"
#include "formats/json/json.h"
#include "tests/child_process.h"

using larder::Cause;
using larder::apps::HistoryFile;
using larder::formats::DataValue;
using larder::formats::parse_json;
using larder::formats::to_json;
using larder::tests::TemporaryFolder;

namespace {

std::string again(const std::string& text) {
  const auto value = parse_json(text);
  REQUIRE_MESSAGE(value.ok(), value.status().to_string());
  return to_json(*value);
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

TEST_CASE("json: values come back as they were, members in order") {
  for (const char* text : {"null", "true", "-7", "1.5", "\"a\\n\\u00e9\"", "[]", "{}",
                           "{\"b\":1,\"a\":[null,{\"x\":\"\"}],\"c\":{}}", "9223372036854775807",
                           "-9223372036854775808"}) {
    CAPTURE(text);
    CHECK(again(again(text)) == again(text));
  }
  CHECK(again("{\"b\":1,\"a\":2}") == "{\"b\":1,\"a\":2}");
  CHECK(again(" [ 1 , 2 ] ") == "[1,2]");
  CHECK(parse_json("18446744073709551615")->kind == DataValue::Kind::real);
}

TEST_CASE("json: of repeated names the last value stands, where the first stood") {
  CHECK(again("{\"a\":1,\"b\":2,\"a\":3}") == "{\"a\":3,\"b\":2}");
}

TEST_CASE("json: malformed text is an error with its place") {
  const auto cause = [](const std::string& text) {
    const auto value = parse_json(text);
    CAPTURE(text);
    REQUIRE(!value.ok());
    return value.status().cause();
  };
  CHECK(cause("") == Cause::truncated);
  CHECK(cause("[1,") == Cause::truncated);
  CHECK(cause("[1]]") == Cause::array);
  CHECK(cause("{\"a\" 1}") == Cause::array);
  CHECK(cause("nul") == Cause::array);
  CHECK(cause("\"\xff\"") == Cause::utf8);
  CHECK(parse_json("[1, x]").status().detail().offset == 4);
}

TEST_CASE("json: nesting is bounded, however deep the text") {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(parse_json(nested(larder::formats::kMaxJsonDepth)).ok());
  for (const size_t depth : {size_t{larder::formats::kMaxJsonDepth} + 1, size_t{100000}}) {
    CHECK(parse_json(nested(depth)).status().cause() == Cause::limit);
  }
}

TEST_CASE("json: what JSON cannot say is said harmlessly") {
  CHECK(to_json(DataValue(std::numeric_limits<double>::quiet_NaN())) == "null");
  CHECK(to_json(DataValue("a\xff"
                          "b")) ==
        "\"a\xef\xbf\xbd"
        "b\"");
}

TEST_CASE("npy: the header is a multiple of 64 bytes and says its own length") {
  for (const auto& [rows, cols] : {std::pair{1, 4096}, std::pair{123456, 200064}}) {
    const std::string header = larder::apps::npy_header(rows, cols);
    CHECK(header.size() % 64 == 0);
    CHECK(header.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(header[i]); };
    CHECK(10 + byte(8) + 256 * byte(9) == static_cast<int>(header.size()));
    CHECK(header.back() == '\n');
    CHECK(header.find("(" + std::to_string(rows) + ", " + std::to_string(cols) + ")") !=
          std::string::npos);
  }
}

TEST_CASE("terminal: a model's text cannot drive the screen") {
  using larder::apps::for_terminal;
  const std::string bad = "\xef\xbf\xbd";
  CHECK(for_terminal("a\tb\nc \xc3\xa9\xe2\x82\xac") == "a\tb\nc \xc3\xa9\xe2\x82\xac");
  CHECK(for_terminal("\x1b[2J") == bad + "[2J");
  CHECK(for_terminal("\r\b\x7f") == bad + bad + bad);
  CHECK(for_terminal("\xc2\x9b"
                     "31m") == bad + "31m");  // a CSI in one character
  CHECK(for_terminal("\xc2\xa0\xc2") == "\xc2\xa0\xc2");
}

TEST_CASE("terminal: a file has no colour unless it is asked for") {
  using larder::apps::ColorMode;
  using larder::apps::Terminal;
  const int null = open("/dev/null", O_WRONLY);
  CHECK(!Terminal(null, ColorMode::automatic).has_color());
  CHECK(Terminal(null, ColorMode::on).has_color());
  CHECK(!Terminal(null, ColorMode::on).is_terminal());
  CHECK(!Terminal(null, ColorMode::off).has_color());
  close(null);
}

TEST_CASE("progress: part, count and time left, no wider than the screen") {
  using larder::apps::progress_text;
  const std::string half = progress_text("prompt", 50, 100, 10, 200);
  CHECK(half.find("50 %") != std::string::npos);
  CHECK(half.find("50/100") != std::string::npos);
  CHECK(half.find("10 s left") != std::string::npos);
  CHECK(progress_text("prompt", 1, 100, 2, 200).find("3 min 18 s left") != std::string::npos);
  CHECK(progress_text("prompt", 100, 100, 10, 200).find("left") == std::string::npos);
  CHECK(progress_text("prompt", 0, 0, 0, 200).find("0 %") != std::string::npos);
  CHECK(progress_text("prompt", 50, 100, 10, 30).size() == 30);
}

TEST_CASE("history: entries are kept across runs, one line each, for the owner alone") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/state/larder/history";
  const HistoryFile history(path);
  CHECK(history.load().empty());
  history.append("one");
  history.append(larder::apps::to_one_line("two\nlines"));
  const auto entries = HistoryFile(path).load();
  REQUIRE(entries.size() == 2);
  CHECK(larder::apps::from_one_line(entries[1]) == "two\nlines");
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  chmod(path.c_str(), 0644);
  history.append("three");
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("history: its size is bounded, the newest stay") {
  const TemporaryFolder folder;
  const HistoryFile history(folder.path() + "/history");
  history.append(std::string(HistoryFile::kMaxEntryBytes + 1, 'x'));
  CHECK(history.load().empty());
  const std::string entry(1000, 'y');
  for (int i = 0; i < 300; ++i) history.append(entry + std::to_string(i));
  const auto entries = history.load();
  CHECK(entries.back() == entry + "299");
  CHECK(content(folder.path() + "/history").size() <= HistoryFile::kMaxBytes);
  struct stat info {};
  REQUIRE(stat((folder.path() + "/history").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("token ids: commas, blanks and lines between; anything else is named") {
  using larder::apps::parse_ids;
  CHECK(*parse_ids("1, 2\n3 -1") == std::vector<int32_t>{1, 2, 3, -1});
  CHECK(parse_ids("")->empty());
  for (const char* text : {"1,x", "1.5", "99999999999", "1;2"}) {
    CAPTURE(text);
    CHECK(parse_ids(text).status().cause() == Cause::invalid_argument);
  }
}

namespace {

// However the text is cut into pieces, the result is the same.
std::string wrapped(const std::string& text, int columns) {
  std::string whole;
  for (size_t n = 1; n <= text.size(); ++n) {
    larder::apps::WordWrap wrap;
    std::string result;
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(at + n, text.size());
      while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;  // whole characters
      result += wrap.push(text.substr(at, end - at), columns);
      at = end;
    }
    result += wrap.finish();
    if (whole.empty()) whole = result;
    CHECK(result == whole);
  }
  return whole;
}

}  // namespace

TEST_CASE("word wrap: lines break between words, and the blank there is not shown") {
  CHECK(wrapped("aaa bbb ccc", 7) == "aaa bbb\nccc");
  CHECK(wrapped("aaa bbb ccc", 8) == "aaa bbb\nccc");
  CHECK(wrapped("aaa bbb ccc", 11) == "aaa bbb ccc");
  CHECK(wrapped("a\n\nb c\n", 3) == "a\n\nb c\n");
  CHECK(wrapped("  - one two", 8) == "  - one\ntwo");
}

TEST_CASE("word wrap: a word wider than the line begins one and is left to the terminal") {
  CHECK(wrapped("see https://example.org/path now", 10) == "see\nhttps://example.org/path\nnow");
}

TEST_CASE("word wrap: wide characters take two columns and break anywhere") {
  const std::string wide = "\u65e5\u672c\u8a9e\u65e5\u672c";
  CHECK(wrapped(wide, 5) == "\u65e5\u672c\n\u8a9e\u65e5\n\u672c");
  CHECK(larder::apps::char_columns(U'a') == 1);
  CHECK(larder::apps::char_columns(0x65e5) == 2);
  CHECK(larder::apps::char_columns(0x301) == 0);
  CHECK(wrapped("cafe\u0301 x", 6) == "cafe\u0301 x");
}

TEST_CASE("word wrap: code and tables keep their lines") {
  const std::string code = "```c\nint main() { return 0; }\n```\n";
  CHECK(wrapped(code + "aa bb cc", 5) == code + "aa bb\ncc");
  const std::string table = "| a | b | c | d |\n";
  CHECK(wrapped(table, 6) == table);
  CHECK(wrapped("    x = y + z;\n", 6) == "    x = y + z;\n");
  CHECK(wrapped("~~~\n``` a b c d e\n~~~\na b c\n", 4) == "~~~\n``` a b c d e\n~~~\na b\nc\n");
}

TEST_CASE("output: a file is whole or as it was") {
  const TemporaryFolder folder;
  const std::string path = folder.file("result", "old");
  {
    auto output = larder::apps::Output::open(path);
    REQUIRE(output.ok());
    output->write("half");
    CHECK(content(path) == "old");
  }
  CHECK(content(path) == "old");
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  {
    auto output = larder::apps::Output::open(path);
    REQUIRE(output.ok());
    output->write("new");
    CHECK(output->finish().ok());
  }
  CHECK(content(path) == "new");
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0640);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 1);
}

TEST_CASE("transcript: a conversation comes back as it was") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/talk.json";
  const std::vector<larder::runtime::Message> messages = {
      {"system", "Be kind."},
      {"user", "Hi \"there\"\n"},
      {"assistant", "Hello.", "why", {{"functions.f", "{\"a\":1}"}}}};
  REQUIRE(larder::apps::save_messages(path, messages).ok());
  const auto loaded = larder::apps::load_messages(path);
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().to_string());
  REQUIRE(loaded->size() == 3);
  CHECK((*loaded)[1].content == "Hi \"there\"\n");
  CHECK((*loaded)[2].thinking == "why");
  REQUIRE((*loaded)[2].calls.size() == 1);
  CHECK((*loaded)[2].calls[0].name == "f");
  CHECK((*loaded)[2].calls[0].arguments == "{\"a\":1}");

  const auto cause = [&](const std::string& text) {
    return larder::apps::load_messages(folder.file("bad.json", text)).status().cause();
  };
  CHECK(cause("{}") == Cause::value_type);
  CHECK(cause("[1]") == Cause::value_type);
  CHECK(cause("[{\"content\": \"x\"}]") == Cause::value_type);
  CHECK(cause("[{\"role\": \"user\", \"content\": 3}]") == Cause::value_type);
  CHECK(cause(R"([{"role": "user", "content": [{"type": "text", "text": "a"}]}])") == Cause::ok);
  CHECK(cause(R"([{"role": "user", "content": [{"type": "image_url", "image_url": "a"}]}])") ==
        Cause::unsupported);
  CHECK(larder::apps::save_messages(path, messages, std::vector{path}).cause() ==
        Cause::invalid_argument);
  CHECK(larder::apps::load_messages(folder.path() + "/absent").status().cause() == Cause::io);
}

#include "tests/source_tree.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

namespace larder::tests {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Splits a source into code and literals.
class Stripper {
 public:
  Stripper(const std::string& text, SourceFile& file) : text_(text), file_(file) {}

  void strip() {
    while (at_ < text_.size()) step();
  }

 private:
  bool looking_at(std::string_view token) const {
    return text_.compare(at_, token.size(), token) == 0;
  }

  void step() {
    if (looking_at("//")) return skip_to("\n", 0);
    if (looking_at("/*")) return skip_to("*/", 2);
    if (looking_at("R\"")) return raw_literal();
    const char c = text_[at_];
    // An apostrophe behind a digit or letter separates digits.
    if (c == '"' || (c == '\'' && (at_ == 0 || !is_word(text_[at_ - 1])))) return literal(c);
    file_.code += c;
    ++at_;
  }

  // Skips to the end of `token`, keeping newlines; `length` of the token are skipped too.
  void skip_to(std::string_view token, size_t length) {
    const size_t found = text_.find(token, at_ + length);
    leave(found == std::string::npos ? text_.size() : found + length);
  }

  void leave(size_t end) {
    file_.code.append(
        static_cast<size_t>(std::count(text_.begin() + static_cast<ptrdiff_t>(at_),
                                       text_.begin() + static_cast<ptrdiff_t>(end), '\n')),
        '\n');
    at_ = end;
  }

  void literal(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') {
      end += text_[end] == '\\' ? 2 : 1;
    }
    if (quote == '"') file_.literals.push_back(text_.substr(at_ + 1, end - at_ - 1));
    file_.code += {quote, quote};
    leave(std::min(end + 1, text_.size()));
  }

  void raw_literal() {
    const size_t open = text_.find('(', at_);
    const std::string close = ")" + text_.substr(at_ + 2, open - at_ - 2) + "\"";
    const size_t end = std::min(text_.find(close, open), text_.size() - close.size());
    file_.literals.push_back(text_.substr(open + 1, end - open - 1));
    file_.code += "\"\"";
    leave(end + close.size());
  }

  const std::string& text_;
  SourceFile& file_;
  size_t at_ = 0;
};

// Include directives are taken out first, because their quotes are no literals.
std::string without_includes(const std::string& text, std::vector<std::string>& includes) {
  std::string rest;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(at, end - at);
    if (line.rfind("#include ", 0) == 0) {
      includes.push_back(line.substr(9, line.find_first_of("\">", 10) - 8));
    } else {
      rest += line;
    }
    rest += '\n';
    at = end + 1;
  }
  return rest;
}

std::vector<SourceFile> read_tree() {
  namespace fs = std::filesystem;
  std::vector<SourceFile> files;
  const fs::path top = LARDER_SOURCE_DIR;
  for (const char* room : {"formats", "quant", "runtime", "apps", "tests"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(top / room)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".c" && extension != ".cpp") continue;
      SourceFile& file = files.emplace_back();
      file.path = fs::relative(entry.path(), top).generic_string();
      file.room = room;
      file.text = read_source(file.path);
      Stripper(without_includes(file.text, file.includes), file).strip();
    }
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace

int SourceFile::n_lines() const {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

const std::vector<SourceFile>& source_tree() {
  static const std::vector<SourceFile> files = read_tree();
  return files;
}

std::string read_source(const std::string& path) {
  std::ifstream in(std::string(LARDER_SOURCE_DIR) + "/" + path, std::ios::binary);
  REQUIRE_MESSAGE(in.good(), path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> declared_functions() {
  const std::regex comment("//[^\n]*"), function(R"((larder_[a-z_]+)\()");
  std::set<std::string> all;
  for (const char* path : {"runtime/api/larder.h", "runtime/api/larder_batch.h"}) {
    // Comments know functions that no program can call.
    const std::string code = std::regex_replace(read_source(path), comment, "");
    for (std::sregex_iterator it(code.begin(), code.end(), function), end; it != end; ++it)
      all.insert((*it)[1]);
  }
  return all;
}

bool has_identifier(std::string_view code, std::string_view name) {
  for (size_t at = code.find(name); at != std::string_view::npos; at = code.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !is_word(code[at - 1])) && (end == code.size() || !is_word(code[end]))) {
      return true;
    }
  }
  return false;
}

}  // namespace larder::tests

// What the compiler made of the library, read from its object files.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Symbol {
  char type = ' ';  // as nm prints it: U undefined, W and V weak, u unique
  std::string name;
};

std::vector<std::string> library_objects() {
  std::ifstream in(LARDER_OBJECT_LIST);
  std::vector<std::string> paths;
  for (std::string line; std::getline(in, line);) paths.push_back(line);
  return paths;
}

std::vector<Symbol> symbols_of(const std::string& object) {
  const std::string command = std::string(LARDER_NM) + " --format=posix '" + object + "'";
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> piece;
  while (const size_t n = fread(piece.data(), 1, piece.size(), pipe)) text.append(piece.data(), n);
  REQUIRE_MESSAGE(pclose(pipe) == 0, object);

  std::vector<Symbol> symbols;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    Symbol& symbol = symbols.emplace_back();
    fields >> symbol.name >> symbol.type;
  }
  return symbols;
}

bool is_isa_object(const std::string& path) {
  return path.find("/isa/kernels_") != std::string::npos;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// A weak symbol may be merged with another object's of the same name. Harmless are the compiler's
// own constant reference, the sanitizers' and those whose very name says the instruction set.
bool may_be_weak(const std::string& name) {
  return name == "DW.ref.__gxx_personality_v0" || has(name, "_asan_") || has(name, "asan.") ||
         (name.rfind("_ZN5xsimd", 0) == 0 && has(name, "avx"));
}

}  // namespace

TEST_CASE("house: no weak symbol in the objects of an instruction set") {
  int n_objects = 0;
  for (const std::string& object : library_objects()) {
    if (!is_isa_object(object)) continue;
    ++n_objects;
    const std::vector<Symbol> symbols = symbols_of(object);
    CHECK(!symbols.empty());
    for (const Symbol& symbol : symbols) {
      const bool is_weak = has("WVu", std::string(1, symbol.type));
      CHECK_MESSAGE((!is_weak || may_be_weak(symbol.name)), object << ": " << symbol.name);
    }
  }
  CHECK(n_objects == 4);
}

TEST_CASE("house: an instruction set's object calls nothing but memory functions") {
  for (const std::string& object : library_objects()) {
    if (!is_isa_object(object)) continue;
    for (const Symbol& symbol : symbols_of(object)) {
      const bool is_std = symbol.type == 'U' &&
                          (symbol.name.rfind("_ZSt", 0) == 0 ||
                           symbol.name.rfind("_ZNSt", 0) == 0 || symbol.name.rfind("_Zn", 0) == 0);
      CHECK_MESSAGE((!is_std || symbol.name == "_ZSt9terminatev"), object << ": " << symbol.name);
    }
  }
}

TEST_CASE("house: the library's objects cannot print, exit or read the environment") {
  const std::vector<std::string> forbidden = {
      "printf",    "__printf_chk", "fprintf",       "__fprintf_chk", "vprintf",       "vfprintf",
      "puts",      "fputs",        "putchar",       "perror",        "stdout",        "stderr",
      "_ZSt4cout", "_ZSt4cerr",    "_ZSt4clog",     "exit",          "_exit",         "_Exit",
      "abort",     "quick_exit",   "atexit",        "getenv",        "secure_getenv", "setenv",
      "putenv",    "signal",       "__sysv_signal", "sigaction",     "raise",         "kill",
      "setlocale", "syslog",       "system",        "popen",         "fork",          "execve"};
  const std::vector<std::string> objects = library_objects();
  CHECK(objects.size() > 10);
  for (const std::string& object : objects) {
    for (const Symbol& symbol : symbols_of(object)) {
      for (const std::string& name : forbidden) {
        CHECK_MESSAGE(symbol.name != name, object << " calls " << name);
      }
    }
  }
}

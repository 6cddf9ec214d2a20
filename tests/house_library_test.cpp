// What liblarder shows to programs, read from the built library.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/source_tree.h"

namespace larder::tests {
namespace {

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> piece;
  while (const size_t n = fread(piece.data(), 1, piece.size(), pipe)) text.append(piece.data(), n);
  REQUIRE_MESSAGE(pclose(pipe) == 0, command);
  return text;
}

// Names without the versions behind '@'.
std::set<std::string> names(const std::string& options, const std::string& library) {
  std::istringstream lines(
      output_of(std::string(LARDER_NM) + " --format=posix " + options + " '" + library + "'"));
  std::set<std::string> all;
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find_first_of(" @"));
    if (!name.empty() && name.back() != ':') all.insert(name);
  }
  return all;
}

}  // namespace

TEST_CASE("house: the shared library exports what larder.h declares, and nothing else") {
  std::set<std::string> exported = names("--dynamic --defined-only", LARDER_SHARED_LIBRARY);
  CHECK(exported.erase("LARDER_1") == 1);  // the version itself
  CHECK(exported == declared_functions());
  CHECK(exported.size() > 50);
}

TEST_CASE("house: every export has the version of the ABI") {
  const std::string symbols = output_of(std::string(LARDER_NM) + " --dynamic --defined-only '" +
                                        LARDER_SHARED_LIBRARY + "'");
  std::istringstream lines(symbols);
  int n = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" T ") == std::string::npos) continue;
    ++n;
    CHECK_MESSAGE(line.find("@@LARDER_1") != std::string::npos, line);
  }
  CHECK(n > 50);
}

TEST_CASE("house: in the archive no other name is global") {
  std::set<std::string> global = names("--defined-only --extern-only", LARDER_ARCHIVE);
  global.erase(std::string(LARDER_ARCHIVE) + "[larder_all.o]");
  CHECK(global == declared_functions());
}

TEST_CASE("house: the library calls nothing that ends, prints or asks the environment") {
  const std::set<std::string> called = names("--dynamic --undefined-only", LARDER_SHARED_LIBRARY);
  CHECK(called.count("malloc") == 1);
  for (const char* name :
       {"abort",           "exit",         "_exit",     "_Exit",     "quick_exit",
        "_ZSt9terminatev", "signal",       "sigaction", "raise",     "kill",
        "printf",          "__printf_chk", "puts",      "putchar",   "stdout",
        "stderr",          "perror",       "_ZSt4cout", "_ZSt4cerr", "getenv",
        "secure_getenv",   "setenv",       "setlocale", "fork",      "__assert_fail"}) {
    // Debug builds keep their asserts.
    if (std::string(name) == "__assert_fail" && LARDER_HAS_ASSERTS) continue;
    CHECK_MESSAGE(called.count(name) == 0, std::string(name));
  }
}

TEST_CASE("house: larder.h states what it includes and defines") {
  const std::string header = read_source("runtime/api/larder.h");
  CHECK(header.find("#define") == std::string::npos);
  CHECK(header.find("#include <stddef.h>\n#include <stdint.h>\n") != std::string::npos);
  // Every enumerator is a number that nobody moves by putting one before it.
  const std::regex enumerator(R"(\n  (LARDER_[A-Z0-9_]+)( = [-0-9]+)?[,\n ])");
  for (std::sregex_iterator it(header.begin(), header.end(), enumerator), end; it != end; ++it)
    CHECK_MESSAGE((*it)[2].matched, (*it)[1].str());
}

}  // namespace larder::tests

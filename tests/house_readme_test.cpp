// Every command of the README is run: each ```sh block as one script, in a fresh directory, with
// the built program on the PATH and nobody at the keyboard.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/source_tree.h"

namespace fs = std::filesystem;

namespace {

struct Untested {
  const char* beginning;
  const char* reason;
};

// Lines that this test does not run, and why.
constexpr Untested kUntested[] = {
    {"git clone ", "needs the network"},
    {"./run test", "would run this test in itself; it is what CI runs"},
    {"cmake --preset ", "builds the project once more"},
    {"cmake --install ", "writes outside of the build"},
    {"ctest ", "would run this test in itself"},
};

// Files of the reader's, and what stands for them: a command is tested, not a model.
struct StandIn {
  const char* name;
  const char* source;  // in this tree
};
constexpr StandIn kStandIns[] = {
    {"Qwen3-30B-A3B-Q4_K_M.gguf", "apps/models/storyteller-q4.gguf"},
    {"Qwen3-30B-A3B", "tests/data/checkpoints/mixtral"},
    {"text.txt", "README.md"},
};

std::vector<std::string> shell_blocks() {
  std::vector<std::string> blocks;
  std::istringstream lines(larder::tests::read_source("README.md"));
  bool is_inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "```sh") {
      blocks.emplace_back();
      is_inside = true;
    } else if (line == "```") {
      is_inside = false;
    } else if (is_inside) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

// The script that is run for a block. `./run ARGS` sets up, builds, and runs larder with ARGS; the
// first two have been done.
std::string runnable(const std::string& block) {
  std::string script;
  std::istringstream lines(block);
  for (std::string line; std::getline(lines, line);) {
    const Untested* reason = nullptr;
    for (const Untested& untested : kUntested) {
      if (line.rfind(untested.beginning, 0) == 0) reason = &untested;
    }
    if (reason != nullptr) {
      MESSAGE(line << ": not run, " << std::string(reason->reason));
      continue;
    }
    if (line.rfind("./run", 0) == 0) {
      const bool is_bare = line.find_first_not_of(' ', 5) == std::string::npos || line[6] == ' ';
      line = is_bare ? "larder chat -p Hello." : "larder" + line.substr(5);
    }
    script += line + "\n";
  }
  return script;
}

struct Ended {
  int code = 0;
  std::string output;  // both streams
};

Ended run_in(const fs::path& directory, const std::string& script) {
  std::ofstream(directory / "block.sh") << script;
  const std::string command = "cd '" + directory.string() + "' && HOME=\"$PWD\" PATH='" +
                              LARDER_PROGRAM_DIR ":'\"$PATH\" timeout 120 sh -eu block.sh 2>&1 " +
                              "</dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ended ended;
  std::array<char, 4096> piece;
  while (const size_t n = fread(piece.data(), 1, piece.size(), pipe)) {
    ended.output.append(piece.data(), n);
  }
  ended.code = pclose(pipe);
  return ended;
}

}  // namespace

TEST_CASE("house: every command of the README runs") {
  std::string name = (fs::temp_directory_path() / "larder-readme-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  const fs::path directory = name;
  for (const StandIn& file : kStandIns) {
    fs::create_symlink(fs::path(LARDER_SOURCE_DIR) / file.source, directory / file.name);
  }
  const std::vector<std::string> blocks = shell_blocks();
  CHECK(blocks.size() >= 4);
  for (const std::string& block : blocks) {
    const std::string script = runnable(block);
    const Ended ended = run_in(directory, script);
    CHECK_MESSAGE(ended.code == 0, script << "ended with " << ended.code << ":\n" << ended.output);
  }
  fs::remove_all(directory);
}

TEST_CASE("house: the README is short and its tree walk is true") {
  const std::string readme = larder::tests::read_source("README.md");
  CHECK(std::count(readme.begin(), readme.end(), '\n') < 250);
  // Paths in backticks that end in a slash are folders of this tree.
  size_t n_folders = 0;
  for (size_t at = 0; (at = readme.find("/`", at)) != std::string::npos; ++at) {
    const size_t begin = readme.rfind('`', at);
    const std::string folder = readme.substr(begin + 1, at - begin - 1);
    CHECK_MESSAGE(fs::is_directory(fs::path(LARDER_SOURCE_DIR) / folder), folder);
    ++n_folders;
  }
  CHECK(n_folders >= 5);
}

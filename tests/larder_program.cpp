#include "tests/larder_program.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

namespace larder::tests {

Finished larder_run(std::vector<std::string> arguments, const std::string& input,
                    Disturbance disturbance) {
  arguments.insert(arguments.begin(), LARDER_PROGRAM);
  // No test leaves anything in the cache of whoever runs it.
  return run(arguments, input, {{"XDG_CACHE_HOME", "/dev/null/none"}}, disturbance);
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

size_t n_lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// One line on stderr that begins with the program's name and holds `part`; nothing on stdout.
void check_error(const Finished& run, int code, const std::string& part) {
  CAPTURE(run.err);
  CHECK(run.code == code);
  CHECK(run.out.empty());
  CHECK(n_lines(run.err) == 1);
  CHECK(run.err.starts_with("larder: "));
  CHECK(has(run.err, part));
}

}  // namespace larder::tests

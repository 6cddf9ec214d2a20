// Jobs of the program whose worker echoes: their input, and what is left of them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {

using nlohmann::json;
namespace fs = std::filesystem;

inline std::string id_of(int i) {
  std::string id = "r";
  return id += std::to_string(i);
}

inline std::string input_line(int i) {
  json line = {{"id", id_of(i)}, {"text", std::string(static_cast<size_t>(i % 50), 'x')}};
  if (i % 17 == 5) line["fail"] = true;
  return line.dump();
}

inline std::string input_lines(int n) {
  std::string lines;
  for (int i = 1; i <= n; ++i) lines += input_line(i) + "\n";
  return lines;
}

struct Job {
  TemporaryFolder folder;
  std::string input = folder.path() + "/in.jsonl", output = folder.path() + "/out.jsonl",
              journal = output + ".journal";

  explicit Job(const std::string& lines) { set_input(lines); }
  void set_input(const std::string& lines) const {
    std::ofstream(input, std::ios::binary) << lines;
  }
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {LARDER_LINE_JOB_PROGRAM, "-i", input, "-o", output};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Finished run(const std::vector<std::string>& more = {}) const {
    return tests::run(command(more));
  }
  bool has_leftovers() const {
    for (const auto& file : fs::directory_iterator(folder.path())) {
      const std::string name = file.path().filename();
      if (name != "in.jsonl" && name != "out.jsonl" && name != "errors.jsonl") return true;
    }
    return false;
  }
};

// What an uninterrupted run gives.
inline std::string expected_output(const std::string& lines,
                                   const std::vector<std::string>& more = {}) {
  const Job job(lines);
  const Finished finished = job.run(more);
  REQUIRE((finished.code == 0 || finished.code == 5));
  return content(job.output);
}

inline std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace larder::tests

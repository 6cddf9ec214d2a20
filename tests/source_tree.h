// The project's own sources, as the house tests read them.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace larder::tests {

struct SourceFile {
  std::string path;                   // from the top: "quant/isa/probes.h"
  std::string room;                   // its first part: "quant"
  std::string text;                   // as it is
  std::string code;                   // without comments; literals are emptied, lines kept
  std::vector<std::string> includes;  // as written, with their quotes or brackets
  std::vector<std::string> literals;  // contents of the string literals that are no include

  bool starts_with(std::string_view prefix) const { return path.rfind(prefix, 0) == 0; }
  int n_lines() const;
};

// Every .h, .c and .cpp of the rooms and of tests, sorted by path.
const std::vector<SourceFile>& source_tree();

// A file of the project, from the top. Fails the test if there is none.
std::string read_source(const std::string& path);

// The functions of larder.h and larder_batch.h: what programs may call.
std::set<std::string> declared_functions();

// Whether `code` has the identifier `name`, as a whole word.
bool has_identifier(std::string_view code, std::string_view name);

}  // namespace larder::tests

// Who may know whom: rooms by their includes, and one room for each dependency.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/source_tree.h"

using larder::tests::source_tree;
using larder::tests::SourceFile;

namespace {

// "formats/status.h" of "\"formats/status.h\""; empty for <system> headers.
std::string own_header(const std::string& include) {
  return include.front() == '"' ? include.substr(1, include.size() - 2) : "";
}

// Examples are built elsewhere, too.
bool is_beside(const SourceFile& file, const std::string& header) {
  const std::filesystem::path folder = std::filesystem::path(file.path).parent_path();
  return file.starts_with("apps/examples/") &&
         std::filesystem::exists(LARDER_SOURCE_DIR / folder / header);
}

bool is_one_of(const SourceFile& file, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return file.starts_with(prefix); });
}

}  // namespace

TEST_CASE("house: data flows down, from apps to runtime to quant and formats") {
  const std::map<std::string, std::vector<std::string>> may_include = {
      {"formats", {"formats"}},
      {"quant", {"quant"}},
      {"runtime", {"runtime", "quant", "formats"}},
      {"apps", {"apps", "runtime", "quant", "formats"}},
      {"tests", {"tests", "apps", "runtime", "quant", "formats"}},
  };
  REQUIRE(source_tree().size() > 20);
  for (const SourceFile& file : source_tree()) {
    const std::vector<std::string>& rooms = may_include.at(file.room);
    for (const std::string& include : file.includes) {
      const std::string header = own_header(include);
      if (header.empty() || is_beside(file, header)) continue;
      const std::string room = header.substr(0, header.find('/'));
      const bool is_allowed = std::find(rooms.begin(), rooms.end(), room) != rooms.end();
      CHECK_MESSAGE(is_allowed, file.path << " includes " << header);
      CHECK_MESSAGE(std::filesystem::exists(std::string(LARDER_SOURCE_DIR) + "/" + header),
                    file.path << " includes " << header << ", which is not there");
    }
  }
}

TEST_CASE("house: every dependency has one room") {
  struct Dependency {
    std::string include;  // beginning of what is included
    std::vector<std::string> rooms;
  };
  const std::vector<Dependency> dependencies = {
      {"<immintrin.h", {"quant/isa/"}},
      {"<x86intrin.h", {}},
      {"<emmintrin.h", {}},
      {"<xsimd/", {"quant/isa/"}},
      {"<omp.h", {"quant/parallel.cpp"}},
      {"<dnnl", {"quant/dense_matmul.cpp"}},
      {"<oneapi/", {"quant/dense_matmul.cpp"}},
      {"<CLI/", {"apps/"}},
      {"<nlohmann/", {"formats/json/json.cpp", "tests/"}},
      {"<histedit.h", {"apps/"}},
      {"<liburing", {"runtime/experts/uring_reads.cpp"}},
      {"<editline/", {"apps/"}},
      {"<sha256.h", {"apps/"}},
      {"<doctest/", {"tests/"}},
      {"<benchmark/", {"tests/bench/"}},
  };
  for (const SourceFile& file : source_tree()) {
    for (const std::string& include : file.includes) {
      for (const Dependency& dependency : dependencies) {
        if (include.rfind(dependency.include, 0) != 0) continue;
        CHECK_MESSAGE(is_one_of(file, dependency.rooms), file.path << " includes " << include);
      }
    }
  }
}

TEST_CASE("house: threads are made in one file, instruction sets chosen in one folder") {
  for (const SourceFile& file : source_tree()) {
    if (file.path != "quant/parallel.cpp") {
      CHECK_MESSAGE(file.code.find("#pragma omp") == std::string::npos, file.path);
    }
    if (file.starts_with("quant/isa/")) continue;
    for (const char* sign :
         {"_mm_", "_mm256_", "_mm512_", "__m128", "__m256", "__m512", "__AVX", "__builtin_ia32"}) {
      CHECK_MESSAGE(file.code.find(sign) == std::string::npos, file.path << " has " << sign);
    }
  }
}

TEST_CASE("house: instruction-set files see no std containers") {
  const std::vector<std::string> allowed = {"<cstdint>", "<cstddef>", "<immintrin.h>"};
  int n_files = 0;
  for (const SourceFile& file : source_tree()) {
    if (!file.starts_with("quant/isa/")) continue;
    ++n_files;
    for (const std::string& include : file.includes) {
      const bool is_allowed = std::find(allowed.begin(), allowed.end(), include) != allowed.end() ||
                              include.rfind("<xsimd/", 0) == 0 || include.rfind("\"quant/", 0) == 0;
      CHECK_MESSAGE(is_allowed, file.path << " includes " << include);
    }
    CHECK_MESSAGE(!larder::tests::has_identifier(file.code, "std"), file.path << " uses std");
  }
  CHECK(n_files > 3);
}

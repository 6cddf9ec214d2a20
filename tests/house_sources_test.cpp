// What no source of the house does.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/source_tree.h"

using larder::tests::has_identifier;
using larder::tests::read_source;
using larder::tests::source_tree;
using larder::tests::SourceFile;

namespace {

bool is_library(const SourceFile& file) {
  return file.room == "formats" || file.room == "quant" || file.room == "runtime";
}

std::string stem(const SourceFile& file) {
  return std::filesystem::path(file.path).stem().string();
}

}  // namespace

TEST_CASE("house: the library never prints, exits or reads the environment") {
  const std::vector<std::string> forbidden = {
      "printf",        "fprintf",   "vprintf",    "vfprintf",  "puts",   "fputs",
      "putchar",       "putc",      "fputc",      "perror",    "stdout", "stderr",
      "cout",          "cerr",      "clog",       "exit",      "_exit",  "_Exit",
      "abort",         "terminate", "quick_exit", "atexit",    "getenv", "setenv",
      "secure_getenv", "putenv",    "sigaction",  "setlocale", "syslog", "popen"};
  int n_files = 0;
  for (const SourceFile& file : source_tree()) {
    if (!is_library(file)) continue;
    ++n_files;
    for (const std::string& name : forbidden) {
      CHECK_MESSAGE(!has_identifier(file.code, name), file.path << " has " << name);
    }
  }
  CHECK(n_files > 10);
}

TEST_CASE("house: a file is about one thing") {
  for (const SourceFile& file : source_tree()) {
    // Tables that a script wrote are as long as their matter; they name the script.
    if (file.text.find("; do not edit.") < 100) continue;
    CHECK_MESSAGE(file.n_lines() <= 400, file.path << " has " << file.n_lines() << " lines");
    const bool is_shell = file.starts_with("quant/isa/kernels_");
    if (is_shell) CHECK_MESSAGE(file.n_lines() <= 100, file.path << " is a shell");
  }
}

TEST_CASE("house: sources are plain ASCII without tabs or trailing spaces") {
  for (const SourceFile& file : source_tree()) {
    const auto is_odd = [](char c) { return c != '\n' && (c < ' ' || c > '~'); };
    CHECK_MESSAGE(std::none_of(file.text.begin(), file.text.end(), is_odd), file.path);
    CHECK_MESSAGE(file.text.find(" \n") == std::string::npos, file.path);
  }
}

TEST_CASE("house: headers are guarded, and no macro is defined") {
  for (const SourceFile& file : source_tree()) {
    if (std::filesystem::path(file.path).extension() == ".h") {
      CHECK_MESSAGE(file.code.find("#pragma once") != std::string::npos, file.path);
    }
    if (file.room == "tests") continue;  // doctest is configured by macros
    CHECK_MESSAGE(file.code.find("#define") == std::string::npos, file.path);
  }
}

TEST_CASE("house: no room for things without a noun") {
  for (const SourceFile& file : source_tree()) {
    for (const char* name : {"util", "utils", "common", "helper", "helpers", "misc"}) {
      CHECK_MESSAGE(file.path.find(std::string("/") + name) == std::string::npos, file.path);
    }
  }
}

// A tokenizer's kind is not an architecture, though some share their names; so formats is free.
TEST_CASE("house: architectures are named in their table only") {
  const std::vector<std::string> names = {
      "llama",        "llama4",      "mixtral",   "qwen",    "qwen2",     "qwen2moe", "qwen3",
      "qwen3moe",     "qwen35moe",   "qwen3next", "olmoe",   "deepseek",  "dbrx",     "deepseek2",
      "granitemoe",   "phimoe",      "gpt-oss",   "glm4moe", "dots1",     "grok",     "bailingmoe2",
      "ernie4_5-moe", "hunyuan-moe", "lfm2moe",   "switch",  "minimax-m2"};
  const std::string table = read_source("runtime/model/arch_table.cpp");
  CHECK(table.find("\"qwen3moe\"") != std::string::npos);
  for (const SourceFile& file : source_tree()) {
    if (file.room == "tests" || file.room == "formats") continue;
    if (file.path == "runtime/model/arch_table.cpp") continue;
    if (file.path == "runtime/convert/family_table.cpp") continue;  // what others call them
    for (const std::string& literal : file.literals) {
      const std::string head = literal.substr(0, literal.find('.'));
      CHECK_MESSAGE(std::find(names.begin(), names.end(), head) == names.end(),
                    file.path << " has \"" << literal << '"');
    }
    for (const char* name : {"qwen", "llama", "mixtral", "olmoe", "deepseek", "granite"}) {
      CHECK_MESSAGE(file.code.find(name) == std::string::npos, file.path << " has " << name);
    }
  }
}

TEST_CASE("house: every test and fuzzer is registered, every source is built") {
  const std::string tests = read_source("tests/CMakeLists.txt");
  for (const SourceFile& file : source_tree()) {
    if (std::filesystem::path(file.path).extension() != ".cpp") continue;
    const std::string name = stem(file);
    if (file.starts_with("tests/fuzz/fuzz_")) {
      CHECK_MESSAGE(tests.find("larder_fuzz(" + name.substr(5)) != std::string::npos, file.path);
    } else if (file.room == "tests") {
      const bool is_test = name.size() > 5 && name.compare(name.size() - 5, 5, "_test") == 0;
      const std::string entry = is_test ? "larder_test(" + name : name + ".cpp";
      CHECK_MESSAGE(tests.find(entry) != std::string::npos, file.path);
    } else if (file.starts_with("apps/examples/")) {
      const std::filesystem::path folder = std::filesystem::path(file.path).parent_path();
      CHECK_MESSAGE(read_source(folder / "CMakeLists.txt").find(name + ".cpp") != std::string::npos,
                    file.path);
    } else if (file.starts_with("quant/isa/kernels_")) {
      const std::string entry = "larder_isa_source(" + name.substr(8);
      CHECK_MESSAGE(read_source("quant/CMakeLists.txt").find(entry) != std::string::npos,
                    file.path);
    } else {
      const std::string entry = file.path.substr(file.room.size() + 1);
      CHECK_MESSAGE(read_source(file.room + "/CMakeLists.txt").find(entry) != std::string::npos,
                    file.path);
    }
  }
}

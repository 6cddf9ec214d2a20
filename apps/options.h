// The flags that subcommands share, spelled once.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/terminal.h"
#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "runtime/session/generation.h"
#include "runtime/session/sampler.h"
#include "runtime/session/session.h"

namespace larder::apps {

// What main() runs once the command line is understood; the chosen subcommand sets it.
using Run = std::function<int()>;

struct OutputOptions {
  bool is_quiet = false, is_verbose = false, is_json = false;
  ColorMode color = ColorMode::automatic;
};

struct SamplingFlags {
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<float> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int32_t> top_k, repeat_last_n;
  int64_t seed = -1;  // -1: another one each time
};

struct PromptFlags {
  std::optional<std::string> text;
  std::string file;
};

// An option of one name whose value is one of a few words.
template <class Value, class T>
CLI::Option* add_choice(CLI::App& command, const std::string& names,
                        std::vector<std::pair<std::string, Value>> choices, T& value,
                        const std::string& what) {
  const auto choose = [names, choices = std::move(choices), &value](const std::string& word) {
    std::string known;
    for (const auto& [name, meaning] : choices) {
      if (name == word) {
        value = meaning;
        return;
      }
      known += (known.empty() ? "" : ", ") + name;
    }
    throw CLI::ValidationError(names, "'" + word + "' is none of " + known);
  };
  return command.add_option_function<std::string>(names, choose, what);
}

void add_model_option(CLI::App& command, std::string& model);
// -t and --isa of commands without a session. n_threads stays 0 where the machine decides.
void add_machine_options(CLI::App& command, int& n_threads, std::string& isa);
void add_output_options(CLI::App& command, OutputOptions& options);
void add_prompt_options(CLI::App& command, PromptFlags& prompt);
// Words of the command line behind the program's name, the last one first.
// llama.cpp's spellings -ctk and -ctv become the long ones: CLI11 knows short
// names of one letter only.
std::vector<std::string> read_arguments(int argc, char** argv);

void add_session_options(CLI::App& command, runtime::SessionOptions& options);
void add_sampling_options(CLI::App& command, SamplingFlags& flags);
void add_generation_options(CLI::App& command, runtime::GenerationOptions& options);

// "4G", "1500M", "1073741824" (units of 1024), or "auto".
Result<uint64_t> parse_ram(const std::string& text);

// -m, or the bundled model where it is empty.
Result<std::string> model_path(const std::string& model);

// The file's recommendations with the flags over them, checked; a seed is drawn where none is
// given.
Result<runtime::SamplerOptions> sampler_options(const formats::GgufFile& file,
                                                const SamplingFlags& flags);

// Of a file that is read as a whole: WikiText-103 is half of it, and a device need not end.
inline constexpr size_t kMostFileBytes = size_t{1} << 30;

// All of a file; "-" is stdin. Ends with `cancelled` at a signal.
Result<std::string> read_file(const std::string& path);

// What is asked: stdin where that is no terminal, then the file of -f, then -p; a new line between
// them. nullopt if there is none of them.
Result<std::optional<std::string>> read_prompt(const PromptFlags& flags);

// "2025-07-10", "2025-07-10T12:00" or "2025-07-10T12:00:00". Error `invalid_argument`.
Result<std::tm> parse_time(const std::string& text);

// "1,2,3" or "1 2 3". Error `invalid_argument` naming what is no number.
Result<std::vector<formats::TokenId>> parse_ids(const std::string& text);

}  // namespace larder::apps

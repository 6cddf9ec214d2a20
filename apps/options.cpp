#include "apps/options.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "apps/model_path.h"
#include "apps/signals.h"

namespace larder::apps {

void add_model_option(CLI::App& command, std::string& model) {
  command.add_option("-m,--model", model, "GGUF file (default: the bundled model)")
      ->type_name("FILE")
      ->check([](const std::string& path) {  // an unset variable of a script
        return path.empty() ? std::string("no file is named; leave -m out for the bundled model")
                            : std::string();
      });
}

void add_machine_options(CLI::App& command, int& n_threads, std::string& isa) {
  command.add_option("-t,--threads", n_threads, "Threads (default: the machine's cores)")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N");
  command.add_option("--isa", isa, "Instruction set by name (default: the best)")
      ->type_name("NAME");
}

void add_output_options(CLI::App& command, OutputOptions& options) {
  command.add_flag("-q,--quiet", options.is_quiet, "Only the result and errors");
  command.add_flag("-v,--verbose", options.is_verbose, "Say more about what happens, on stderr");
  command.add_flag("--json", options.is_json, "One JSON object a line on stdout");
  add_choice<ColorMode>(
      command, "--color",
      {{"auto", ColorMode::automatic}, {"on", ColorMode::on}, {"off", ColorMode::off}},
      options.color, "auto, on or off (default: auto)")
      ->type_name("WHEN");
}

void add_prompt_options(CLI::App& command, PromptFlags& prompt) {
  command.add_option("-p,--prompt", prompt.text, "The text; standard input comes before it")
      ->type_name("TEXT");
  command.add_option("-f,--file", prompt.file, "Read the text from a file; - is standard input")
      ->type_name("FILE");
}

namespace {

// $XDG_CACHE_HOME/larder, else ~/.cache/larder; empty if neither is known.
std::string profile_folder() {
  const auto variable = [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  // Source: XDG Base Directory Specification: paths that are not absolute are ignored.
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  if (cache.starts_with('/')) return cache + "/larder";
  return home.starts_with('/') ? home + "/.cache/larder" : "";
}

}  // namespace

std::vector<std::string> read_arguments(int argc, char** argv) {
  std::vector<std::string> words;
  for (int i = argc - 1; i > 0; --i) {
    const std::string word = argv[i];
    words.push_back(word == "-ctk" ? "--cache-type-k" : word == "-ctv" ? "--cache-type-v" : word);
  }
  return words;
}

void add_session_options(CLI::App& command, runtime::SessionOptions& options) {
  command
      .add_option("-t,--threads", options.n_threads,
                  "Threads (default: the usable cores, fewer for small models)")
      ->type_name("N");
  command
      .add_option("-c,--ctx-size", options.n_ctx,
                  "Tokens of context (default: the model's, at most " +
                      std::to_string(runtime::kDefaultContext) + ")")
      ->type_name("N");
  command.add_option("-b,--batch-size", options.batch_size, "Prompt tokens of one step")
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--ram",
          [&options](const std::string& text) {
            const Result<uint64_t> bytes = parse_ram(text);
            if (!bytes) throw CLI::ValidationError("--ram", bytes.status().detail().message);
            options.ram_bytes = *bytes;
          },
          "Memory of the whole process: 4G, 1500M, auto (default: what is free, if the model does "
          "not fit)")
      ->type_name("SIZE");
  options.profile_folder = profile_folder();
  command.add_flag_callback(
      "--no-profile", [&options] { options.profile_folder.clear(); },
      "Neither use nor keep counts of how experts were used");
  command.add_option("--isa", options.isa, "Instruction set by name (default: the best)")
      ->type_name("NAME");
  const auto add_cache_type = [&](const char* name, std::optional<runtime::CacheType>& type,
                                  const char* what) {
    add_choice<runtime::CacheType>(command, name,
                                   {{"f16", runtime::CacheType::f16},
                                    {"f32", runtime::CacheType::f32},
                                    {"q8_0", runtime::CacheType::q8_0}},
                                   type, what)
        ->type_name("TYPE");
  };
  add_cache_type("--cache-type-k", options.cache_k,
                 "Keep keys (-ctk) as f16 (default), f32, or q8_0 in half the memory");
  add_cache_type("--cache-type-v", options.cache_v, "The same of values (-ctv)");
  command.add_flag("--exact", options.exact,
                   "Keep activations in float32: slower, for comparisons");
}

void add_sampling_options(CLI::App& command, SamplingFlags& flags) {
  const auto number = [&](const char* name, auto& value, const char* what) {
    return command.add_option(name, value, what)->type_name("X")->group("Sampling");
  };
  // Checked as text: the parser takes what is too large for the largest number there is.
  number("-s,--seed", flags.seed, "Random seed; -1 (default) draws one")
      ->check([](const std::string& text) {
        int64_t seed = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), seed);
        const bool is_seed =
            read.ec == std::errc() && read.ptr == text.data() + text.size() && seed >= -1;
        return is_seed ? std::string()
                       : "'" + text + "' is no seed; say a number from 0 to " +
                             std::to_string(std::numeric_limits<int64_t>::max()) + ", or -1";
      });
  number("--temp,--temperature", flags.temperature, "0 is greedy (default 0.8)");
  number("--top-k", flags.top_k, "Only the k most likely tokens; 0 is off (default 40)");
  number("--top-p", flags.top_p, "Only the likely tokens up to this mass; 1 is off (default 0.95)");
  number("--min-p", flags.min_p, "Only tokens so likely against the best; 0 is off (default 0.05)");
  number("--typical", flags.typical_p, "Locally typical sampling; 1 is off (default 1)");
  number("--repeat-penalty", flags.repeat_penalty, "1 is off (default 1)");
  number("--repeat-last-n", flags.repeat_last_n,
         "Tokens that penalties look back; -1 is all (default 64)");
  number("--presence-penalty", flags.presence_penalty, "0 is off (default 0)");
  number("--frequency-penalty", flags.frequency_penalty, "0 is off (default 0)");
}

void add_generation_options(CLI::App& command, runtime::GenerationOptions& options) {
  command
      .add_option("-n,--predict,--n-predict", options.max_tokens,
                  "Tokens at most; -1 (default) until the context is full")
      ->check(CLI::Range(-1, std::numeric_limits<int32_t>::max()).description(""))
      ->type_name("N");
  command.add_option("--stop", options.stop, "Stop before this text; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->take_all();
  command.add_flag("--ignore-eos", options.ignore_end, "Go on after end-of-generation tokens");
}

Result<uint64_t> parse_ram(const std::string& text) {
  if (text == "auto") return runtime::kAutoRam;
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(read.ptr, text.data() + text.size());
  for (const char* ending : {"iB", "B"}) {
    if (unit.size() == 1 + std::strlen(ending) && unit.ends_with(ending)) unit.resize(1);
  }
  static const std::map<std::string, int> kShifts = {{"", 0},   {"B", 0},  {"K", 10}, {"k", 10},
                                                     {"M", 20}, {"m", 20}, {"G", 30}, {"g", 30},
                                                     {"T", 40}, {"t", 40}};
  const auto shift = kShifts.find(unit);
  constexpr double kMost = 1e18;
  if (read.ec != std::errc() || shift == kShifts.end() || !(value > 0) ||
      value * static_cast<double>(uint64_t{1} << shift->second) > kMost) {
    return Status(Cause::invalid_argument,
                  "'" + text.substr(0, 20) + "' is no size; say 4G, 1500M, or auto");
  }
  return static_cast<uint64_t>(value * static_cast<double>(uint64_t{1} << shift->second));
}

Result<std::string> model_path(const std::string& model) {
  if (!model.empty()) return model;
  return bundled_model_path();
}

Result<runtime::SamplerOptions> sampler_options(const formats::GgufFile& file,
                                                const SamplingFlags& flags) {
  Result<runtime::SamplerOptions> options = runtime::sampler_options_from(file);
  if (!options) return options;
  options->temperature = flags.temperature.value_or(options->temperature);
  options->top_k = flags.top_k.value_or(options->top_k);
  options->top_p = flags.top_p.value_or(options->top_p);
  options->min_p = flags.min_p.value_or(options->min_p);
  options->typical_p = flags.typical_p.value_or(options->typical_p);
  options->repeat_penalty = flags.repeat_penalty.value_or(options->repeat_penalty);
  options->repeat_last_n = flags.repeat_last_n.value_or(options->repeat_last_n);
  options->presence_penalty = flags.presence_penalty.value_or(options->presence_penalty);
  options->frequency_penalty = flags.frequency_penalty.value_or(options->frequency_penalty);
  options->seed = flags.seed >= 0 ? static_cast<uint64_t>(flags.seed) : std::random_device{}();
  if (Status s = runtime::check(*options); !s.ok()) return s;
  return options;
}

Result<std::string> read_file(const std::string& path) {
  const bool is_stdin = path == "-";
  const std::string name = is_stdin ? "stdin" : path;
  const int descriptor = is_stdin ? STDIN_FILENO : open_until_ending(path, O_RDONLY | O_CLOEXEC);
  std::string text;
  char buffer[1 << 16];
  ssize_t n = descriptor < 0 ? -1 : 0;
  while (descriptor >= 0 && !is_ending() && text.size() <= kMostFileBytes) {
    n = read(descriptor, buffer, sizeof buffer);
    if (n == 0 || (n < 0 && errno != EINTR)) break;
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
  }
  const int error = errno;
  if (descriptor > STDIN_FILENO) close(descriptor);
  if (is_ending()) return Status(Cause::cancelled, "interrupted while reading").with_file(name);
  if (text.size() > kMostFileBytes) {
    return Status(Cause::limit, "is larger than " + std::to_string(kMostFileBytes >> 20) +
                                    " MiB, the most that is read of a text; give a part of it")
        .with_file(name);
  }
  if (n == 0) return text;
  return Status(Cause::io, std::string("cannot be read: ") + std::strerror(error)).with_file(name);
}

Result<std::optional<std::string>> read_prompt(const PromptFlags& flags) {
  std::vector<std::string> parts;
  if (isatty(STDIN_FILENO) != 1 && flags.file != "-") {
    Result<std::string> text = read_file("-");
    if (!text) return text.status();
    if (!text->empty()) parts.push_back(std::move(*text));
  }
  if (!flags.file.empty()) {
    Result<std::string> text = read_file(flags.file);
    if (!text) return text.status();
    parts.push_back(std::move(*text));
  }
  if (flags.text) parts.push_back(*flags.text);
  if (parts.empty()) return std::optional<std::string>();
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty() && joined.back() != '\n') joined += '\n';
    joined += part;
  }
  return std::optional<std::string>(std::move(joined));
}

Result<std::tm> parse_time(const std::string& text) {
  for (const char* const format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm time{};
    const char* const end = strptime(text.c_str(), format, &time);
    if (end == nullptr || *end != '\0') continue;
    timegm(&time);  // fills in the day of the week and of the year
    return time;
  }
  return Status(Cause::invalid_argument, "must be like 2025-07-10T12:00:00", "option now");
}

Result<std::vector<formats::TokenId>> parse_ids(const std::string& text) {
  std::vector<formats::TokenId> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto is_between = [](char c) { return c == ',' || c == ' ' || c == '\n' || c == '\t'; };
  while (at < end) {
    if (is_between(*at)) {
      ++at;
      continue;
    }
    formats::TokenId id = 0;
    const auto read = std::from_chars(at, end, id);
    if (read.ec != std::errc() || (read.ptr < end && !is_between(*read.ptr))) {
      return Status(
          Cause::invalid_argument, "token ids are whole numbers, separated by commas",
          "'" + std::string(at, std::min<size_t>(static_cast<size_t>(end - at), 20)) + "'");
    }
    ids.push_back(id);
    at = read.ptr;
  }
  return ids;
}

}  // namespace larder::apps

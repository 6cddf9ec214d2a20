#include "apps/usage_error.h"

#include <string>
#include <string_view>
#include <vector>

namespace larder::apps {
namespace {

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "--temp = warm" to its two parts; a value of several words is joined by the parser.
std::string conversion(std::string_view text) {
  const size_t at = text.find(" = ");
  if (at == std::string_view::npos) return std::string(text) + " has no such value";
  return std::string(text.substr(0, at)) + ": '" + std::string(text.substr(at + 3)) +
         "' is no value for it";
}

// Source of the texts: CLI11 2.1. What is not known passes as it is.
std::string what_is_wrong(const CLI::App& program, const CLI::ParseError& error) {
  const std::string all = error.what();
  std::string_view text = all;
  const std::string& kind = error.get_name();
  // Named after the command in which it happened, and its text has the words in reverse.
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    const std::vector<std::string> words = program.remaining(true);
    if (!words.empty()) {
      const bool is_model = words.front().ends_with(".gguf");
      return "'" + words.front() + "' is not understood here" +
             (is_model ? "; a model is named with -m FILE" : "");
    }
  }
  if (kind == "ConversionError" && take_prefix(text, "Could not convert: "))
    return conversion(text);
  if (kind == "RequiredError") {
    const size_t at = text.find(" is required");
    if (at != std::string_view::npos) return std::string(text.substr(0, at)) + " is needed";
  }
  if (kind == "ArgumentMismatch") {
    const size_t at = text.find(':');
    if (at != std::string_view::npos && text.find("required", at) != std::string_view::npos) {
      return std::string(text.substr(0, at)) + " needs a value";
    }
  }
  return all;
}

}  // namespace

std::string usage_message(const CLI::App& program, const CLI::ParseError& error) {
  std::string help = program.get_name();
  for (const CLI::App* const command : program.get_subcommands()) help += " " + command->get_name();
  return what_is_wrong(program, error) + "; see `" + help + " --help`";
}

}  // namespace larder::apps

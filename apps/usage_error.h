// What is wrong with a command line, in this program's words.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace larder::apps {

// One line, with the command whose --help tells more.
std::string usage_message(const CLI::App& program, const CLI::ParseError& error);

}  // namespace larder::apps

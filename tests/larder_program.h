// The built program and what every run of it promises.
#pragma once

#include <string>
#include <vector>

#include "tests/child_process.h"

namespace larder::tests {

// Runs the program with these arguments.
Finished larder_run(std::vector<std::string> arguments, const std::string& input = {},
                    Disturbance disturbance = Disturbance::none);

// What could be read: a file under /proc may end with its process.
std::string content(const std::string& path);
size_t n_lines(const std::string& text);
bool has(const std::string& text, const std::string& part);

// One line on stderr that begins with the program's name and holds `part`; nothing on stdout.
void check_error(const Finished& run, int code, const std::string& part);

}  // namespace larder::tests

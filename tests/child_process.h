// Runs the built program: with pipes, or at a terminal of its own.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace larder::tests {

using Environment = std::map<std::string, std::string>;  // beside what the test itself has

struct Finished {
  int code = -1;  // of exit; -signal if a signal ended it
  std::string out, err;
};

// What is done to a running program once its stdout has text.
enum class Disturbance { none, interrupt, terminate, close_stdout };

// Runs `program` with `input` on stdin, to its end; a minute at most.
Finished run(const std::vector<std::string>& command, const std::string& input = {},
             const Environment& environment = {}, Disturbance disturbance = Disturbance::none);

// Runs `program` with nothing on stdin, and what it writes thrown away; sends it the signal after
// so long, and again for SIGINT and SIGTERM a moment later, if `insists`. As Finished::code.
int run_for(const std::vector<std::string>& command, int signal, int microseconds,
            const Environment& environment = {}, bool insists = false);

// A folder of its own, removed with its content.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const noexcept { return path_; }
  std::string file(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

// A program at a pseudo-terminal, 80 columns wide.
class AtTerminal {
 public:
  AtTerminal(const std::vector<std::string>& command, const Environment& environment);
  ~AtTerminal();  // kills what still runs

  void send(const std::string& keys);
  void send_signal(int signal);
  // Reads until `text` has come after all that was waited for before; false after 20 s or at the
  // program's end.
  bool wait_for(const std::string& text);
  // Reads to the end; as Finished::code.
  int finish();
  // All that was written, escape sequences included.
  const std::string& output() const noexcept { return output_; }

 private:
  bool read_some(int timeout_ms);

  int terminal_ = -1;
  pid_t child_ = -1;
  size_t seen_ = 0;
  std::string output_;
};

}  // namespace larder::tests

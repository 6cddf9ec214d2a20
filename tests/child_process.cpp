#include "tests/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace larder::tests {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void become(const std::vector<std::string>& command, const Environment& environment) {
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

// Appends what can be read; false at the end.
bool drain(int descriptor, std::string& text) {
  char buffer[1 << 16];
  const ssize_t n = read(descriptor, buffer, sizeof buffer);
  if (n > 0) text.append(buffer, static_cast<size_t>(n));
  return n > 0;
}

void disturb(pid_t child, Disturbance disturbance, pollfd& out) {
  if (disturbance == Disturbance::interrupt) kill(child, SIGINT);
  if (disturbance == Disturbance::terminate) kill(child, SIGTERM);
  if (disturbance == Disturbance::close_stdout) {
    close(out.fd);
    out.fd = -1;
  }
}

}  // namespace

Finished run(const std::vector<std::string>& command, const std::string& input,
             const Environment& environment, Disturbance disturbance) {
  std::array<std::array<int, 2>, 3> pipes;
  for (auto& ends : pipes) {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  }
  const pid_t child = fork();
  if (child < 0) return {};  // kill() would take -1 for every process there is
  if (child == 0) {
    dup2(pipes[0][0], 0);
    dup2(pipes[1][1], 1);
    dup2(pipes[2][1], 2);
    become(command, environment);
  }
  close(pipes[0][0]);
  close(pipes[1][1]);
  close(pipes[2][1]);
  signal(SIGPIPE, SIG_IGN);
  size_t written = 0;
  std::array<pollfd, 3> waits = {
      {{pipes[0][1], POLLOUT, 0}, {pipes[1][0], POLLIN, 0}, {pipes[2][0], POLLIN, 0}}};
  const auto shut = [](pollfd& wait) {
    close(wait.fd);
    wait.fd = -1;
  };
  if (input.empty()) shut(waits[0]);
  Finished finished;
  const auto deadline = Clock::now() + std::chrono::minutes(1);
  while ((waits[1].fd >= 0 || waits[2].fd >= 0) && Clock::now() < deadline) {
    poll(waits.data(), waits.size(), 1000);
    if (waits[0].fd >= 0 && waits[0].revents != 0) {
      const ssize_t n = write(waits[0].fd, input.data() + written,
                              std::min<size_t>(input.size() - written, 1 << 15));
      written += n > 0 ? static_cast<size_t>(n) : 0;
      if (n < 0 || written == input.size()) shut(waits[0]);
    }
    if (waits[1].fd >= 0 && waits[1].revents != 0) {
      if (!drain(waits[1].fd, finished.out)) {
        shut(waits[1]);
      } else {
        disturb(child, disturbance, waits[1]);
        disturbance = Disturbance::none;
      }
    }
    if (waits[2].fd >= 0 && waits[2].revents != 0 && !drain(waits[2].fd, finished.err)) {
      shut(waits[2]);
    }
  }
  for (pollfd& wait : waits) {
    if (wait.fd >= 0) shut(wait);
  }
  if (Clock::now() >= deadline) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  finished.code = code_of(status);
  return finished;
}

int run_for(const std::vector<std::string>& command, int signal, int microseconds,
            const Environment& environment, bool insists) {
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    const int nothing = open("/dev/null", O_RDWR);
    for (const int descriptor : {0, 1, 2}) dup2(nothing, descriptor);
    become(command, environment);
  }
  usleep(static_cast<useconds_t>(microseconds));
  kill(child, signal);  // until it is waited for the id is nobody else's
  if (insists) {
    usleep(20'000);
    kill(child, signal);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return code_of(status);
}

TemporaryFolder::TemporaryFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "larder-test-XXXXXX").string();
  path_ = mkdtemp(path.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::file(const std::string& name, const std::string& content) const {
  const std::string path = path_ + "/" + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

AtTerminal::AtTerminal(const std::vector<std::string>& command, const Environment& environment) {
  winsize size{};
  size.ws_col = 80;
  size.ws_row = 24;
  child_ = forkpty(&terminal_, nullptr, nullptr, &size);
  if (child_ == 0) become(command, environment);
}

AtTerminal::~AtTerminal() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  if (terminal_ >= 0) close(terminal_);
}

void AtTerminal::send(const std::string& keys) {
  if (child_ <= 0) return;
  for (size_t at = 0; at < keys.size();) {
    const ssize_t n = write(terminal_, keys.data() + at, keys.size() - at);
    if (n <= 0) return;
    at += static_cast<size_t>(n);
  }
}

void AtTerminal::send_signal(int signal) {
  if (child_ > 0) kill(child_, signal);
}

bool AtTerminal::read_some(int timeout_ms) {
  pollfd wait = {terminal_, POLLIN, 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return true;
  return drain(terminal_, output_);  // the end of a terminal is an error, EIO
}

bool AtTerminal::wait_for(const std::string& text) {
  if (child_ <= 0) return false;
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  for (;;) {
    const size_t at = output_.find(text, seen_);
    if (at != std::string::npos) {
      seen_ = at + text.size();
      return true;
    }
    if (Clock::now() > deadline || !read_some(100)) return false;
  }
}

int AtTerminal::finish() {
  if (child_ <= 0) return -1;
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (Clock::now() < deadline && read_some(100)) {
  }
  if (Clock::now() >= deadline) kill(child_, SIGKILL);
  int status = 0;
  waitpid(child_, &status, 0);
  child_ = -1;
  return code_of(status);
}

}  // namespace larder::tests

// The built program when files and limits fail it: an error line and a code, never a signal.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/larder_program.h"

namespace {

using larder::tests::AtTerminal;
using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::run;
using larder::tests::TemporaryFolder;

const std::string kStoryteller = LARDER_SOURCE_DIR "/apps/models/storyteller-q4.gguf";

Finished run_under(const std::string& limit, const std::string& arguments) {
  return run({"/bin/sh", "-c", limit + " && exec " LARDER_PROGRAM " " + arguments});
}

}  // namespace

TEST_CASE("program: a result never overwrites the model that it is computed from") {
  const TemporaryFolder folder;
  const std::string model = folder.file("model.gguf", content(kStoryteller));
  const std::string other_name = folder.path() + "/other";
  std::filesystem::create_hard_link(model, other_name);
  for (const std::string& out : {model, other_name}) {
    check_error(larder_run({"logits", "-m", model, "--ids", "1", "-o", out, "-q"}), 2, "already");
  }
  check_error(
      larder_run({"logits", "-m", model, "--ids", "1", "-o", "/dev/null", "--routes", model, "-q"}),
      2, "already");
  CHECK(content(model) == content(kStoryteller));
  const std::string both = folder.path() + "/both";
  check_error(
      larder_run({"logits", "--ids", "1", "-o", both, "--routes", folder.path() + "/./both"}), 2,
      "two things");
  CHECK(!std::filesystem::exists(both));
}

TEST_CASE("program: no file takes the place of a standard stream that is closed") {
  const std::string score = "exec " LARDER_PROGRAM " score -q -i - -o - ";
  check_error(run({"/bin/sh", "-c", score + "<&-"}), 1, "cannot be read: Bad file descriptor");
  const Finished mute = run({"/bin/sh", "-c", "echo '{\"text\":\"a\"}' | (" + score + ">&-)"});
  check_error(mute, 1, "cannot be written: Bad file descriptor");
}

TEST_CASE("program: a screen that changes while input is awaited interrupts nothing") {
  const TemporaryFolder folder;
  const std::string fifo = folder.path() + "/questions";
  const Finished run_in_shell =
      run({"/bin/sh", "-c",
           "mkfifo " + fifo + "; " LARDER_PROGRAM " chat -q -n 3 <" + fifo + " & exec 3>" + fifo +
               "; sleep 0.3; kill -WINCH $!; sleep 0.2; echo Hello! >&3; exec 3>&-; wait $!"});
  CHECK(run_in_shell.code == 0);
  CHECK(!run_in_shell.out.empty());
  CHECK(run_in_shell.err.empty());
}

TEST_CASE("program: a file that may not grow further is an error of writing") {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/out.npy";
  check_error(run_under("ulimit -f 8", "logits -q --ids 1,2,3 -o " + out), 1, "cannot be written");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Sanitizers need memory of their own.
TEST_CASE("program: a text without an end is refused before it fills the memory") {
  check_error(run_under("ulimit -v 8000000", "perplexity -f /dev/zero"), 1,
              "is larger than 1024 MiB");
}

TEST_CASE("program: memory that the system refuses has an exit code of its own") {
  check_error(run_under("ulimit -d 10000", "generate -q -p a -n 1 -c 1024 -t 1"), 4,
              "cannot be had");
}

TEST_CASE("program: a file larger than the address space is a lack of memory") {
  const TemporaryFolder folder;
  const std::string model = folder.file("model.gguf", content(kStoryteller));
  std::filesystem::resize_file(model, uintmax_t{4} << 30);  // sparse
  check_error(run_under("ulimit -v 2000000", "inspect " + model), 4, "no address space");
}

// The limit leaves room for 19 MiB of buffers, but not for the stack of a thread.
TEST_CASE("program: threads that the system refuses are an error with an advice") {
  if (std::thread::hardware_concurrency() < 2) {
    MESSAGE("skipped: one processor runs one thread");
    return;
  }
  check_error(run_under("ulimit -s 8192 && ulimit -d 22000", "generate -q -p a -n 1 -c 1024 -t 2"),
              4, "--threads");
}
#endif

TEST_CASE("program: more threads than processors are cut to these, with one line that says so") {
  const Finished few = larder_run({"generate", "-p", "a", "-n", "4", "--temp", "0", "-t", "1"});
  const Finished many = larder_run({"generate", "-p", "a", "-n", "4", "--temp", "0", "-t", "1024"});
  CHECK(many.code == 0);
  CHECK(many.out == few.out);
  CHECK(has(many.err, "warning: --threads asks for 1024"));
  CHECK(!has(few.err, "--threads"));
  const Finished quiet = larder_run({"generate", "-p", "a", "-n", "1", "-t", "1024", "-q"});
  CHECK(quiet.err.empty());
}

TEST_CASE("program: a model that is cut short while in use ends it with one line") {
  const TemporaryFolder folder;
  const std::string model = folder.file("model.gguf", content(kStoryteller));
  AtTerminal chat({LARDER_PROGRAM, "chat", "-m", model, "-n", "2"}, {});
  REQUIRE(chat.wait_for("/help"));
  std::filesystem::resize_file(model, 1 << 20);
  chat.send("hello\r");
  CHECK(chat.finish() == 3);
  CHECK(has(chat.output(), "cut short"));
}

TEST_CASE("program: weights that are not finite are told with the file, and are no result") {
  const TemporaryFolder folder;
  std::string bytes = content(kStoryteller);
  std::fill(bytes.end() - static_cast<ptrdiff_t>(bytes.size() / 10), bytes.end(), '\xff');
  const std::string model = folder.file("model.gguf", bytes);
  check_error(larder_run({"logits", "-m", model, "--ids", "1", "-o", "/dev/null", "-q"}), 1,
              model + ": ");
}

// The examples of apps/sharding, run as their page says.
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {
namespace {

namespace fs = std::filesystem;

const std::string kFolder = std::string(LARDER_SOURCE_DIR) + "/apps/sharding/";

const Environment kEnvironment = {
    {"LARDER", LARDER_PROGRAM}, {"XDG_CACHE_HOME", "/dev/null/none"}, {"LARDER_SHARDING", kFolder}};

bool has_program(const std::string& name) {
  return run({"/bin/sh", "-c", "command -v " + name}).code == 0;
}

// 31 lines, one of them bad and one a double.
std::string input_lines() {
  std::string lines;
  for (int i = 0; i < 29; ++i) {
    lines += R"({"custom_id":"r)";
    lines += std::to_string(i);
    lines += R"(","url":"/v1/completions","body":{"prompt":"Once upon a time there were )";
    lines += std::to_string(i);
    lines += "\",\"max_tokens\":120,\"ignore_eos\":true}}\n";
  }
  const std::string first = lines.substr(0, lines.find('\n') + 1);
  return lines + first + "bad\n";
}

struct Example {
  TemporaryFolder folder;
  std::string input = folder.file("in.jsonl", input_lines()), output = folder.path() + "/out.jsonl";
  std::string expected;

  Example() {
    const std::string whole = folder.path() + "/whole.jsonl";
    CHECK(larder_run({"batch", "-i", input, "-o", whole, "-q", "-t", "1"}).code == 5);
    expected = content(whole);
    CHECK(n_lines(expected) == 31);
  }
  std::string part(int index, int count) const {
    return output + "." + std::to_string(index) + "-of-" + std::to_string(count);
  }
};

TEST_CASE("sharding: GNU parallel does all shards, and goes on with one that was killed") {
  if (!has_program("parallel")) {
    MESSAGE("GNU parallel is not installed (Debian: parallel); its example was not run");
    return;
  }
  const Example example;
  // Shard 2 has begun and was killed; how far it came does not matter.
  (void)run_for({LARDER_PROGRAM, "batch", "-i", example.input, "-o", example.part(2, 3), "--shard",
                 "2/3", "-q", "-t", "1", "--parallel", "1"},
                SIGKILL, 120'000, kEnvironment);
  const std::vector<std::string> command = {
      kFolder + "gnu_parallel.sh", "3", example.input, example.output, "batch", "-t", "1"};
  const Finished finished = run(command, {}, kEnvironment);
  CAPTURE(finished.err);
  CHECK(finished.code == 0);
  CHECK(content(example.output) == example.expected);
  // Whole shards are not done again: the same command merges them once more.
  const auto made = fs::last_write_time(example.part(1, 3));
  fs::remove(example.output);
  CHECK(run(command, {}, kEnvironment).code == 0);
  CHECK(content(example.output) == example.expected);
  CHECK(fs::last_write_time(example.part(1, 3)) == made);
}

TEST_CASE("sharding: tasks of a Slurm array are shards, and one that is ended is queued again") {
  const Example example;
  // In place of Slurm's own program: notes what it is asked for.
  const std::string scontrol =
      example.folder.file("scontrol", "#!/bin/sh\necho \"$@\" >> \"$SCONTROL_LOG\"\n");
  fs::permissions(scontrol, fs::perms::owner_all);
  const std::string log = example.folder.path() + "/scontrol.log";
  Environment task = kEnvironment;
  task["PATH"] = example.folder.path() + ":" + std::getenv("PATH");
  task["SCONTROL_LOG"] = log;
  task["SLURM_ARRAY_JOB_ID"] = "77";
  task["SLURM_ARRAY_TASK_COUNT"] = "3";
  task["SLURM_CPUS_PER_TASK"] = "1";
  const std::vector<std::string> command = {
      kFolder + "slurm_array.sh", example.input, example.output, "batch", "--parallel", "1"};
  for (const char* const index : {"1", "2"}) {
    task["SLURM_ARRAY_TASK_ID"] = index;
    const Finished finished = run(command, {}, task);
    CAPTURE(finished.err);
    CHECK(finished.code == 0);
  }
  const std::vector<std::string> merge = {kFolder + "merge_shards.sh", "3", example.output};
  const Finished early = run(merge, {}, task);
  CHECK(early.code == 1);
  CHECK(has(early.err, "shard 3 is not complete"));
  // As Slurm does it before the time is up.
  task["SLURM_ARRAY_TASK_ID"] = "3";
  const int ended = run_for(command, SIGTERM, 80'000, task);
  if (ended == 143) {
    CHECK(content(log) == "requeue 77_3\n");
  } else {
    CHECK(ended == 0);
    MESSAGE("the task was done before it could be ended");
  }
  CHECK(run(command, {}, task).code == 0);
  CHECK(run(merge, {}, task).code == 0);
  CHECK(content(example.output) == example.expected);
}

}  // namespace
}  // namespace larder::tests

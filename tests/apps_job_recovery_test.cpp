// Jobs that end before they are done, by a signal, a full disk or a failed line: what is kept, and
// how the next run goes on from there.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "tests/echo_job.h"

namespace larder::tests {
namespace {

TEST_CASE("job: killed at any moment it goes on, and gives the bytes of an undisturbed run") {
  std::mt19937 random(20261122);
  const std::string lines = input_lines(1500), expected = expected_output(lines);
  int n_kills = 0, n_jobs = 0, n_resumed = 0;
  while (n_kills < LARDER_JOB_KILLS) {
    const Job job(lines);
    for (unsigned tries = 0;; ++tries) {
      // 1,500 lines in steps of 3 and 150 us take about 0.1 s; the end is hit as well. A slower
      // program gets more time by and by.
      const int code = run_for(job.command({"--step-us", "150"}), SIGKILL,
                               static_cast<int>(random() % (60'000 + 5'000 * tries)));
      if (code != -SIGKILL) {
        CHECK(code == 5);
        break;
      }
      ++n_kills;
      n_resumed += fs::exists(job.journal) ? 1 : 0;
      // complete or not there at all
      if (fs::exists(job.output)) CHECK(content(job.output) == expected);
    }
    ++n_jobs;
    CHECK(content(job.output) == expected);
    CHECK_FALSE(job.has_leftovers());
  }
  MESSAGE(n_kills << " kills, " << n_resumed << " of them with a journal, " << n_jobs << " jobs");
  CHECK(n_resumed > n_kills / 2);
}

TEST_CASE("job: killed often, results as completed are still each there once") {
  std::mt19937 random(7);
  const std::string lines = input_lines(800);
  const std::vector<std::string> expected = sorted_lines(expected_output(lines));
  const Job job(lines);
  for (unsigned tries = 0;
       run_for(job.command({"--step-us", "150", "--as-completed"}), SIGKILL,
               static_cast<int>(random() % (40'000 + 5'000 * tries))) == -SIGKILL;
       ++tries) {
  }
  const std::string out = content(job.output);
  CHECK(sorted_lines(out) == expected);
  CHECK(out != expected_output(lines));  // they did come out of order
}

TEST_CASE("job: interrupted it keeps what is done, and goes on from there") {
  const std::string lines = input_lines(600), expected = expected_output(lines);
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const bool insists : {false, true}) {
      // 600 lines in steps of 3 and 20 ms take 4 s. A program that has done none of them when it
      // is interrupted began slowly, and gets more time.
      bool has_continued = false;
      for (int time_us = 100'000; !has_continued && time_us < 3'000'000; time_us *= 2) {
        const Job job(lines);
        const int code = run_for(job.command({"--step-us", "20000"}), signal, time_us, {}, insists);
        if (!fs::exists(job.journal)) continue;
        CHECK(code == (signal == SIGINT ? 130 : 143));
        CHECK_FALSE(fs::exists(job.output));
        const Finished finished = job.run();
        CHECK(finished.code == 5);
        CHECK(content(job.output) == expected);
        has_continued = has(finished.err, "continuing: ");
      }
      CHECK(has_continued);
    }
  }
}

TEST_CASE("job: interrupted it ends soon, however many lines are under way") {
  const std::string lines = input_lines(300), expected = expected_output(lines);
  const Job job(lines);
  // Steps of 0.2 s finish 3 of 256 lines each: to finish all of them would take 17 s.
  const auto begin = std::chrono::steady_clock::now();
  CHECK(run_for(job.command({"--held", "256", "--step-us", "200000"}), SIGINT, 700'000) == 130);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  CHECK(fs::exists(job.journal));
  const Finished finished = job.run();
  CHECK(has(finished.err, "continuing: "));
  CHECK(content(job.output) == expected);
}

TEST_CASE("job: a second process on one job refuses, and the first is not disturbed") {
  const std::string lines = input_lines(300);
  const Job job(lines);
  const pid_t first = fork();
  if (first == 0) {
    _exit(run_for(job.command({"--step-us", "5000"}), 0, 0) == 5 ? 0 : 1);
  }
  for (int i = 0; i < 200 && !fs::exists(job.journal); ++i) usleep(5000);
  const Finished second = job.run();
  check_error(second, 1, "another process works on this job");
  int status = 0;
  waitpid(first, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(content(job.output) == expected_output(lines));
}

TEST_CASE("job: a second process on one output under another name refuses, too") {
  const std::string lines = input_lines(300);
  const Job job(lines);
  std::ofstream(job.output) << "of an older job\n";
  const std::string link = job.folder.path() + "/link";
  fs::create_symlink("out.jsonl", link);
  const pid_t first = fork();
  if (first == 0) {
    _exit(run_for(job.command({"--step-us", "5000"}), 0, 0) == 5 ? 0 : 1);
  }
  for (int i = 0; i < 200 && !fs::exists(job.journal); ++i) usleep(5000);
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", link}), 1,
              "another process works on this job");
  int status = 0;
  waitpid(first, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(fs::is_symlink(link));
  CHECK(content(link) == expected_output(lines));
}

// A job of which about the first half is done.
void do_half(const Job& job) {
  REQUIRE(run_for(job.command({"--step-us", "2000"}), SIGKILL, 150'000) == -SIGKILL);
  REQUIRE(fs::file_size(job.journal) > 1000);
}

TEST_CASE("job: another setting, shard or input than before is refused, until --restart") {
  const std::string lines = input_lines(500);
  const Job job(lines);
  do_half(job);
  check_error(job.run({"--setting", "2"}), 2, "settings.setting: it was 1, and is 2");
  check_error(job.run({"--shard", "1/2"}), 2, "shard: it was \"1/1\", and is \"1/2\"");
  std::string changed = lines;
  changed.replace(changed.find("\"r7\""), 4, "\"R7\"");
  job.set_input(changed);
  Finished finished = job.run({"-q"});
  check_error(finished, 2, "line 7 is not what it was");
  job.set_input(input_lines(3));
  finished = job.run({"-q"});
  check_error(finished, 2, "ends before lines that are done already");
  job.set_input(lines);
  CHECK(job.run({"--setting", "2", "--restart"}).code == 5);
  CHECK(content(job.output) == expected_output(lines));
}

// Every line of `lines` whose id is in `mended` no longer asks to fail.
std::string mend(std::string lines, const std::vector<int>& mended) {
  for (const int i : mended) {
    json line = json::parse(input_line(i));
    line.erase("fail");
    const size_t at = lines.find(input_line(i));
    REQUIRE(at != std::string::npos);
    lines.replace(at, input_line(i).size(), line.dump());
  }
  return lines;
}

TEST_CASE("job: what failed is done again as it then is, and the rest is not") {
  const std::string lines = input_lines(100);  // 5, 22, 39, 56, 73 and 90 fail
  const Job job(lines);
  const std::vector<std::string> retry = {"--retry-errors"};
  Finished finished = job.run(retry);
  CHECK(finished.code == 5);
  CHECK(has(finished.err, "6 of them failed; the same command does them again"));
  CHECK(content(job.output) == expected_output(lines));
  REQUIRE(fs::exists(job.journal));

  std::string some = mend(lines, {22, 90});
  job.set_input(some);
  check_error(job.run({"-q"}), 2, "line 22 is not what it was");
  CHECK(job.run(retry).code == 5);
  CHECK(content(job.output) == expected_output(some));

  // One that takes the id of a later line, which is done: that is now the double.
  const std::string taken = R"({"id":"r9","text":"mended"})";
  some.replace(some.find(input_line(5)), input_line(5).size(), taken);
  job.set_input(some);
  finished = job.run({"--retry-errors", "--as-completed", "--json"});
  CHECK(finished.code == 5);
  CHECK(json::parse(finished.out).at("n_resumed") == 100 - 4 - 1);
  CHECK(sorted_lines(content(job.output)) == sorted_lines(expected_output(some)));

  const std::string all = mend(lines, {5, 22, 39, 56, 73, 90});
  job.set_input(all);
  CHECK(job.run(retry).code == 2);  // line 5 is done, and was another
  std::string rest = mend(some, {39, 56, 73});
  rest.replace(rest.find(input_line(9)), input_line(9).size(), R"({"id":"r9b"})");
  job.set_input(rest);
  CHECK(job.run(retry).code == 0);
  CHECK(content(job.output) == expected_output(rest));
  CHECK_FALSE(job.has_leftovers());
  check_error(job.run(retry), 2, "no journal tells which of its lines have failed");
  CHECK(content(job.output) == expected_output(rest));
}

TEST_CASE("job: killed while it does failed lines again, it goes on from there") {
  std::mt19937 random(3);
  std::string lines, mended;
  for (int i = 0; i < 300; ++i) {
    json line = {{"id", id_of(i)}};
    mended += line.dump() + "\n";
    if (i % 3 == 0) line["fail"] = true;
    lines += line.dump() + "\n";
  }
  const Job job(lines);
  REQUIRE(job.run({"--retry-errors"}).code == 5);
  job.set_input(mended);
  int n_kills = 0;
  for (int code = -SIGKILL; code == -SIGKILL; ++n_kills) {
    code = run_for(job.command({"--retry-errors", "--step-us", "2000"}), SIGKILL,
                   static_cast<int>(random() % (30'000 + 5'000U * static_cast<unsigned>(n_kills))));
  }
  CHECK(n_kills > 1);
  CHECK(content(job.output) == expected_output(mended));
  CHECK_FALSE(job.has_leftovers());
}

TEST_CASE("job: lines that came after the interruption are done, too") {
  const Job job(input_lines(500));
  do_half(job);
  job.set_input(input_lines(520));
  CHECK(job.run().code == 5);
  CHECK(content(job.output) == expected_output(input_lines(520)));
}

TEST_CASE("job: a disk that is full ends it with an error, and all that is done is kept") {
  const std::string lines = input_lines(2000), expected = expected_output(lines);
  // Of the journal, or of the output when the journal is there: both grow beyond these.
  for (const int blocks : {1, 20, 200, 400}) {
    CAPTURE(blocks);
    const Job job(lines);
    std::vector<std::string> command = {
        "/bin/sh", "-c", "ulimit -f " + std::to_string(blocks) + "; exec \"$0\" \"$@\""};
    for (const std::string& word : job.command({"-q"})) command.push_back(word);
    const Finished full = run(command);
    check_error(full, 1, "File too large");
    CHECK_FALSE(fs::exists(job.output));
    const Finished finished = job.run();
    CHECK(finished.code == 5);
    CHECK(has(finished.err, "continuing: ") == (blocks > 1));
    CHECK(content(job.output) == expected);
    CHECK_FALSE(job.has_leftovers());
  }
}

}  // namespace
}  // namespace larder::tests

// Jobs over lines, run by a program whose worker echoes: what is there after it was killed,
// interrupted, denied its disk, given bad lines or another input.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tests/child_process.h"
#include "tests/larder_program.h"

namespace larder::tests {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string id_of(int i) {
  std::string id = "r";
  return id += std::to_string(i);
}

std::string input_line(int i) {
  json line = {{"id", id_of(i)}, {"text", std::string(static_cast<size_t>(i % 50), 'x')}};
  if (i % 17 == 5) line["fail"] = true;
  return line.dump();
}

std::string input_lines(int n) {
  std::string lines;
  for (int i = 1; i <= n; ++i) lines += input_line(i) + "\n";
  return lines;
}

struct Job {
  TemporaryFolder folder;
  std::string input = folder.path() + "/in.jsonl", output = folder.path() + "/out.jsonl",
              journal = output + ".journal";

  explicit Job(const std::string& lines) { set_input(lines); }
  void set_input(const std::string& lines) const {
    std::ofstream(input, std::ios::binary) << lines;
  }
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {LARDER_LINE_JOB_PROGRAM, "-i", input, "-o", output};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Finished run(const std::vector<std::string>& more = {}) const {
    return tests::run(command(more));
  }
  bool has_leftovers() const {
    for (const auto& file : fs::directory_iterator(folder.path())) {
      const std::string name = file.path().filename();
      if (name != "in.jsonl" && name != "out.jsonl" && name != "errors.jsonl") return true;
    }
    return false;
  }
};

// What an uninterrupted run gives.
std::string expected_output(const std::string& lines, const std::vector<std::string>& more = {}) {
  const Job job(lines);
  const Finished finished = job.run(more);
  REQUIRE((finished.code == 0 || finished.code == 5));
  return content(job.output);
}

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST_CASE("job: every line gives one record, in the order of the lines; failures are told") {
  const Job job(input_lines(200));
  const Finished finished = job.run();
  CHECK(finished.code == 5);
  CHECK(finished.out.empty());
  CHECK(has(finished.err, "200 lines, 12 of them failed"));
  const std::string out = content(job.output);
  CHECK(n_lines(out) == 200);
  int i = 0;
  std::istringstream stream(out);
  for (std::string line; std::getline(stream, line);) {
    CHECK(json::parse(line).at("id") == id_of(++i));
  }
  CHECK_FALSE(job.has_leftovers());
}

TEST_CASE("job: failed lines go to a file of their own") {
  const Job job(input_lines(100));
  const std::string errors = job.folder.path() + "/errors.jsonl";
  CHECK(job.run({"--errors", errors}).code == 5);
  CHECK(n_lines(content(job.output)) == 94);
  CHECK(n_lines(content(errors)) == 6);
  CHECK_FALSE(has(content(job.output), "\"error\""));
  CHECK_FALSE(job.has_leftovers());
}

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
      const Job job(lines);
      const int code = run_for(job.command({"--step-us", insists ? "20000" : "1000"}), signal,
                               100'000, {}, insists);
      CHECK(code == (signal == SIGINT ? 130 : 143));
      CHECK(fs::exists(job.journal));
      CHECK_FALSE(fs::exists(job.output));
      const Finished finished = job.run();
      CHECK(finished.code == 5);
      CHECK(has(finished.err, "continuing: "));
      CHECK(content(job.output) == expected);
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

TEST_CASE("job: places that cannot be written are told before any work") {
  const Job job(input_lines(5));
  const std::string folder = job.folder.path();
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", folder}), 1, "directory");
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", folder + "/none/out"}), 1,
              "No such file");
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", job.input}), 2, "uses the file");
  fs::create_symlink(job.input, folder + "/link");
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", folder + "/link"}), 2,
              "uses the file");
  check_error(job.run({"--errors", job.output}), 2, "named for two things");
  check_error(job.run({"--report", folder + "/report.txt"}), 2, "neither .json nor .html");
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", folder + "/none", "-o", job.output}), 1,
              "cannot be read");
  for (const char* const shard : {"0/2", "3/2", "1", "1/", "/2", "a/b", "1/2x"}) {
    CHECK(job.run({"--shard", shard}).code == 2);
  }
  CHECK(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", "/dev/full", "-q"}).code == 1);
  CHECK(content(job.input) == input_lines(5));
}

TEST_CASE("job: a bad line is a record with its number, and the others are done") {
  const std::string long_line =
      R"({"id":"long","text":")" + std::string(size_t{9} << 20, 'a') + "\"}";
  const std::string lines = "\xEF\xBB\xBF" + input_line(1) + "\r\n" + "no json\n" + "\n" +
                            "[1, 2]\n" + input_line(1) + "\n" + long_line + "\n" +
                            "{\"id\":\"\xFF\"}\n" + "{\"id\":\"cut\n" + "{}\n" + input_line(2);
  const Job job(lines);
  const Finished finished = job.run();
  CHECK(finished.code == 5);
  std::vector<json> records;
  for (std::istringstream stream(content(job.output)); !stream.eof();) {
    std::string line;
    if (std::getline(stream, line) && !line.empty()) records.push_back(json::parse(line));
  }
  REQUIRE(records.size() == 10);
  const std::map<size_t, std::string> errors = {
      {2, "malformed"}, {3, "too early"}, {4, "no JSON object"}, {5, "same id"},
      {6, "longer"},    {7, "UTF-8"},     {8, "malformed"}};
  for (size_t line = 1; line <= records.size(); ++line) {
    CAPTURE(line);
    const json& record = records[line - 1];
    const auto error = errors.find(line);
    if (error == errors.end()) {
      CHECK(record.contains("echo"));
    } else {
      CHECK(record.at("line") == line);
      CHECK(has(record.at("error"), error->second));
    }
  }
  CHECK(records[4].at("id") == "r1");
}

TEST_CASE("job: shards together, taken in turn, are the whole") {
  // A double in another shard than its first, and a bad line, too.
  const std::string lines = input_lines(100) + input_line(2) + "\nbad\n" + input_line(101) + "\n";
  const std::string whole = expected_output(lines);
  std::vector<std::vector<std::string>> parts;
  for (int i = 1; i <= 3; ++i) {
    const std::string out = expected_output(lines, {"--shard", std::to_string(i) + "/3"});
    std::istringstream stream(out);
    parts.emplace_back();
    for (std::string line; std::getline(stream, line);) parts.back().push_back(line + "\n");
  }
  std::string merged;
  for (size_t i = 0; i < 103; ++i) merged += parts[i % 3].at(i / 3);
  CHECK(merged == whole);
}

TEST_CASE("job: the same job in other ways of running has the same records") {
  const std::string lines = input_lines(300), expected = expected_output(lines);
  for (const char* const held : {"1", "2", "300", "5000"}) {
    CHECK(expected_output(lines, {"--held", held}) == expected);
  }
  CHECK(sorted_lines(expected_output(lines, {"--as-completed"})) == sorted_lines(expected));
  const Finished streamed = run({LARDER_LINE_JOB_PROGRAM, "-i", "-", "-o", "-"}, lines);
  CHECK(streamed.out == expected);
  CHECK(has(streamed.err, "there is no journal"));
  const Job job("");
  const Finished from_stream = run({LARDER_LINE_JOB_PROGRAM, "-i", "-", "-o", job.output}, lines);
  CHECK(from_stream.code == 5);
  CHECK(content(job.output) == expected);
}

TEST_CASE("job: a reader that leaves ends it quietly") {
  const std::string lines = input_lines(20000);
  const Job job(lines);
  const Finished finished =
      run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", "-", "-q", "--step-us", "100"}, {}, {},
          Disturbance::close_stdout);
  CHECK(finished.code == 0);
  CHECK(finished.err.empty());
}

// The most anonymous memory, in KiB, that the job is seen to have.
int64_t most_memory(const Job& job) {
  const pid_t child = fork();
  if (child == 0) _exit(run_for(job.command({"--held", "256"}), 0, 0));
  // The job is the child's child.
  const std::string mine = "/proc/" + std::to_string(child);
  const std::string children = mine + "/task/" + std::to_string(child) + "/children";
  int64_t most = 0;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    std::string id = content(children);
    id.resize(std::min(id.find(' '), id.size()));
    std::istringstream lines(content("/proc/" + id + "/status"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("RssAnon:")) most = std::max<int64_t>(most, std::stol(line.substr(8)));
    }
    usleep(5000);
  }
  CHECK(WEXITSTATUS(status) == 5);
  return most;
}

TEST_CASE("job: its memory does not grow with the lines") {
  const Job small(input_lines(5000)), large(input_lines(LARDER_JOB_LINES));
  const int64_t few = most_memory(small), many = most_memory(large);
  MESSAGE(few << " KiB for 5000 lines, " << many << " KiB for " << LARDER_JOB_LINES);
  REQUIRE(few > 0);
  CHECK(many < few + 2048);  // pages that the allocator keeps; an id alone is 16 bytes
  CHECK(n_lines(content(large.output)) == LARDER_JOB_LINES);
}

TEST_CASE("job: an empty input is done at once") {
  const Job job("");
  CHECK(job.run().code == 0);
  CHECK(fs::exists(job.output));
  CHECK(content(job.output).empty());
  CHECK_FALSE(job.has_leftovers());
}

TEST_CASE("job: reports and events are JSON, and a page") {
  const Job job(input_lines(50));
  const std::string report = job.folder.path() + "/report.json",
                    page = job.folder.path() + "/report.html";
  const Finished finished = job.run({"--json", "--report", report});
  const json told = json::parse(finished.out), kept = json::parse(content(report));
  CHECK(told == kept);
  CHECK(told.at("request_counts") == json({{"total", 50}, {"completed", 47}, {"failed", 3}}));
  CHECK(told.at("scores").at("count") == 47);
  CHECK(told.at("slowest").size() == 10);
  CHECK(told.at("identity").at("settings").at("setting") == 1);
  CHECK(json::parse(finished.err.substr(0, finished.err.find('\n'))).at("event") == "start");
  CHECK(job.run({"--report", page}).code == 5);
  CHECK(content(page).starts_with("<!DOCTYPE html>"));
  CHECK_FALSE(has(content(page), "http://www.w3.org/1999"));
  CHECK_FALSE(has(content(page), "src="));
}

}  // namespace
}  // namespace larder::tests

// Jobs over lines, run by a program whose worker echoes: what becomes of good and bad lines, in
// which order, and what is told of it.
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <sstream>

#include "tests/echo_job.h"

namespace larder::tests {
namespace {

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

TEST_CASE("job: what a run reads or keeps is not written over, whatever it is called") {
  const std::string lines = input_lines(20);
  const Job job(lines);
  const std::string folder = job.folder.path();
  for (const char* const flag : {"--errors", "--report"}) {
    // Neither is there yet: only their names tell that they are one.
    const std::string other = folder + "/./out.jsonl.html";
    check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", folder + "/out.jsonl.html",
                     flag, other}),
                2, "is named for two things");
  }
  check_error(job.run({"--errors", folder + "/./out.jsonl.journal"}), 2, "is named for two things");
  for (const char* const end : {".journal", ".partial"}) {
    // With nothing in it, it could be taken for a journal that was just begun.
    for (const std::string& text : {lines, std::string()}) {
      const Job beside("");
      const std::string input = beside.output + end;
      std::ofstream(input) << text;
      const Finished refused =
          run({LARDER_LINE_JOB_PROGRAM, "-i", input, "-o", beside.output, "-q"});
      CHECK(refused.code == 2);
      CHECK(has(refused.err, "this run uses the file already"));
      CHECK(content(input) == text);
    }
  }
  check_error(run({LARDER_LINE_JOB_PROGRAM, "-i", job.input, "-o", ""}), 2, "the name of a file");
  CHECK_FALSE(job.has_leftovers());
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
      {2, "malformed"}, {3, "line is empty"}, {4, "no JSON object"}, {5, "same id"},
      {6, "longer"},    {7, "UTF-8"},         {8, "malformed"}};
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
  for (; waitpid(child, &status, WNOHANG) == 0; usleep(2000)) {
    std::string id = content(children);
    id.resize(std::min(id.find(' '), id.size()));
    // Before it becomes the program it is a copy of this one, with all its memory.
    std::error_code gone;
    const std::string runs = fs::read_symlink("/proc/" + id + "/exe", gone);
    if (runs != fs::canonical(LARDER_LINE_JOB_PROGRAM)) continue;
    std::istringstream lines(content("/proc/" + id + "/status"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("RssAnon:")) most = std::max<int64_t>(most, std::stol(line.substr(8)));
    }
  }
  CHECK(WEXITSTATUS(status) == 5);
  return most;
}

TEST_CASE("job: its memory does not grow with the lines") {
  const Job small(input_lines(5000)), large(input_lines(LARDER_JOB_LINES));
  const int64_t few = most_memory(small), many = most_memory(large);
  MESSAGE(few << " KiB for 5000 lines, " << many << " KiB for " << LARDER_JOB_LINES);
  REQUIRE(few > 0);
#if !defined(__SANITIZE_ADDRESS__)  // keeps what is freed, up to a limit of its own
  CHECK(many < few + 2048);         // pages that the allocator keeps; an id alone is 16 bytes
#endif
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

// The flags of jobs.
#include <charconv>
#include <string>

#include "apps/line_job.h"

namespace larder::apps {

Result<Shard> parse_shard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  if (index.ec == std::errc() && index.ptr != end && *index.ptr == '/') {
    const auto count = std::from_chars(index.ptr + 1, end, shard.count);
    if (count.ec == std::errc() && count.ptr == end && shard.index >= 1 &&
        shard.index <= shard.count) {
      return shard;
    }
  }
  return Status(Cause::invalid_argument,
                "'" + text.substr(0, 40) + "' is no shard; say 1/4, 2/4, 3/4 or 4/4");
}

void add_job_options(CLI::App& command, JobOptions& options) {
  command.add_option("-i,--input", options.input, "JSONL, an item a line; - is stdin")
      ->type_name("FILE")
      ->required();
  command
      .add_option("-o,--output", options.output,
                  "The results, complete or not at all; - is stdout, as they come")
      ->type_name("FILE")
      ->required();
  command.add_option("--errors", options.errors, "Failed items go there, not among the results")
      ->type_name("FILE");
  command.add_option("--report", options.report, "What the job came to: a .json or a .html")
      ->type_name("FILE")
      ->check([](const std::string& path) {
        return path.ends_with(".json") || path.ends_with(".html")
                   ? std::string()
                   : "'" + path + "' is neither .json nor .html";
      });
  command
      .add_option_function<std::string>(
          "--shard",
          [&options](const std::string& text) {
            const Result<Shard> shard = parse_shard(text);
            if (!shard) throw CLI::ValidationError("--shard", shard.status().detail().message);
            options.shard = *shard;
          },
          "Only lines I, I+N, I+2N, ... of the input, from 1")
      ->type_name("I/N");
  command.add_flag("--as-completed", options.is_as_completed,
                   "Results in the order in which they are finished, not that of the input");
  CLI::Option* const restart = command.add_flag("--restart", options.is_restart,
                                                "Throw away what an interrupted run has done");
  command
      .add_flag("--retry-errors", options.retries_errors,
                "Do lines that failed in an earlier run again, as they are now; while some fail, "
                "the journal stays for the next try")
      ->excludes(restart);
}

}  // namespace larder::apps

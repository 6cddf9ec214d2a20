// A program with a job whose worker costs nothing but the time it is told to take: what is tested
// is everything around it. Lines are finished out of order, in groups of changing size.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "apps/line_job.h"
#include "apps/signals.h"
#include "apps/usage_error.h"
#include "formats/json/json.h"

namespace {

using larder::Status;
using larder::formats::DataValue;
using namespace larder::apps;

class EchoWorker : public LineWorker {
 public:
  EchoWorker(size_t n_held, int step_us) : n_held_(n_held), step_us_(step_us) {}

  std::vector<std::string_view> id_names() const override { return {"id"}; }
  std::string error_record(int64_t number, const DataValue& id, const Status& why) const override {
    return to_json(
        DataValue::make_dict({{"id", id}, {"line", number}, {"error", why.detail().message}}));
  }
  bool wants_line() const override { return held_.size() < n_held_; }
  bool has_work() const override { return !held_.empty(); }
  void take(JobLine line) override { held_.push_back(std::move(line)); }

  Status step(std::vector<FinishedLine>& finished) override {
    if (step_us_ > 0) usleep(static_cast<useconds_t>(step_us_));
    ++n_steps_;
    for (size_t n = 1 + n_steps_ % 5; n > 0 && !held_.empty(); --n) {
      const size_t chosen = (n_steps_ * 7 + n * 3) % held_.size();
      finished.push_back(answer(held_[chosen]));
      held_.erase(held_.begin() + static_cast<ptrdiff_t>(chosen));
    }
    return {};
  }

 private:
  FinishedLine answer(const JobLine& line) const {
    FinishedLine done;
    done.number = line.number;
    done.has_failed = line.value.find("fail") != nullptr;
    if (done.has_failed) {
      done.record = error_record(line.number, line.id, Status(larder::Cause::numeric, "asked to"));
      return done;
    }
    const std::string text = to_json(line.value);
    done.n_prompt = static_cast<int64_t>(text.size());
    done.score = -static_cast<double>(text.size());
    done.record = to_json(DataValue::make_dict({{"id", line.id}, {"echo", line.value}}));
    return done;
  }

  size_t n_held_, n_steps_ = 0;
  int step_us_;
  std::vector<JobLine> held_;
};

}  // namespace

int main(int argc, char** argv) {
  install_signal_handlers();
  CLI::App program("A job of echoes.", "larder");
  JobOptions job;
  OutputOptions output;
  size_t n_held = 37;
  int step_us = 0;
  int64_t setting = 1;
  add_job_options(program, job);
  add_output_options(program, output);
  program.add_option("--held", n_held, "");
  program.add_option("--step-us", step_us, "");
  program.add_option("--setting", setting, "");
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    complain(usage_message(program, error));
    return kUsage;
  }
  EchoWorker worker(n_held, step_us);
  const DataValue identity = DataValue::make_dict(
      {{"command", "echo"}, {"settings", DataValue::make_dict({{"setting", setting}})}});
  return run_line_job(worker, identity, job, output);
}

// larder score: log-likelihoods of the lines of a file.
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/job_engine.h"
#include "apps/line_job.h"
#include "apps/model_loader.h"
#include "apps/score_record.h"
#include "apps/signals.h"
#include "apps/subcommands.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::EngineResult;
using runtime::Likelihood;

struct ScoreOptions {
  std::string model;
  JobOptions job;
  OutputOptions output;
  runtime::EngineOptions engine;
  bool tells_tokens = false;
};

// Lines on the engine: an item for every window of every text.
class ScoreWorker : public LineWorker {
 public:
  ScoreWorker(runtime::Engine& engine, const runtime::Scorer& scorer, bool tells_tokens)
      : engine_(engine), scorer_(scorer), tells_tokens_(tells_tokens) {}

  std::vector<std::string_view> id_names() const override { return {"id", "custom_id"}; }
  std::string error_record(int64_t number, const DataValue& id, const Status& why) const override {
    return score_error(number, id, why);
  }
  bool wants_line() const override { return waiting_.empty() && engine_.has_room(); }
  bool has_work() const override { return !open_.empty() || !done_.empty(); }

  void take(JobLine line) override {
    const int64_t number = line.number;
    const DataValue id = line.id;
    Result<ScoreRequest> request = read_score_request(std::move(line), scorer_, tells_tokens_);
    if (!request) {
      done_.push_back({number, score_error(number, id, request.status()), true});
      return;
    }
    Open& open = open_[number];
    open.request = std::move(*request);
    for (size_t text = 0; text < open.request.texts.size(); ++text) {
      open.results.emplace_back(open.request.texts[text].size());
      for (size_t window = 0; window < open.request.texts[text].size(); ++window) {
        waiting_.push_back({number, text, window});
        ++open.n_left;
      }
    }
    if (open.n_left == 0) finish(number, open);
    submit();
  }

  Status step(std::vector<FinishedLine>& finished) override {
    submit();
    Status status;
    if (engine_.n_held() > 0)
      status = engine_.advance([this](EngineResult&& result) { settle(std::move(result)); });
    submit();
    for (FinishedLine& line : std::exchange(done_, {})) finished.push_back(std::move(line));
    return status;
  }

 private:
  struct Open {
    ScoreRequest request;
    std::vector<std::vector<EngineResult>> results;  // by text and window
    size_t n_left = 0;
    Status why;  // why the line fails, if a window of it has
  };
  struct Place {
    int64_t line = 0;
    size_t text = 0, window = 0;
  };

  // What does not fit now waits, in order.
  void submit() {
    while (!waiting_.empty() && engine_.has_room()) {
      const Place place = waiting_.front();
      waiting_.pop_front();
      const uint64_t tag = next_tag_++;
      places_[tag] = place;
      const auto& window = open_.at(place.line).request.texts[place.text][place.window];
      if (Status s = engine_.submit(scorer_.item(window, tag)); !s.ok()) {
        EngineResult failed;
        failed.tag = tag;
        failed.status = std::move(s);
        settle(std::move(failed));
      }
    }
  }

  void settle(EngineResult&& result) {
    const auto found = places_.find(result.tag);
    const Place place = found->second;
    places_.erase(found);
    Open& open = open_.at(place.line);
    if (!result.status.ok() && open.why.ok()) open.why = result.status;
    open.results[place.text][place.window] = std::move(result);
    if (--open.n_left == 0) finish(place.line, open);
  }

  void finish(int64_t number, const Open& open) {
    FinishedLine line;
    line.number = number;
    line.n_prompt = static_cast<int64_t>(open.request.n_tokens());
    if (open.why.ok()) {
      const std::vector<Likelihood> likelihoods = likelihoods_of(open);
      line.record = score_record(open.request, likelihoods);
      line.score = likelihoods.front().logprob;
    } else {
      line.record = score_error(number, open.request.id, open.why);
      line.has_failed = true;
    }
    done_.push_back(std::move(line));
    open_.erase(number);
  }

  static std::vector<Likelihood> likelihoods_of(const Open& open) {
    std::vector<Likelihood> likelihoods(open.request.texts.size());
    for (size_t text = 0; text < likelihoods.size(); ++text)
      for (size_t window = 0; window < open.results[text].size(); ++window)
        append(likelihoods[text], open.request.texts[text][window], open.results[text][window]);
    return likelihoods;
  }

  runtime::Engine& engine_;
  const runtime::Scorer& scorer_;
  const bool tells_tokens_;
  std::map<int64_t, Open> open_;      // by line
  std::map<uint64_t, Place> places_;  // by tag
  std::deque<Place> waiting_;         // for room in the engine
  std::vector<FinishedLine> done_;
  uint64_t next_tag_ = 0;
};

int run_score(const ScoreOptions& options) {
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  const auto engine = open_job_engine(std::move(*model), options.engine, options.output);
  if (!engine) return fail_model(engine.status());
  const auto scorer = runtime::Scorer::create((*engine)->model(), (*engine)->n_ctx());
  if (!scorer) return fail_model(scorer.status());
  const Result<DataValue> identity = job_identity(
      "score", **engine, DataValue::make_dict({{"token_logprobs", options.tells_tokens}}));
  if (!identity) return fail_model(identity.status());
  ScoreWorker worker(**engine, *scorer, options.tells_tokens);
  const CancelsOnSignal cancels(**engine);
  JobOptions job = options.job;
  add_model_files(job, (*engine)->model().file());
  return run_line_job(worker, *identity, job, options.output);
}

}  // namespace

void add_score(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "score",
      "Log-likelihoods of lines {\"id\",\"context\",\"continuation\"}, "
      "{\"id\",\"context\",\"choices\"} or {\"id\",\"text\"}, as lm-evaluation-harness's");
  auto options = std::make_shared<ScoreOptions>();
  add_model_option(command, options->model);
  add_job_options(command, options->job);
  command.add_flag("--token-logprobs", options->tells_tokens,
                   "Also each token and its log-probability");
  add_engine_options(command, options->engine);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_score(*options); }; });
}

}  // namespace larder::apps

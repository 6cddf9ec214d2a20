// larder batch: answers the lines of an OpenAI batch.
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/batch_request.h"
#include "apps/batch_response.h"
#include "apps/digest.h"
#include "apps/exit_code.h"
#include "apps/job_engine.h"
#include "apps/line_job.h"
#include "apps/model_loader.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/template_flags.h"
#include "formats/json/json.h"
#include "runtime/session/thinking_style.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::EngineItem;
using runtime::EngineResult;

struct BatchOptions {
  std::string model, now;
  JobOptions job;
  OutputOptions output;
  runtime::EngineOptions engine;
  SamplingFlags sampling;
  runtime::GenerationOptions generation;
  TemplateFlags chat_template;
  bool recognises_special = false;
};

// Requests on the engine: an item for every choice of every prompt.
class BatchWorker : public LineWorker {
 public:
  BatchWorker(runtime::Engine& engine, BatchDefaults defaults, BatchOrigin origin)
      : engine_(engine), defaults_(std::move(defaults)), origin_(std::move(origin)) {}

  std::vector<std::string_view> id_names() const override { return {"custom_id"}; }
  std::string error_record(int64_t number, const DataValue& id, const Status& why) const override {
    return batch_error(number, id, why);
  }
  bool wants_line() const override { return waiting_.empty() && engine_.has_room(); }
  bool has_work() const override { return !open_.empty() || !refused_.empty(); }

  void take(JobLine line) override {
    Result<BatchRequest> request = read_batch_request(line.value, defaults_);
    if (!request) return refuse(line.number, line.id, request.status());
    Open& open = open_[line.number];
    open.request = std::move(*request);
    const BatchRequest& asked = open.request;
    for (size_t prompt = 0; prompt < asked.prompts.size(); ++prompt) {
      for (int32_t choice = 0; choice < asked.n_choices; ++choice) {
        waiting_.push_back(item_of(asked, prompt, choice));
        places_[next_tag_] = {line.number, open.results.size()};
        waiting_.back().tag = next_tag_++;
        open.results.emplace_back();
      }
    }
    open.n_left = open.results.size();
    submit();
  }

  Status step(std::vector<FinishedLine>& finished) override {
    submit();
    Status status;
    if (engine_.n_held() > 0) {
      status = engine_.advance([this](EngineResult&& result) { settle(std::move(result)); });
    }
    submit();
    for (FinishedLine& line : refused_) finished.push_back(std::move(line));
    refused_.clear();
    for (FinishedLine& line : done_) finished.push_back(std::move(line));
    done_.clear();
    return status;
  }

 private:
  struct Open {
    BatchRequest request;
    std::vector<EngineResult> results;
    size_t n_left = 0;
    Status why;  // why the line fails, if an item of it has
  };
  struct Place {
    int64_t line = 0;
    size_t index = 0;  // of the result
  };

  static EngineItem item_of(const BatchRequest& request, size_t prompt, int32_t choice) {
    EngineItem item;
    item.tokens = request.prompts[prompt];
    item.generation.emplace();
    item.generation->sampler = request.sampler;
    item.generation->sampler.seed = seed_of_choice(request.sampler.seed, choice);
    item.generation->options = request.generation;
    item.n_top = request.n_top;
    return item;
  }

  void refuse(int64_t line, const DataValue& id, const Status& why) {
    refused_.push_back({line, batch_error(line, id, why), true});
  }

  // What does not fit now waits, in order.
  void submit() {
    while (!waiting_.empty() && engine_.has_room()) {
      EngineItem item = std::move(waiting_.front());
      waiting_.pop_front();
      const uint64_t tag = item.tag;
      if (Status s = engine_.submit(std::move(item)); !s.ok()) {
        EngineResult failed;
        failed.tag = tag;
        failed.status = std::move(s);
        settle(std::move(failed));
      }
    }
  }

  void settle(EngineResult&& result) {
    const auto place = places_.find(result.tag);
    if (place == places_.end()) return;
    const auto [line, index] = place->second;
    places_.erase(place);
    Open& open = open_.at(line);
    if (!result.status.ok() && open.why.ok()) open.why = result.status;
    open.results[index] = std::move(result);
    if (--open.n_left > 0) return;
    done_.push_back(finish(line, open));
    open_.erase(line);
  }

  FinishedLine finish(int64_t number, const Open& open) const {
    FinishedLine line;
    line.number = number;
    for (const auto& prompt : open.request.prompts) {
      line.n_prompt += static_cast<int64_t>(prompt.size());
    }
    if (!open.why.ok()) {
      line.has_failed = true;
      line.record = batch_error(number, open.request.custom_id, open.why);
      return line;
    }
    line.record = batch_response(open.request, open.results, defaults_, origin_);
    for (const EngineResult& result : open.results) {
      line.n_predicted += static_cast<int64_t>(result.generation->tokens.size());
    }
    line.score = 0;
    for (const float logprob : open.results[0].generation->logprobs) line.score += double{logprob};
    return line;
  }

  runtime::Engine& engine_;
  BatchDefaults defaults_;
  BatchOrigin origin_;
  std::map<int64_t, Open> open_;      // by line
  std::map<uint64_t, Place> places_;  // by tag
  std::deque<EngineItem> waiting_;    // for room in the engine
  std::vector<FinishedLine> refused_, done_;
  uint64_t next_tag_ = 0;
};

Result<BatchDefaults> defaults_of(const runtime::Engine& engine, const BatchOptions& options) {
  const runtime::Model& model = engine.model();
  BatchDefaults defaults;
  defaults.tokenizer = model.tokenizer();
  auto own = read_template(options.chat_template);
  if (!own) return own.status();
  defaults.chat_template = *own != nullptr ? *own : model.chat_template();
  if (defaults.chat_template == nullptr) {
    auto read = runtime::read_chat_template(model.file());
    if (read) {
      defaults.chat_template = *read;
    } else if (read.status().cause() != Cause::missing) {
      return read.status();
    }
  }
  if (defaults.chat_template != nullptr) {
    defaults.styles = runtime::thinking_styles(defaults.chat_template->source());
    defaults.shown_control = runtime::mark_tokens(defaults.styles, *defaults.tokenizer);
  }
  SamplingFlags sampling = options.sampling;
  if (sampling.seed < 0) sampling.seed = 0;  // a job is the same each time
  const auto sampler = sampler_options(model.file(), sampling);
  if (!sampler) return sampler.status();
  defaults.sampler = *sampler;
  defaults.generation = options.generation;
  defaults.thinking = thinking_wish(options.chat_template);
  Result<DataValue> variables = template_variables(options.chat_template);
  if (!variables) return variables.status();
  defaults.variables = std::move(*variables);
  const Result<std::tm> now = parse_time(options.now.empty() ? "1970-01-01" : options.now);
  if (!now) return now.status();
  defaults.now = *now;
  if (options.recognises_special) defaults.special = formats::SpecialTokens::recognised;
  defaults.n_ctx = engine.n_ctx();
  return defaults;
}

// Everything that a record depends on besides its line and the model.
DataValue settings_of(const BatchDefaults& defaults) {
  const runtime::SamplerOptions& sampler = defaults.sampler;
  const runtime::GenerationOptions& generation = defaults.generation;
  DataValue stop = DataValue::make_list();
  for (const std::string& text : generation.stop) stop.list.emplace_back(text);
  std::tm now = defaults.now;
  return DataValue::make_dict(
      {{"seed", static_cast<int64_t>(sampler.seed)},
       {"temperature", double{sampler.temperature}},
       {"top_k", sampler.top_k},
       {"top_p", double{sampler.top_p}},
       {"min_p", double{sampler.min_p}},
       {"typical_p", double{sampler.typical_p}},
       {"repeat_penalty", double{sampler.repeat_penalty}},
       {"repeat_last_n", sampler.repeat_last_n},
       {"presence_penalty", double{sampler.presence_penalty}},
       {"frequency_penalty", double{sampler.frequency_penalty}},
       {"max_tokens", generation.max_tokens},
       {"stop", std::move(stop)},
       {"ignore_end", generation.ignore_end},
       {"template_sha256", defaults.chat_template == nullptr
                               ? DataValue()
                               : DataValue(sha256_hex(defaults.chat_template->source()))},
       {"template_variables", defaults.variables},
       {"thinking", defaults.thinking},
       {"now", static_cast<int64_t>(timegm(&now))},
       {"special", defaults.special == formats::SpecialTokens::recognised}});
}

BatchOrigin origin_of(const runtime::Model& model, const DataValue& identity,
                      const BatchDefaults& defaults) {
  BatchOrigin origin;
  const auto name = model.file().string("general.name");
  origin.model = name && !name->empty() ? std::string(*name) : model.config().architecture;
  origin.fingerprint = "larder-" + identity.find("model")->find("sha256")->string.substr(0, 16);
  std::tm now = defaults.now;
  origin.created = timegm(&now);
  return origin;
}

int run_batch(const BatchOptions& options) {
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  if ((*model)->config().has_encoder()) {
    return fail(Status(Cause::unsupported, "a batch needs a model that goes on with its prompt")
                    .with_file((*model)->file().path()));
  }
  const auto engine = open_job_engine(std::move(*model), options.engine, options.output);
  if (!engine) return fail_model(engine.status());
  Result<BatchDefaults> defaults = defaults_of(**engine, options);
  if (!defaults) return fail(defaults.status());
  const bool asks_time =
      defaults->chat_template != nullptr &&
      defaults->chat_template->source().find("strftime_now") != std::string::npos;
  if (asks_time && options.now.empty() && !options.output.is_quiet) {
    complain(
        "warning: the chat template asks for the date, and sees 1970-01-01; give another with "
        "--now");
  }
  const Result<DataValue> identity = job_identity("batch", **engine, settings_of(*defaults));
  if (!identity) return fail_model(identity.status());
  const BatchOrigin origin = origin_of((*engine)->model(), *identity, *defaults);
  BatchWorker worker(**engine, std::move(*defaults), origin);
  const CancelsOnSignal cancels(**engine);
  JobOptions job = options.job;
  add_model_files(job, (*engine)->model().file());
  return run_line_job(worker, *identity, job, options.output);
}

}  // namespace

void add_batch(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand("batch", "Answer the lines of an OpenAI batch");
  auto options = std::make_shared<BatchOptions>();
  add_model_option(command, options->model);
  add_job_options(command, options->job);
  add_generation_options(command, options->generation);
  add_template_options(command, options->chat_template);
  command.add_flag("--special", options->recognises_special,
                   "Recognise control tokens in the prompts of completions");
  command
      .add_option("--now", options->now,
                  "The time that templates see and answers are created at (default: 1970-01-01)")
      ->type_name("ISO-TIME");
  add_sampling_options(command, options->sampling);
  add_engine_options(command, options->engine);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_batch(*options); }; });
}

}  // namespace larder::apps

// larder perplexity: how well a model expects texts, and how far it is from a base model.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/base_logits.h"
#include "apps/evaluated_text.h"
#include "apps/exit_code.h"
#include "apps/job_engine.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/perplexity_figures.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "formats/json/json.h"
#include "runtime/session/scorer.h"

namespace larder::apps {
namespace {

using formats::TokenId;
using runtime::EngineItem;
using runtime::EngineResult;

struct PerplexityOptions {
  std::string model, save, base;
  std::vector<std::string> files;
  TextMode mode = TextMode::rolling;
  int32_t n_top = 64;
  OutputOptions output;
  runtime::EngineOptions engine;
};

// Texts on the engine. Windows finish in any order, and count in their own.
class Evaluation {
 public:
  Evaluation(runtime::Engine& engine, const TextWindows& windows, std::vector<EvaluatedText>& texts,
             BaseWriter* writer, BaseReader* reader, int32_t n_top)
      : engine_(engine),
        windows_(windows),
        texts_(texts),
        writer_(writer),
        reader_(reader),
        n_top_(n_top) {}

  Status run(ProgressLine& progress) {
    size_t n_all = 0;
    for (const EvaluatedText& text : texts_) n_all += windows_.n_scored(text);
    while (next_text_ < texts_.size() || engine_.n_held() > 0) {
      if (is_ending()) return Status(Cause::cancelled, "interrupted");
      if (Status s = submit(); !s.ok()) return s;
      const Status status = engine_.advance([this](EngineResult&& result) {
        const uint64_t tag = result.tag;
        under_way_.at(tag)->result = std::move(result);
      });
      if (!status.ok()) return status;
      if (Status s = count(); !s.ok()) return s;
      progress.update(static_cast<int64_t>(surprise.count()), static_cast<int64_t>(n_all));
    }
    return {};
  }

  Mean surprise;
  Comparison comparison;

 private:
  struct Window {
    size_t text = 0;
    std::vector<TokenId> scored;
    std::vector<BaseToken> base;
    std::vector<double> divergences;
    std::vector<char> has_same_top;
    std::optional<EngineResult> result;
  };

  Status submit() {
    while (engine_.has_room() && next_text_ < texts_.size()) {
      if (next_window_ == texts_[next_text_].n_windows) {
        ++next_text_;
        next_window_ = 0;
        continue;
      }
      auto window = std::make_unique<Window>();
      window->text = next_text_;
      EngineItem item = windows_.item(texts_[next_text_], next_window_++, next_tag_);
      window->scored.assign(item.tokens.begin() + item.first_scored, item.tokens.end());
      if (writer_ != nullptr) item.n_top = n_top_;
      if (reader_ != nullptr)
        if (Status s = compare(*window, item); !s.ok()) return s;
      under_way_.emplace(next_tag_++, std::move(window));
      if (Status s = engine_.submit(std::move(item)); !s.ok()) return s;
    }
    return {};
  }

  // The window's logits will meet what the base expected.
  Status compare(Window& window, EngineItem& item) {
    Result<std::vector<BaseToken>> base = reader_->read(window.scored.size());
    if (!base) return base.status();
    for (size_t i = 0; i < base->size(); ++i)
      if ((*base)[i].token != window.scored[i])
        return Status(Cause::changed,
                      "the base's distributions are of another text, or of another tokenizer");
    window.base = std::move(*base);
    window.divergences.resize(window.base.size());
    window.has_same_top.resize(window.base.size());
    item.on_predicted = [&window, first = item.first_scored](const runtime::PredictedToken& token) {
      const auto i = static_cast<size_t>(token.index - first);
      window.divergences[i] = divergence(window.base[i], token);
      window.has_same_top[i] = token.summary.argmax == window.base[i].top.front().token ? 1 : 0;
    };
    return {};
  }

  // All windows up to the first that is not finished.
  Status count() {
    for (; !under_way_.empty() && under_way_.begin()->second->result;
         under_way_.erase(under_way_.begin())) {
      const Window& window = *under_way_.begin()->second;
      const EngineResult& result = *window.result;
      if (!result.status.ok()) return result.status;
      for (size_t i = 0; i < result.scores.size(); ++i) {
        const double logprob = result.scores[i].logprob;
        surprise.add(-logprob);
        texts_[window.text].figures.surprise.add(-logprob);
        const auto n = static_cast<size_t>(n_top_);
        if (writer_ != nullptr)
          writer_->add(window.scored[i], logprob, std::span(result.top).subspan(i * n, n));
        if (reader_ != nullptr)
          comparison.add(window.base[i].logprob, window.divergences[i], logprob,
                         window.has_same_top[i] != 0);
      }
    }
    return {};
  }

  runtime::Engine& engine_;
  const TextWindows& windows_;
  std::vector<EvaluatedText>& texts_;
  BaseWriter* const writer_;  // null: nothing is saved
  BaseReader* const reader_;  // null: nothing is compared
  const int32_t n_top_;
  size_t next_text_ = 0, next_window_ = 0;
  uint64_t next_tag_ = 0;
  std::map<uint64_t, std::unique_ptr<Window>> under_way_;  // by tag
};

Status check_base(const BaseHeader& base, const BaseHeader& own, const std::string& path) {
  std::string what;
  if (base.n_vocab != own.n_vocab)
    what = "a vocabulary of " + std::to_string(base.n_vocab) + ", the model's has " +
           std::to_string(own.n_vocab);
  else if (base.mode != own.mode)
    what = "another --mode";
  else if (base.n_ctx != own.n_ctx)
    what = "--ctx-size " + std::to_string(base.n_ctx) + ", not " + std::to_string(own.n_ctx);
  else if (base.n_tokens != own.n_tokens)
    what = std::to_string(base.n_tokens) + " tokens, not " + std::to_string(own.n_tokens);
  else if (base.n_top == 0)
    what = "no listed tokens";
  if (what.empty()) return {};
  return Status(Cause::changed, "is of " + what).with_file(path);
}

// Null where nothing is compared.
Result<std::unique_ptr<BaseReader>> open_base(const PerplexityOptions& options,
                                              const BaseHeader& own) {
  if (options.base.empty()) return std::unique_ptr<BaseReader>();
  Result<BaseReader> opened = BaseReader::open(options.base);
  if (!opened) return opened.status();
  if (Status s = check_base(opened->header(), own, options.base); !s.ok()) return s;
  return std::make_unique<BaseReader>(std::move(*opened));
}

// Null where nothing is saved.
Result<std::unique_ptr<BaseWriter>> open_save(const PerplexityOptions& options,
                                              const BaseHeader& header,
                                              const runtime::Model& model) {
  if (options.save.empty()) return std::unique_ptr<BaseWriter>();
  JobOptions in_use;
  add_model_files(in_use, model.file());
  in_use.in_use.insert(in_use.in_use.end(), options.files.begin(), options.files.end());
  if (!options.base.empty()) in_use.in_use.push_back(options.base);
  Result<BaseWriter> created = BaseWriter::create(options.save, in_use.in_use, header);
  if (!created) return created.status();
  return std::make_unique<BaseWriter>(std::move(*created));
}

int evaluate(runtime::Engine& engine, const PerplexityOptions& options) {
  const runtime::Model& model = engine.model();
  const auto scorer = runtime::Scorer::create(model, engine.n_ctx());
  if (!scorer) return fail_model(scorer.status());
  const TextWindows windows(*scorer, *model.tokenizer(), options.mode, engine.n_ctx());
  std::vector<EvaluatedText> texts;
  BaseHeader header = {static_cast<uint32_t>(std::min(options.n_top, model.config().n_vocab)),
                       static_cast<uint32_t>(model.config().n_vocab),
                       static_cast<uint32_t>(options.mode), static_cast<uint32_t>(engine.n_ctx()),
                       0};
  for (const std::string& path : options.files) {
    Result<EvaluatedText> text = windows.read(path);
    if (!text) return fail(text.status());
    header.n_tokens += windows.n_scored(*text);
    texts.push_back(std::move(*text));
  }
  if (header.n_tokens == 0) {
    return fail(
        Status(Cause::invalid_argument, "there are no tokens").with_file(options.files.front()));
  }

  const auto reader = open_base(options, header);
  if (!reader) return fail(reader.status());
  const auto writer = open_save(options, header, model);
  if (!writer) return fail(writer.status());
  Evaluation evaluation(engine, windows, texts, writer->get(), reader->get(),
                        static_cast<int32_t>(header.n_top));
  {
    const Terminal screen(STDERR_FILENO, options.output.color);
    ProgressLine progress(screen, "tokens", options.output.is_quiet);
    if (Status s = evaluation.run(progress); !s.ok()) return fail(s);
  }
  if (*writer)
    if (Status s = (*writer)->finish(); !s.ok()) return fail(s);

  PerplexityReport report;
  report.mode = name_of(options.mode);
  report.model = model.file().path();
  report.n_ctx = engine.n_ctx();
  for (EvaluatedText& text : texts) report.texts.push_back(std::move(text.figures));
  report.surprise = evaluation.surprise;
  if (*reader) report.comparison = &evaluation.comparison;
  Output output = Output::standard();
  output.write(options.output.is_json ? to_json(to_data(report)) + "\n" : to_text(report));
  return fail_unless_ok(output.finish());
}

int run_perplexity(PerplexityOptions options) {
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  if (options.mode == TextMode::chunks) {
    if ((*model)->config().has_encoder())
      return fail(Status(Cause::unsupported, "a model with an encoder reads no chunks")
                      .with_file((*model)->file().path()));
    if (options.engine.session.n_ctx == 0) options.engine.session.n_ctx = kChunkTokens;
    if (options.engine.session.n_ctx < 4) {
      complain("a chunk has four tokens at least; choose a larger --ctx-size");
      return kUsage;
    }
  }
  const auto engine = open_job_engine(std::move(*model), options.engine, options.output);
  if (!engine) return fail_model(engine.status());
  const CancelsOnSignal cancels(**engine);
  return evaluate(**engine, options);
}

}  // namespace

void add_perplexity(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "perplexity", "How well the model expects texts, and how far it is from another model");
  auto options = std::make_shared<PerplexityOptions>();
  add_model_option(command, options->model);
  command
      .add_option("-f,--file", options->files, "A text; may be given again; - is standard input")
      ->type_name("FILE")
      ->required()
      ->take_all();
  add_choice<TextMode>(
      command, "--mode", {{"rolling", TextMode::rolling}, {"chunks", TextMode::chunks}},
      options->mode,
      "rolling (default): every token, as lm-evaluation-harness; chunks: second halves "
      "of chunks of -c tokens (default 512), as llama-perplexity")
      ->type_name("MODE");
  command
      .add_option("--save-logits", options->save,
                  "Keep what the model expected at every token, for --kl of another model")
      ->type_name("FILE");
  command.add_option("--top", options->n_top, "Most likely tokens to keep of each (default: 64)")
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("K");
  command
      .add_option("--kl", options->base,
                  "Compare with a base model's file of --save-logits: KL divergence")
      ->type_name("FILE");
  add_engine_options(command, options->engine);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_perplexity(*options); }; });
}

}  // namespace larder::apps

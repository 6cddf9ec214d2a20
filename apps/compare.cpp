// larder compare: how far a model is from another of the same weights in other types.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/compare_report.h"
#include "apps/evaluated_text.h"
#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/paired_evaluation.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "formats/json/json.h"
#include "runtime/convert/file_quantizer.h"
#include "runtime/session/scorer.h"
#include "runtime/session/session_options.h"

namespace larder::apps {
namespace {

using formats::GgufFile;
using SessionPointer = std::unique_ptr<runtime::Session>;

struct CompareOptions {
  std::string base, model;
  std::vector<std::string> texts;
  TextMode mode = TextMode::rolling;
  OutputOptions output;
  runtime::SessionOptions session;
};

Result<std::vector<runtime::TensorDifference>> compare_all(const GgufFile& base,
                                                           const GgufFile& model,
                                                           const CompareOptions& options) {
  const Terminal screen(STDERR_FILENO, options.output.color);
  ProgressLine progress(screen, "weights (millions)", options.output.is_quiet);
  const int n_threads = runtime::choose_threads(options.session.n_threads);
  return runtime::compare_tensors(base, model, n_threads, [&](uint64_t done, uint64_t total) {
    progress.update(static_cast<int64_t>(done / 1000000), static_cast<int64_t>(total / 1000000));
    return !is_ending();
  });
}

// Both at once. What the process may take is shared as the files' sizes are.
Result<std::pair<SessionPointer, SessionPointer>> open_both(const CompareOptions& options) {
  auto base = load_model(options.base, options.output);
  if (!base) return base.status();
  auto model = load_model(options.model, options.output);
  if (!model) return model.status();
  runtime::SessionOptions base_options = options.session, model_options = options.session;
  if (options.session.n_ctx == 0 && options.mode == TextMode::chunks)
    base_options.n_ctx = kChunkTokens;
  if (options.session.ram_bytes != runtime::kAutoRam &&
      options.session.ram_bytes != runtime::kUnlimitedRam) {
    const auto size = static_cast<double>((*base)->file().size_bytes());
    const double all = size + static_cast<double>((*model)->file().size_bytes());
    base_options.ram_bytes =
        static_cast<uint64_t>(static_cast<double>(options.session.ram_bytes) * size / all);
    model_options.ram_bytes -= base_options.ram_bytes;
  }
  auto base_session = open_session(std::move(*base), base_options, options.output);
  if (!base_session) return base_session.status();
  model_options.n_ctx = (*base_session)->n_ctx();
  auto session = open_session(std::move(*model), model_options, options.output);
  if (!session) return session.status();
  return std::pair(std::move(*base_session), std::move(*session));
}

Result<PerplexityReport> evaluate(PairedEvaluation& evaluation, const runtime::Session& session,
                                  const CompareOptions& options) {
  const runtime::Model& model = session.model();
  const auto scorer = runtime::Scorer::create(model, session.n_ctx());
  if (!scorer) return scorer.status();
  const TextWindows windows(*scorer, *model.tokenizer(), options.mode, session.n_ctx());
  std::vector<EvaluatedText> texts;
  for (const std::string& path : options.texts) {
    Result<EvaluatedText> text = windows.read(path);
    if (!text) return text.status();
    texts.push_back(std::move(*text));
  }
  const Terminal screen(STDERR_FILENO, options.output.color);
  ProgressLine progress(screen, "tokens", options.output.is_quiet);
  if (Status s = evaluation.run(windows, texts, progress); !s.ok()) return s;
  if (evaluation.surprise().count() == 0)
    return Status(Cause::invalid_argument, "there are no tokens").with_file(options.texts.front());
  PerplexityReport report;
  report.mode = name_of(options.mode);
  report.model = options.model;
  report.n_ctx = session.n_ctx();
  for (EvaluatedText& text : texts) report.texts.push_back(std::move(text.figures));
  report.surprise = evaluation.surprise();
  report.comparison = &evaluation.comparison();
  return report;
}

int print(const CompareReport& report, const OutputOptions& options) {
  Output output = Output::standard();
  output.write(options.is_json ? to_json(to_data(report)) + "\n" : to_text(report));
  return fail_unless_ok(output.finish());
}

int run_compare(const CompareOptions& options) {
  const auto base = GgufFile::open(options.base);
  if (!base) return fail_model(base.status());
  const auto model = GgufFile::open(options.model);
  if (!model) return fail_model(model.status());
  if (Status s = runtime::check_same_model(**base, **model); !s.ok()) return fail_model(s);
  auto tensors = compare_all(**base, **model, options);
  if (!tensors) return fail(tensors.status());
  CompareReport report = {options.base, options.model, std::move(*tensors), nullptr, {}};
  if (const auto predicted = (*model)->real(runtime::kPredictedDivergenceKey); predicted)
    report.predicted_divergence = *predicted;
  if (options.texts.empty()) return print(report, options.output);

  const auto sessions = open_both(options);
  if (!sessions) return fail_model(sessions.status());
  PairedEvaluation evaluation(*sessions->first, *sessions->second);
  const auto text = evaluate(evaluation, *sessions->second, options);
  cancel_on_signal(nullptr);
  if (!text) return fail(text.status());
  report.text = &*text;
  return print(report, options.output);
}

}  // namespace

void add_compare(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "compare", "How far a model is from another of the same weights in other types");
  auto options = std::make_shared<CompareOptions>();
  command.add_option("BASE", options->base, "The model that is compared with")
      ->type_name("FILE")
      ->required();
  command.add_option("MODEL", options->model, "The same model in other types")
      ->type_name("FILE")
      ->required();
  command
      .add_option("-f,--file", options->texts,
                  "A text over which both are run: perplexity, KL divergence; may be given again")
      ->type_name("FILE")
      ->take_all();
  add_choice<TextMode>(command, "--mode",
                       {{"rolling", TextMode::rolling}, {"chunks", TextMode::chunks}},
                       options->mode, "rolling (default) or chunks, as larder perplexity")
      ->type_name("MODE");
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_compare(*options); }; });
}

}  // namespace larder::apps

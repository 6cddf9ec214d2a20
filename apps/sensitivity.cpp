// larder sensitivity: how much answers suffer from each tensor's rounding.
#include "runtime/budget/sensitivity.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/evaluated_text.h"
#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/model_path.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "runtime/session/scorer.h"

namespace larder::apps {
namespace {

using Texts = std::vector<std::vector<formats::TokenId>>;

struct SensitivityCommand {
  std::string model, output_file, importance, isa;
  std::vector<std::string> texts;
  int64_t n_chunks = 4;
  int32_t n_ctx = kChunkTokens;
  int n_threads = 0;
  OutputOptions output;
};

Result<Texts> read_texts(const runtime::Model& model, const SensitivityCommand& options) {
  const int32_t n_ctx = std::min(options.n_ctx, model.config().context_length);
  const auto scorer = runtime::Scorer::create(model, n_ctx);
  if (!scorer) return scorer.status();
  const TextWindows windows(*scorer, *model.tokenizer(), TextMode::chunks, n_ctx);
  Texts texts;
  for (const std::string& path : options.texts) {
    const Result<EvaluatedText> text = windows.read(path);
    if (!text) return text.status();
    // from all of the text, not from its beginning alone
    const auto n = std::min<size_t>(text->n_windows, static_cast<size_t>(options.n_chunks));
    for (size_t i = 0; i < n; ++i)
      texts.push_back(windows.item(*text, i * text->n_windows / n, 0).tokens);
  }
  return texts;
}

void tell_cost(const Texts& texts, size_t n_tensors) {
  size_t n_tokens = 0;
  for (const auto& text : texts) n_tokens += text.size();
  std::fprintf(stderr, "%zu passes over %zu tokens: one for each tensor, and one before them\n",
               n_tensors + 1, n_tokens);
}

int run_sensitivity(const SensitivityCommand& options) {
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  std::vector<std::string> in_use = paths_of((*model)->file());
  in_use.insert(in_use.end(), options.texts.begin(), options.texts.end());
  if (!options.importance.empty()) in_use.push_back(options.importance);
  if (Status s = Output::check(options.output_file, in_use); !s.ok()) return fail(s);
  std::optional<runtime::Importance> importance;
  if (!options.importance.empty()) {
    auto read = runtime::read_importance(options.importance);
    if (!read) return fail(read.status());
    importance = std::move(*read);
  }
  const auto texts = read_texts(**model, options);
  if (!texts) return fail(texts.status());
  const auto found = [&] {
    const Terminal screen(STDERR_FILENO, options.output.color);
    ProgressLine progress(screen, "tensors", options.output.is_quiet);
    runtime::SensitivityOptions with;
    with.isa = options.isa;
    with.n_threads = options.n_threads;
    with.importance = importance ? &*importance : nullptr;
    with.progress = [&](size_t n_done, size_t n_tensors) {
      if (n_done == 0 && !options.output.is_quiet) tell_cost(*texts, n_tensors);
      progress.update(static_cast<int64_t>(n_done), static_cast<int64_t>(n_tensors));
      return !is_ending();
    };
    return runtime::measure_sensitivities(*model, *texts, with);
  }();
  if (!found) return fail(found.status().with_file((*model)->file().path()));
  Result<Output> output = Output::open(options.output_file, in_use);
  if (!output) return fail(output.status());
  output->write(runtime::to_json(*found));
  return fail_unless_ok(output->finish());
}

}  // namespace

void add_sensitivity(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "sensitivity",
      "Measure how much answers suffer from each tensor's rounding, for quantize --budget");
  auto options = std::make_shared<SensitivityCommand>();
  add_model_option(command, options->model);
  command.add_option("-f,--file", options->texts, "A text; may be given again")
      ->type_name("FILE")
      ->required()
      ->take_all();
  command.add_option("-o,--output", options->output_file, "Where to write them; - is stdout")
      ->type_name("FILE")
      ->required();
  command
      .add_option("--imatrix", options->importance, "Importance of columns, from larder imatrix")
      ->type_name("FILE");
  command
      .add_option("--chunks", options->n_chunks, "At most so many chunks of each text (default: 4)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31).description(""))
      ->type_name("N");
  command.add_option("-c,--ctx-size", options->n_ctx, "Tokens of a chunk (default: 512)")
      ->check(CLI::Range(4, 1 << 20).description(""))
      ->type_name("N");
  add_machine_options(command, options->n_threads, options->isa);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_sensitivity(*options); }; });
}

}  // namespace larder::apps

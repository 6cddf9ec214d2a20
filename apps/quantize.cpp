// larder quantize: a model file with smaller weights.
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/file_summary.h"
#include "apps/model_path.h"
#include "apps/output.h"
#include "apps/quantize_report.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "formats/json/json.h"
#include "runtime/budget/budget_plan.h"
#include "runtime/convert/file_quantizer.h"
#include "runtime/convert/quant_mix.h"
#include "runtime/session/session_options.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::GgufFile;
using formats::GgufTensor;
using runtime::QuantizePlan;
using runtime::QuantMix;

struct QuantizeOptions {
  std::string in, out, importance_path, isa;
  const QuantMix* mix = nullptr;  // null: types within a budget
  uint64_t budget_bytes = 0;      // 0: those of the mix
  std::string sensitivities_path;
  runtime::QuantizePlanOptions plan;
  uint64_t most_shard_bytes = 0;
  int n_threads = 0;
  bool is_dry_run = false;
  OutputOptions output;
};

std::string mix_names() {
  std::string names;
  for (const QuantMix& mix : runtime::quant_mixes()) {
    names += (names.empty() ? "" : ", ") + std::string(mix.name);
  }
  return names;
}

quant::Format format_named(const char* option, const std::string& name) {
  const quant::FormatTraits* const traits = runtime::find_format_named(name);
  if (traits == nullptr) throw CLI::ValidationError(option, "'" + name + "' is no tensor type");
  return traits->format;
}

runtime::TensorOverride parse_override(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw CLI::ValidationError("--tensor", "'" + text + "' is not PATTERN=TYPE");
  }
  return {text.substr(0, equals), format_named("--tensor", text.substr(equals + 1))};
}

Status check_output(const QuantizeOptions& options, const GgufFile& in) {
  std::vector<std::string> in_use = paths_of(in);
  if (!options.importance_path.empty()) in_use.push_back(options.importance_path);
  return Output::check(options.out, in_use);
}

// None where a mix says the types. `importance` may be null.
Result<std::optional<runtime::BudgetPlan>> plan_types(const GgufFile& file,
                                                      const runtime::Importance* importance,
                                                      const QuantizeOptions& options) {
  if (options.budget_bytes == 0) return std::optional<runtime::BudgetPlan>();
  const Result<std::string> json = read_file(options.sensitivities_path);
  if (!json) return json.status();
  const auto sensitivities = runtime::parse_sensitivities(*json);
  if (!sensitivities) return sensitivities.status().with_file(options.sensitivities_path);
  uint64_t name_bytes = options.importance_path.size();
  if (importance != nullptr && !importance->datasets.empty())
    name_bytes += importance->datasets.front().size();
  auto budget = runtime::plan_budget(file, *sensitivities, options.budget_bytes, name_bytes);
  if (!budget) return budget.status();
  return std::optional(std::move(*budget));
}

Result<QuantizePlan> plan(const GgufFile& file, const runtime::BudgetPlan* budget,
                          const QuantizeOptions& options) {
  if (budget != nullptr)
    return runtime::plan_quantization(
        file, [&](const GgufTensor& tensor) { return budget->formats.find(tensor.name)->second; },
        options.plan);
  const runtime::MixModel model = runtime::mix_model(file, !options.importance_path.empty());
  return runtime::plan_quantization(
      file,
      [&](const GgufTensor& tensor) { return runtime::format_in(*options.mix, model, tensor); },
      options.plan);
}

// On stderr: what the person should know and may have meant otherwise.
void warn(const QuantizePlan& plan, const OutputOptions& output) {
  if (output.is_quiet) return;
  for (const std::string& pattern : plan.unmatched) {
    complain("warning: --tensor '" + pattern + "' is part of no weight matrix's name");
  }
}

int print_result(const QuantizePlan& plan, const runtime::BudgetPlan* budget,
                 const QuantizeOptions& options, const std::vector<std::string>& paths,
                 std::optional<double> seconds) {
  DataValue data = plan_data(plan, options.is_dry_run);
  std::string text = options.is_dry_run ? plan_text(plan) : sums_text(plan);
  if (budget != nullptr) {
    data.dict.emplace_back("budget", budget_data(*budget));
    text += budget_text(*budget);
  }
  if (seconds) {
    data.dict.emplace_back("seconds", *seconds);
    DataValue files = DataValue::make_list();
    for (const std::string& path : paths) files.list.emplace_back(path);
    data.dict.emplace_back("files", std::move(files));
    for (const std::string& path : paths) text += path + "\n";
  }
  Output output = Output::standard();
  output.write(options.output.is_json ? to_json(data) + "\n" : text);
  return fail_unless_ok(output.finish());
}

Result<runtime::QuantizedFile> quantize(const GgufFile& file, const QuantizePlan& plan,
                                        const runtime::BudgetPlan* budget,
                                        const QuantizeOptions& options,
                                        const runtime::Importance* importance) {
  const auto kernels = runtime::choose_kernels(options.isa);
  if (!kernels) return kernels.status();
  const Terminal screen(STDERR_FILENO, options.output.color);
  constexpr int kMiBShift = 20;
  ProgressLine progress(screen, "MiB read", options.output.is_quiet);
  runtime::FileQuantizerOptions quantizer;
  quantizer.kernels = *kernels;
  quantizer.n_threads = runtime::choose_threads(options.n_threads);
  quantizer.file_type = budget ? runtime::kMixedFileType : options.mix->file_type;
  if (budget != nullptr) quantizer.predicted_divergence = budget->divergence;
  quantizer.most_shard_bytes = options.most_shard_bytes;
  quantizer.importance = importance;
  quantizer.importance_path = options.importance_path;
  quantizer.progress = [&](uint64_t n_read, uint64_t n_total) {
    progress.update(static_cast<int64_t>(n_read >> kMiBShift),
                    static_cast<int64_t>(n_total >> kMiBShift));
    return !is_ending();
  };
  return runtime::quantize_file(file, plan, options.out, quantizer);
}

// What is wrong with the choice of types, or nothing.
const char* wrong_types(const QuantizeOptions& options) {
  if ((options.mix == nullptr) == (options.budget_bytes == 0))
    return "either TYPE or --budget says which types";
  if (options.budget_bytes == 0) return nullptr;
  const runtime::QuantizePlanOptions& types = options.plan;
  if (!types.overrides.empty() || types.output_format || types.embedding_format)
    return "--budget chooses all types; it goes with no other option that does";
  return options.sensitivities_path.empty()
             ? "--budget needs --sensitivity, the file that larder sensitivity writes"
             : nullptr;
}

int run_quantize(const QuantizeOptions& options) {
  if (const char* wrong = wrong_types(options)) {
    complain(wrong);
    return kUsage;
  }
  const auto file = GgufFile::open(options.in);
  if (!file) return fail_model(file.status());
  if (Status s = check_output(options, **file); !s.ok()) return fail(s);
  std::optional<runtime::Importance> importance;
  if (!options.importance_path.empty()) {
    auto read = runtime::read_importance(options.importance_path);
    if (!read) return fail_model(read.status());
    importance = std::move(*read);
  }
  const auto budget = plan_types(**file, importance ? &*importance : nullptr, options);
  if (!budget) return fail(budget.status());
  const runtime::BudgetPlan* const chosen = *budget ? &**budget : nullptr;
  const auto planned = plan(**file, chosen, options);
  if (!planned) return fail_model(planned.status());
  warn(*planned, options.output);
  if (options.is_dry_run) return print_result(*planned, chosen, options, {}, std::nullopt);

  end_at_second_signal();
  const auto start = std::chrono::steady_clock::now();
  const auto done =
      quantize(**file, *planned, chosen, options, importance ? &*importance : nullptr);
  if (!done) return fail(done.status());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!done->without_importance.empty() && !options.output.is_quiet) {
    complain("warning: " + options.importance_path + " tells nothing of " +
             std::to_string(done->without_importance.size()) + " tensors, the first of them " +
             done->without_importance.front() + "; all their columns count alike");
  }
  return print_result(*planned, chosen, options, done->paths, seconds.count());
}

void add_type_options(CLI::App& command, QuantizeOptions& options) {
  command
      .add_option_function<std::vector<std::string>>(
          "--tensor",
          [&options](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              options.plan.overrides.push_back(parse_override(text));
            }
          },
          "Another type for tensors with PATTERN in their names (* stands for anything): "
          "'ffn_down_exps=q6_k'; may be given again, the last one that fits wins")
      ->type_name("PATTERN=TYPE")
      ->take_all();
  const auto add = [&](const char* name, std::optional<quant::Format>& format, const char* what) {
    command
        .add_option_function<std::string>(
            name, [&format, name](const std::string& text) { format = format_named(name, text); },
            what)
        ->type_name("TYPE");
  };
  add("--output-tensor-type", options.plan.output_format, "The type of output.weight");
  add("--token-embedding-type", options.plan.embedding_format, "The type of token_embd.weight");
  command.add_flag("--allow-requantize", options.plan.allows_requantize,
                   "Also of a file that is quantised already");
}

// "4G" as bytes.
uint64_t size_of(const char* option, const std::string& text) {
  const Result<uint64_t> bytes = parse_ram(text);
  if (!bytes || text == "auto") throw CLI::ValidationError(option, "'" + text + "' is no size");
  return *bytes;
}

void add_budget_options(CLI::App& command, QuantizeOptions& options) {
  command
      .add_option_function<std::string>(
          "--budget",
          [&options](const std::string& text) { options.budget_bytes = size_of("--budget", text); },
          "In place of TYPE: the types by which a file of at most so many bytes is predicted to "
          "lose least: 4G, 6500K")
      ->type_name("SIZE");
  command
      .add_option("--sensitivity", options.sensitivities_path,
                  "What --budget predicts from, from larder sensitivity")
      ->type_name("FILE");
}

void add_work_options(CLI::App& command, QuantizeOptions& options) {
  command
      .add_option("--imatrix", options.importance_path,
                  "Importance of columns, from larder imatrix or llama-imatrix")
      ->type_name("FILE");
  command
      .add_option_function<std::string>(
          "--split-max-size",
          [&options](const std::string& text) {
            options.most_shard_bytes = size_of("--split-max-size", text);
          },
          "Several files, of at most so many bytes of tensors: 4G, 500M")
      ->type_name("SIZE");
  command.add_flag("--dry-run", options.is_dry_run,
                   "Only tell what would become of each tensor; write nothing");
  add_machine_options(command, options.n_threads, options.isa);
}

}  // namespace

void add_quantize(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("quantize", "Write a model file with smaller weights");
  auto options = std::make_shared<QuantizeOptions>();
  command.add_option("in", options->in, "GGUF file, or the first of a split one")
      ->type_name("IN")
      ->required();
  command.add_option("out", options->out, "The file to write")->type_name("OUT")->required();
  command
      .add_option_function<std::string>(
          "type",
          [options](const std::string& name) {
            options->mix = runtime::find_mix(name);
            if (options->mix == nullptr) {
              throw CLI::ValidationError("type", "'" + name + "' is none of " + mix_names());
            }
          },
          mix_names())
      ->type_name("TYPE");
  add_budget_options(command, *options);
  add_type_options(command, *options);
  add_work_options(command, *options);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_quantize(*options); }; });
}

}  // namespace larder::apps

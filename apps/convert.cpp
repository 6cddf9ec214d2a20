// larder convert: a Hugging Face folder as a GGUF file.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/file_summary.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "formats/json/json.h"
#include "runtime/convert/checkpoint_convert.h"
#include "runtime/session/session_options.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::CheckpointPlan;
using runtime::CheckpointTensor;

struct ConvertOptions {
  std::string folder, out, isa;
  runtime::CheckpointOptions plan;
  int n_threads = 0;
  bool is_dry_run = false;
  OutputOptions output;
};

std::string type_names() {
  std::string names = "auto";
  for (const runtime::QuantMix& mix : runtime::quant_mixes()) names += ", " + std::string(mix.name);
  return names;
}

// The first of the checkpoint's tensors, and how many more.
std::string origin_of(const CheckpointTensor& tensor) {
  if (tensor.views.empty()) return "config.json";
  const std::string first = for_terminal(tensor.views.front().tensor->name);
  const size_t n_more = tensor.views.size() - 1;
  return n_more == 0 ? first : first + " and " + std::to_string(n_more) + " more parts";
}

DataValue plan_data(const CheckpointPlan& plan) {
  DataValue tensors = DataValue::make_list(), skipped = DataValue::make_list();
  for (const CheckpointTensor& tensor : plan.tensors().tensors) {
    DataValue dims = DataValue::make_list();
    for (const uint64_t dim : tensor.dims) dims.list.emplace_back(static_cast<int64_t>(dim));
    tensors.list.push_back(DataValue::make_dict({{"name", tensor.name},
                                                 {"type", tensor.type->name},
                                                 {"dims", std::move(dims)},
                                                 {"from", origin_of(tensor)}}));
  }
  for (const std::string& name : plan.tensors().skipped) skipped.list.emplace_back(name);
  return DataValue::make_dict({{"architecture", plan.architecture()},
                               {"size_bytes", static_cast<int64_t>(plan.size_bytes())},
                               {"tensors", std::move(tensors)},
                               {"skipped", std::move(skipped)}});
}

std::string plan_text(const CheckpointPlan& plan) {
  std::string text;
  for (const CheckpointTensor& tensor : plan.tensors().tensors) {
    char row[128];
    std::snprintf(row, sizeof row, "%-36.64s %-6.16s ", tensor.name.c_str(),
                  std::string(tensor.type->name).c_str());
    text += row + origin_of(tensor) + "\n";
  }
  for (const std::string& name : plan.tensors().skipped)
    text += "left out: " + for_terminal(name) + "\n";
  return text + plan.architecture() + ", " + size_text(plan.size_bytes()) + "\n";
}

int print(const std::string& text, const DataValue& data, const OutputOptions& options) {
  Output output = Output::standard();
  output.write(options.is_json ? to_json(data) + "\n" : text);
  return fail_unless_ok(output.finish());
}

int print_done(const CheckpointPlan& plan, const std::vector<std::string>& paths, double seconds,
               const OutputOptions& options) {
  DataValue data = plan_data(plan), files = DataValue::make_list();
  std::string text;
  for (const std::string& path : paths) {
    files.list.emplace_back(path);
    text += path + "\n";
  }
  data.dict.emplace_back("files", std::move(files));
  data.dict.emplace_back("seconds", seconds);
  return print(text, data, options);
}

int run_convert(const ConvertOptions& options) {
  auto plan = CheckpointPlan::create(options.folder, options.plan);
  if (!plan) return fail_model(plan.status());
  if (options.is_dry_run) return print(plan_text(*plan), plan_data(*plan), options.output);
  if (options.out.empty()) {
    complain("convert: -o names the file to write; --dry-run needs none");
    return kUsage;
  }
  std::vector<std::string> in_use;
  for (const auto& tensor : plan->source().tensors()) {
    const std::string& path = plan->source().path_of(tensor);
    if (in_use.empty() || in_use.back() != path) in_use.push_back(path);
  }
  if (Status s = Output::check(options.out, in_use); !s.ok()) return fail(s);
  const auto kernels = runtime::choose_kernels(options.isa);
  if (!kernels) return fail(kernels.status());

  end_at_second_signal();
  const Terminal screen(STDERR_FILENO, options.output.color);
  ProgressLine progress(screen, "MiB written", options.output.is_quiet);
  const auto start = std::chrono::steady_clock::now();
  CheckpointPlan::RunOptions run;
  run.kernels = *kernels;
  run.n_threads = runtime::choose_threads(options.n_threads);
  run.progress = [&progress](uint64_t n_done, uint64_t n_total) {
    constexpr int kMiBShift = 20;
    progress.update(static_cast<int64_t>(n_done >> kMiBShift),
                    static_cast<int64_t>(n_total >> kMiBShift));
    return !is_ending();
  };
  const auto paths = plan->run(options.out, run);
  if (!paths) return fail(paths.status());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return print_done(*plan, *paths, seconds.count(), options.output);
}

void add_type_option(CLI::App& command, ConvertOptions& options) {
  command
      .add_option_function<std::string>(
          "--type",
          [&options](const std::string& name) {
            options.plan.mix = runtime::find_mix(name);
            if (options.plan.mix == nullptr && name != "auto")
              throw CLI::ValidationError("--type", "'" + name + "' is none of " + type_names());
          },
          "auto keeps the checkpoint's float types, FP8 as BF16; or one of " + type_names())
      ->type_name("TYPE");
}

}  // namespace

void add_convert(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("convert", "Write a Hugging Face folder as a model file");
  auto options = std::make_shared<ConvertOptions>();
  command.add_option("dir", options->folder, "Folder with config.json and safetensors")
      ->type_name("DIR")
      ->required();
  command.add_option("-o,--output", options->out, "The file to write")->type_name("FILE");
  add_type_option(command, *options);
  command
      .add_option_function<std::string>(
          "--split-max-size",
          [options](const std::string& text) {
            const Result<uint64_t> bytes = parse_ram(text);
            if (!bytes || text == "auto")
              throw CLI::ValidationError("--split-max-size", "'" + text + "' is no size");
            options->plan.most_shard_bytes = *bytes;
          },
          "Several files, of at most so many bytes of tensors: 4G, 500M")
      ->type_name("SIZE");
  command
      .add_option("--ignore-key", options->plan.ignored_keys,
                  "A key of config.json that changes nothing, though it is not known here; may be "
                  "given again")
      ->type_name("KEY")
      ->take_all();
  command.add_flag("--dry-run", options->is_dry_run,
                   "Only tell what would become of each tensor; write nothing");
  add_machine_options(command, options->n_threads, options->isa);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_convert(*options); }; });
}

}  // namespace larder::apps

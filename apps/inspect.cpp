// larder inspect: what a model file is.
#include <cstdio>
#include <memory>
#include <string>

#include "apps/exit_code.h"
#include "apps/file_summary.h"
#include "apps/memory_plan.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/subcommands.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::GgufTensor;

struct InspectOptions {
  std::string file;
  bool shows_plan = false, shows_tensors = false, is_json = false;
  runtime::SessionOptions session;
};

std::string tensor_lines(const formats::GgufFile& file) {
  std::string text = "\n";
  for (const GgufTensor& tensor : file.tensors()) {
    char row[256];
    std::snprintf(row, sizeof row, "%-36.64s %-8.16s %-24s %12s\n",
                  std::string(tensor.name).c_str(), std::string(tensor.type->name).c_str(),
                  shape_text(tensor).c_str(), size_text(tensor.size_bytes).c_str());
    text += row;
  }
  return text;
}

DataValue tensor_list(const formats::GgufFile& file) {
  DataValue list = DataValue::make_list();
  for (const GgufTensor& tensor : file.tensors()) {
    DataValue dims = DataValue::make_list();
    for (int i = 0; i < tensor.n_dims; ++i) {
      dims.list.emplace_back(static_cast<int64_t>(tensor.dims[static_cast<size_t>(i)]));
    }
    list.list.push_back(
        DataValue::make_dict({{"name", tensor.name},
                              {"type", tensor.type->name},
                              {"dims", std::move(dims)},
                              {"size_bytes", static_cast<int64_t>(tensor.size_bytes)},
                              {"shard", tensor.shard},
                              {"offset", static_cast<int64_t>(tensor.file_offset)}}));
  }
  return list;
}

// The facts are told also of a file that cannot be run, at all or within --ram; then why not, and
// code 3 or 4.
int run_inspect(const InspectOptions& options) {
  const auto path = model_path(options.file);
  if (!path) return fail_model(path.status());
  const auto file = formats::GgufFile::open(*path);
  if (!file) return fail_model(file.status());
  const auto model = runtime::Model::create(*file);

  const FileSummary summary = summarize(**file, model);
  DataValue data = to_data(summary);
  std::string text = to_text(summary);
  if (options.shows_tensors) {
    data.dict.emplace_back("tensors", tensor_list(**file));
    text += tensor_lines(**file);
  }
  Status unfit = model.status();
  if (options.shows_plan && model) {
    const auto plan = plan_memory(**model, options.session);
    if (plan) {
      data.dict.emplace_back("plan", to_data(*plan));
      text += to_text(*plan);
    } else if (plan.status().cause() == Cause::budget) {
      unfit = plan.status();
    } else {
      return fail_model(plan.status());
    }
  }
  Output output = Output::standard();
  output.write(options.is_json ? to_json(data) + "\n" : text);
  if (Status s = output.finish(); !s.ok()) return fail(s);
  return unfit.ok() ? kOk : fail_model(unfit);
}

}  // namespace

void add_inspect(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand("inspect", "What a model file is");
  auto options = std::make_shared<InspectOptions>();
  command.add_option("file,-m,--model", options->file, "GGUF file (default: the bundled model)")
      ->type_name("FILE");
  command.add_flag("--plan", options->shows_plan, "The resolved layers, and the RAM of each part");
  command.add_flag("--tensors", options->shows_tensors, "Every tensor");
  command.add_flag("--json", options->is_json, "One JSON object on stdout");
  add_session_options(command, options->session);
  command.callback([options, &run] { run = [options] { return run_inspect(*options); }; });
}

}  // namespace larder::apps

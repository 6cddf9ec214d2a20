#include "apps/job_engine.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "apps/exit_code.h"
#include "apps/model_fingerprint.h"
#include "apps/model_path.h"
#include "apps/paging_report.h"
#include "apps/signals.h"
#include "apps/terminal.h"

namespace larder::apps {

using formats::DataValue;

void add_engine_options(CLI::App& command, runtime::EngineOptions& options) {
  add_session_options(command, options.session);
  options.session.batch_size = 0;
  command.get_option("--batch-size")
      ->description("Rows of one pass, of all items together (default: as suits the model)")
      ->default_str("");
  command
      .add_option("--parallel", options.max_items,
                  "Items held at once (default: " + std::to_string(runtime::kEngineItems) + ")")
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("N");
}

Result<std::unique_ptr<runtime::Engine>> open_job_engine(
    std::shared_ptr<const runtime::Model> model, const runtime::EngineOptions& options,
    const OutputOptions& output) {
  runtime::EngineOptions chosen = options;
  if (options.session.batch_size != 0) chosen.batch_size = options.session.batch_size;
  chosen.session.batch_size = runtime::SessionOptions{}.batch_size;
  const Terminal screen(STDERR_FILENO, output.color);
  auto engine = [&] {
    ProgressLine progress(screen, "loading (MiB)", output.is_quiet);
    return runtime::Engine::create(
        std::move(model), chosen, [&progress](uint64_t done, uint64_t total) {
          progress.update(static_cast<int64_t>(done >> 20), static_cast<int64_t>(total >> 20));
          return !is_ending();
        });
  }();
  if (!engine) return engine;
  if (is_ending()) return Status(Cause::cancelled, "interrupted");
  const auto statistics = (*engine)->expert_statistics();
  if (statistics && !output.is_quiet) {
    complain(paging_text(statistics->facts, (*engine)->ram()));
    if (!statistics->facts.note.empty()) complain("warning: " + statistics->facts.note);
  }
  return engine;
}

namespace {

std::string_view name_of(runtime::CacheType type) noexcept {
  switch (type) {
    case runtime::CacheType::f16:
      return "f16";
    case runtime::CacheType::f32:
      return "f32";
    case runtime::CacheType::q8_0:
      return "q8_0";
  }
  return "other";
}

DataValue name_of(const std::optional<runtime::CacheType>& type) {
  return type ? DataValue(name_of(*type)) : DataValue();
}

}  // namespace

void add_model_files(JobOptions& options, const formats::GgufFile& file) {
  for (std::string& path : paths_of(file)) options.in_use.push_back(std::move(path));
}

Result<DataValue> job_identity(std::string_view command, const runtime::Engine& engine,
                               DataValue settings) {
  Result<DataValue> model = fingerprint(engine.model().file());
  if (!model) return model.status();
  const runtime::SessionOptions& options = engine.options();
  return DataValue::make_dict(
      {{"command", command},
       {"model", std::move(*model)},
       {"engine", DataValue::make_dict({{"isa", engine.isa()},
                                        {"exact", options.exact},
                                        {"n_ctx", engine.n_ctx()},
                                        {"cache_k", name_of(options.cache_k)},
                                        {"cache_v", name_of(options.cache_v)}})},
       {"settings", std::move(settings)}});
}

}  // namespace larder::apps

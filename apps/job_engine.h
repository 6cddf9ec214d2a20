// The engine that a job's items run on.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "apps/line_job.h"
#include "apps/options.h"
#include "formats/status.h"
#include "formats/template/value.h"
#include "runtime/session/engine.h"

namespace larder::apps {

// The flags of sessions, and those of engines. -b counts the rows of a pass; where it is not given,
// the engine chooses.
void add_engine_options(CLI::App& command, runtime::EngineOptions& options);

// Errors: those of Engine::create; `cancelled` by a signal. Says on stderr what is paged.
Result<std::unique_ptr<runtime::Engine>> open_job_engine(
    std::shared_ptr<const runtime::Model> model, const runtime::EngineOptions& options,
    const OutputOptions& output);

// The job may not write to them.
void add_model_files(JobOptions& options, const formats::GgufFile& file);

// What results depend on, for run_line_job(): {"command", "model", "engine", "settings"}. Errors:
// those of fingerprint().
Result<formats::DataValue> job_identity(std::string_view command, const runtime::Engine& engine,
                                        formats::DataValue settings);

}  // namespace larder::apps

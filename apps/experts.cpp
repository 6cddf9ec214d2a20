// larder experts: how often a text uses each expert of each layer.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/expert_heat_map.h"
#include "apps/expert_usage.h"
#include "apps/model_loader.h"
#include "apps/model_path.h"
#include "apps/output.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/terminal.h"
#include "formats/json/json.h"
#include "runtime/session/prompt.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::TokenId;

struct ExpertsOptions {
  std::string model, ids;
  std::optional<std::string> map;
  PromptFlags text;
  OutputOptions output;
  runtime::SessionOptions session;
};

// The tokens that one call takes, from `at` on. An encoder reads a piece as long as the context.
std::span<const TokenId> step_at(const runtime::Session& session, const std::vector<TokenId>& ids,
                                 size_t at) {
  const auto n_ctx = static_cast<size_t>(session.n_ctx());
  const size_t n_step = session.model().config().has_encoder()
                            ? n_ctx
                            : static_cast<size_t>(session.options().batch_size);
  return std::span(ids).subspan(at, std::min({n_step, ids.size() - at, n_ctx - at % n_ctx}));
}

// A text longer than the context is cut into pieces that know nothing of each other. A
// cancellation keeps what went through all layers.
Status count(runtime::Session& session, const std::vector<TokenId>& ids,
             const OutputOptions& output, ExpertUsage& usage) {
  const Terminal screen(STDERR_FILENO, output.color);
  ProgressLine progress(screen, "text", output.is_quiet);
  const bool has_encoder = session.model().config().has_encoder();
  for (size_t at = 0; at < ids.size();) {
    progress.update(static_cast<int64_t>(at), static_cast<int64_t>(ids.size()));
    const std::span<const TokenId> step = step_at(session, ids, at);
    if (!has_encoder && at % static_cast<size_t>(session.n_ctx()) == 0) session.truncate(0);
    const Status s = has_encoder ? session.encode(step, &usage) : session.append(step, {}, &usage);
    if (!s.ok()) {
      usage.discard();
      return s;
    }
    usage.keep(static_cast<int64_t>(step.size()));
    at += step.size();
  }
  return {};
}

Status write_map(const ExpertUsage& usage, const runtime::Session& session,
                 const std::string& path) {
  const formats::GgufFile& file = session.model().file();
  Result<Output> output = Output::open(path, paths_of(file));
  if (!output) return output.status();
  const HeatMapTitle title = {file.path().substr(file.path().rfind('/') + 1),
                              session.model().config().architecture};
  output->write(path.ends_with(".svg") ? to_svg(usage, title) : to_html(usage, title));
  return output->finish();
}

Result<std::vector<TokenId>> tokens_of(const runtime::Model& model, const std::string& text,
                                       const ExpertsOptions& options) {
  if (!options.ids.empty()) return parse_ids(options.ids);
  const auto special = formats::SpecialTokens::as_text;
  return model.config().has_encoder() ? runtime::encode_source(*model.tokenizer(), text, special)
                                      : runtime::encode_text(*model.tokenizer(), text, special);
}

int report(const runtime::Session& session, const ExpertUsage& usage, size_t n_tokens,
           const ExpertsOptions& options) {
  if (options.map) {
    if (Status s = write_map(usage, session, *options.map); !s.ok()) return fail(s);
  }
  Output output = Output::standard();
  if (options.output.is_json) {
    DataValue data = to_data(usage);
    const bool is_complete = usage.n_tokens() == static_cast<int64_t>(n_tokens);
    data.dict.insert(data.dict.begin(), {{"model", session.model().file().path()},
                                         {"architecture", session.model().config().architecture},
                                         {"is_complete", is_complete}});
    output.write(to_json(data) + "\n");
  } else if (options.map != "-") {
    output.write(to_table(usage));
  }
  return fail_unless_ok(output.finish());
}

int run_experts(const ExpertsOptions& options) {
  std::string text;
  if (options.ids.empty()) {
    const auto read = read_prompt(options.text);
    if (!read) return fail(read.status());
    text = read->value_or("");
    if (text.empty()) {
      complain("there is no text to count over; give one with -f FILE, -p TEXT or standard input");
      return kUsage;
    }
  }
  if (options.map == "-" && options.output.is_json) {
    complain("the heat map and JSON cannot both go to stdout");
    return kUsage;
  }
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  ExpertUsage usage((*model)->config());
  if (usage.is_empty()) {
    return fail(Status(Cause::unsupported, "the model has no routed experts; nothing to count")
                    .with_file((*model)->file().path()));
  }
  const auto ids = tokens_of(**model, text, options);
  if (!ids) return fail(ids.status());
  const auto session = open_session(std::move(*model), options.session, options.output);
  if (!session) return fail_model(session.status());

  const Status counted = count(**session, *ids, options.output, usage);
  if (!counted.ok() && counted.cause() != Cause::cancelled) return fail(counted);
  if (!counted.ok() && usage.n_tokens() == 0) return fail(counted);
  if (!counted.ok() && !options.output.is_quiet) {
    complain("interrupted after " + std::to_string(usage.n_tokens()) + " of " +
             std::to_string(ids->size()) + " tokens; these are counted");
  }
  const int code = report(**session, usage, ids->size(), options);
  if (code != kOk || counted.ok()) return code;
  return fail(counted);
}

}  // namespace

void add_experts(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("experts", "How often a text uses each expert of each layer");
  auto options = std::make_shared<ExpertsOptions>();
  add_model_option(command, options->model);
  add_prompt_options(command, options->text);
  command.add_option("--ids", options->ids, "Token ids in place of a text")->type_name("IDS");
  command
      .add_option("-o,--output", options->map,
                  "A heat map, by the name's ending: .svg, or a page of HTML; - is stdout")
      ->check([](const std::string& path) {
        const bool is_stream = path == "-" || path.starts_with("/dev/");
        const bool has_ending = path.ends_with(".svg") || path.ends_with(".html");
        return is_stream || has_ending ? std::string() : "'" + path + "' is neither .svg nor .html";
      })
      ->type_name("FILE");
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_experts(*options); }; });
}

}  // namespace larder::apps

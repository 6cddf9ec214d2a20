// larder logits: every position's logits and routes, to compare with any reference.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/model_path.h"
#include "apps/npy.h"
#include "apps/output.h"
#include "apps/subcommands.h"

namespace larder::apps {
namespace {

struct LogitsOptions {
  std::string model, ids, out = "-", routes;
  std::optional<std::string> encoder_ids;
  OutputOptions output;
  runtime::SessionOptions session;
};

// Writes a line of CSV for every expert that was chosen. Rows of a layer come in the order of
// their tokens, step after step.
class RouteTable : public runtime::ForwardObserver {
 public:
  RouteTable(Output& output, int32_t n_layers)
      : output_(output), n_rows_(static_cast<size_t>(n_layers)) {
    output_.write("token,layer,rank,expert,weight\n");
  }

  void routes(int layer, int32_t* experts, float* weights, int n_rows, int n_active) override {
    int32_t& first = n_rows_[static_cast<size_t>(layer)];
    std::string lines;
    for (int row = 0; row < n_rows; ++row) {
      for (int rank = 0; rank < n_active; ++rank) {
        const int at = row * n_active + rank;
        char line[96];
        std::snprintf(line, sizeof line, "%d,%d,%d,%d,%.9g\n", first + row, layer, rank,
                      experts[at], static_cast<double>(weights[at]));
        lines += line;
      }
    }
    first += n_rows;
    output_.write(lines);
  }

 private:
  Output& output_;
  std::vector<int32_t> n_rows_;  // seen so far, by layer
};

// Before an existing output is given up for the new one.
Status check_ids(const runtime::Session& session, const std::vector<formats::TokenId>& ids,
                 const char* option) {
  const int32_t n_vocab = session.model().config().n_vocab;
  if (ids.empty()) return Status(Cause::invalid_argument, "names no token", option);
  for (const formats::TokenId id : ids) {
    if (id >= 0 && id < n_vocab) continue;
    return Status(Cause::invalid_argument,
                  "token id " + std::to_string(id) + " is outside the vocabulary of " +
                      std::to_string(n_vocab),
                  option);
  }
  if (std::cmp_less_equal(ids.size(), session.n_ctx())) return {};
  return Status(Cause::context_full,
                std::to_string(ids.size()) + " tokens do not fit the context of " +
                    std::to_string(session.n_ctx()) + "; choose a larger --ctx-size",
                option);
}

struct Ids {
  std::vector<formats::TokenId> own, encoder;  // the latter for a model with an encoder, only
};

int write_logits(runtime::Session& session, const Ids& all, const LogitsOptions& options) {
  const std::vector<formats::TokenId>& ids = all.own;
  if (Status s = check_ids(session, ids, "--ids"); !s.ok()) return fail(s);
  if (options.encoder_ids) {
    if (Status s = check_ids(session, all.encoder, "--encoder-ids"); !s.ok()) return fail(s);
  }
  const std::vector<std::string> in_use = paths_of(session.model().file());
  Result<Output> out = Output::open(options.out, in_use);
  if (!out) return fail(out.status());
  std::unique_ptr<Output> routes_output;
  std::unique_ptr<RouteTable> routes;
  if (!options.routes.empty()) {
    Result<Output> opened = Output::open(options.routes, in_use);
    if (!opened) return fail(opened.status());
    routes_output = std::make_unique<Output>(std::move(*opened));
    routes = std::make_unique<RouteTable>(*routes_output, session.model().config().n_layers());
  }
  if (options.encoder_ids) {
    if (Status s = session.encode(all.encoder, routes.get()); !s.ok()) return fail(s);
  }
  out->write(npy_header(static_cast<int64_t>(ids.size()), session.model().config().n_vocab));
  const Status computed = session.append_all_logits(
      ids, [&out](int32_t, std::span<const float> row) { write_npy_row(*out, row); }, routes.get());
  if (!computed.ok()) return fail(computed);
  if (routes_output != nullptr) {
    if (Status s = routes_output->finish(); !s.ok()) return fail(s);
  }
  return fail_unless_ok(out->finish());
}

// What the model's kind asks of the flags; empty: nothing is wrong.
std::string misuse(const runtime::Model& model, const LogitsOptions& options) {
  const bool has_encoder = model.config().has_encoder();
  if (has_encoder && !options.encoder_ids)
    return "the model has an encoder; give the tokens that it reads with --encoder-ids";
  if (!has_encoder && options.encoder_ids)
    return "the model has no encoder that could read --encoder-ids";
  return {};
}

int run_logits(const LogitsOptions& options) {
  const auto ids = parse_ids(options.ids);
  if (!ids) return fail(ids.status());
  const auto encoder_ids = parse_ids(options.encoder_ids.value_or(""));
  if (!encoder_ids) return fail(encoder_ids.status());
  if (options.out == "-" && isatty(STDOUT_FILENO) == 1) {
    complain("logits are bytes, no text for a terminal; name a file with -o FILE");
    return kUsage;
  }
  if (options.out == "-" && options.routes == "-") {
    complain("logits and routes cannot both go to stdout");
    return kUsage;
  }
  if (Status s = Output::check_apart(std::vector{options.out, options.routes}); !s.ok())
    return fail(s);
  auto model = load_model(options.model, options.output);
  if (!model) return fail_model(model.status());
  if (const std::string what = misuse(**model, options); !what.empty()) {
    complain(what);
    return kUsage;
  }
  const auto session = open_session(std::move(*model), options.session, options.output);
  if (!session) return fail_model(session.status());
  return write_logits(**session, {*ids, *encoder_ids}, options);
}

}  // namespace

void add_logits(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("logits", "Every position's logits, float32, in NumPy's format");
  auto options = std::make_shared<LogitsOptions>();
  add_model_option(command, options->model);
  command.add_option("--ids", options->ids, "Token ids, separated by commas")
      ->type_name("IDS")
      ->required();
  command
      .add_option("--encoder-ids", options->encoder_ids,
                  "What the encoder reads, in a model that has one; --ids then begin with the "
                  "decoder's start token")
      ->type_name("IDS");
  command.add_option("-o,--output", options->out, "Where the logits go (default: stdout)")
      ->type_name("FILE.npy");
  command
      .add_option(
          "--routes", options->routes,
          "The experts chosen, as CSV: token,layer,rank,expert,weight, layers of an encoder "
          "first; - is stdout")
      ->type_name("FILE.csv");
  add_session_options(command, options->session);
  command.add_flag("-q,--quiet", options->output.is_quiet, "Only errors on stderr");
  command.add_flag("-v,--verbose", options->output.is_verbose, "Say more, on stderr");
  command.callback([options, &run] { run = [options] { return run_logits(*options); }; });
}

}  // namespace larder::apps

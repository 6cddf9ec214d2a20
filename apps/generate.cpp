// larder generate: goes on with a text, without any template; behind an encoder, answers it.
#include <unistd.h>

#include <memory>

#include "apps/answer_printer.h"
#include "apps/ending.h"
#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/paging_report.h"
#include "apps/subcommands.h"
#include "apps/timings.h"
#include "formats/json/json.h"
#include "runtime/session/prompt.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::Flow;

struct GenerateOptions {
  std::string model;
  OutputOptions output;
  PromptFlags prompt;
  runtime::SessionOptions session;
  SamplingFlags sampling;
  runtime::GenerationOptions generation;
  bool recognises_special = false;
};

// The text as the model reads it: the beginning of what it goes on with, or an encoder's source.
Result<std::vector<formats::TokenId>> encode(const runtime::Model& model, const std::string& prompt,
                                             const GenerateOptions& options) {
  const formats::SpecialTokens special = options.recognises_special
                                             ? formats::SpecialTokens::recognised
                                             : formats::SpecialTokens::as_text;
  if (model.config().has_encoder())
    return runtime::encode_source(*model.tokenizer(), prompt, special);
  return runtime::encode_text(*model.tokenizer(), prompt, special);
}

// Behind an encoder: the whole source, and the token that an answer begins with.
Status read_source(runtime::Session& session, const std::vector<formats::TokenId>& ids) {
  if (Status s = session.encode(ids); !s.ok()) return s;
  const formats::TokenId start[] = {session.model().config().decoder_start};
  return session.append(start);
}

// Appends the prompt, telling progress.
Result<Timings> prefill(runtime::Session& session, const std::vector<formats::TokenId>& ids,
                        const OutputOptions& output) {
  const Terminal screen(STDERR_FILENO, output.color);
  ProgressLine progress(screen, "prompt", output.is_quiet);
  const Stopwatch watch;
  const auto append = [&] {
    return session.append(ids, [&progress](int32_t done, int32_t total) {
      progress.update(done, total);
      return true;
    });
  };
  const bool has_source = session.model().config().has_encoder();
  const Status s = has_source ? read_source(session, ids) : append();
  if (!s.ok()) return s;
  Timings timings;
  timings.n_prompt = static_cast<int32_t>(ids.size());
  timings.prompt_seconds = watch.seconds();
  return timings;
}

int answer(const Engine& engine, const std::string& prompt, const GenerateOptions& options) {
  runtime::Session& session = *engine.session;
  const auto ids = encode(session.model(), prompt, options);
  if (!ids) return fail(ids.status());
  Result<Timings> timings = prefill(session, *ids, options.output);
  if (!timings) return fail(timings.status());

  Output output = Output::standard();
  const Terminal out(STDOUT_FILENO, options.output.color);
  AnswerPrinter printer(output, out, out, false);
  runtime::Sampler sampler(engine.sampler, session.model().config().n_vocab);
  const auto generated =
      runtime::generate(session, sampler, options.generation, [&](std::string_view piece) {
        return options.output.is_json ? Flow::go_on
                                      : printer.show(runtime::AnswerPart::answer, piece);
      });
  if (!generated) return fail(generated.status());
  timings->n_predicted = static_cast<int32_t>(generated->tokens.size());
  timings->predicted_seconds = generated->seconds;

  if (options.output.is_json) {
    DataValue object = DataValue::make_dict({{"text", generated->text}});
    add_origin(object, session.model().file().path(), engine.sampler.seed);
    add_ending(object, generated->tokens, generated->reason, *timings);
    if (const auto statistics = session.expert_statistics()) {
      object.dict.emplace_back(
          "experts", to_data(*statistics, timings->prompt_seconds + timings->predicted_seconds));
    }
    output.write(to_json(object) + "\n");
  } else if (out.is_terminal()) {
    printer.finish();
  }
  if (Status s = output.finish(); !s.ok()) return fail(s);
  tell_ending(generated->reason, *timings, session.n_ctx(), options.output);
  return exit_code(generated->reason);
}

int run_generate(const GenerateOptions& options) {
  const auto prompt = read_prompt(options.prompt);
  if (!prompt) return fail(prompt.status());
  if (!*prompt || (*prompt)->empty()) {
    complain("there is no text to go on with; give one with -p TEXT or on standard input");
    return kUsage;
  }
  const auto engine = open_engine(options.model, options.session, options.sampling, options.output);
  if (!engine) return fail_model(engine.status());
  return answer(*engine, **prompt, options);
}

}  // namespace

void add_generate(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand("generate", "Go on with a text, without a template");
  auto options = std::make_shared<GenerateOptions>();
  add_model_option(command, options->model);
  add_prompt_options(command, options->prompt);
  add_generation_options(command, options->generation);
  command.add_flag("--special", options->recognises_special,
                   "Recognise control tokens in the text");
  add_sampling_options(command, options->sampling);
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_generate(*options); }; });
}

}  // namespace larder::apps

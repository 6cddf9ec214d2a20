// larder chat: a conversation with the model's own chat template.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "apps/conversation.h"
#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/repl.h"
#include "apps/signals.h"
#include "apps/subcommands.h"
#include "apps/template_flags.h"

namespace larder::apps {
namespace {

struct ChatCommandOptions {
  std::string model, system_prompt;
  OutputOptions output;
  PromptFlags prompt;
  runtime::SessionOptions session;
  SamplingFlags sampling;
  TemplateFlags chat_template;
  runtime::GenerationOptions generation;
  bool hides_thinking = false, keeps_no_history = false;
};

int answer_once(Conversation& conversation, std::string text) {
  const auto reason = conversation.say(std::move(text));
  if (!reason) return fail(reason.status());
  return exit_code(*reason);
}

int run_chat(const ChatCommandOptions& options) {
  const bool is_interactive =
      isatty(STDIN_FILENO) == 1 && !options.prompt.text && options.prompt.file.empty();
  std::string prompt;
  if (!is_interactive) {
    auto read = read_prompt(options.prompt);
    if (!read) return fail(read.status());
    if (!*read) {
      complain("there is nothing to answer; ask with -p TEXT or on standard input");
      return kUsage;
    }
    prompt = std::move(**read);
    prompt.resize(prompt.find_last_not_of('\n') + 1);
  }

  const auto chat_template = read_template(options.chat_template);
  if (!chat_template) return fail(chat_template.status());
  const auto variables = template_variables(options.chat_template);
  if (!variables) return fail(variables.status());
  const auto engine = open_engine(options.model, options.session, options.sampling, options.output);
  if (!engine) return fail_model(engine.status());
  const std::string wish = thinking_wish(options.chat_template);
  auto chat = runtime::Chat::create(
      *engine->session, {engine->sampler, options.generation, wish, *variables}, *chat_template);
  if (!chat) return fail_model(chat.status());
  if (!options.output.is_quiet) warn_of_thinking((*chat)->chat_template(), wish);
  (*chat)->set_system(options.system_prompt);
  Conversation conversation(*engine->session, std::move(*chat), options.output,
                            options.hides_thinking);
  if (!is_interactive) return answer_once(conversation, std::move(prompt));
  return run_repl(conversation,
                  HistoryFile(options.keeps_no_history ? "" : HistoryFile::default_path()));
}

}  // namespace

void add_chat(CLI::App& program, Run& run) {
  CLI::App& command = *program.add_subcommand(
      "chat", "Talk with the model; with -p, or standard input from elsewhere, one answer");
  auto options = std::make_shared<ChatCommandOptions>();
  add_model_option(command, options->model);
  add_prompt_options(command, options->prompt);
  add_template_options(command, options->chat_template);
  command.add_option("--system-prompt,--system", options->system_prompt, "The system prompt")
      ->type_name("TEXT");
  command.add_flag("--hide-thinking", options->hides_thinking, "Show the answer alone");
  command.add_flag("--no-history", options->keeps_no_history,
                   "Neither read nor keep what is typed across runs");
  add_generation_options(command, options->generation);
  add_sampling_options(command, options->sampling);
  add_session_options(command, options->session);
  add_output_options(command, options->output);
  command.callback([options, &run] { run = [options] { return run_chat(*options); }; });
}

}  // namespace larder::apps

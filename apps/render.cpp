// larder render: the prompt text that a conversation becomes.
#include <unistd.h>

#include <ctime>
#include <memory>
#include <string>

#include "apps/exit_code.h"
#include "apps/model_loader.h"
#include "apps/output.h"
#include "apps/subcommands.h"
#include "apps/template_flags.h"
#include "formats/json/json.h"
#include "runtime/session/prompt.h"
#include "runtime/session/thinking_style.h"

namespace larder::apps {
namespace {

using formats::ChatTemplate;
using formats::DataValue;

struct RenderOptions {
  std::string model, messages, now;
  TemplateFlags chat_template;
  bool has_no_generation_prompt = false, is_json = false;
};

// A list of messages, or an object of variables with "messages" in it.
Result<DataValue> read_variables(const std::string& path) {
  const Result<std::string> text = read_file(path);
  if (!text) return text.status();
  Result<DataValue> value = formats::parse_json(*text);
  if (!value) return value.status().with_file(path);
  if (value->kind == DataValue::Kind::list) {
    return DataValue::make_dict({{"messages", std::move(*value)}});
  }
  if (value->find("messages") != nullptr) return value;
  return Status(Cause::value_type,
                "must hold a list of messages, or an object with \"messages\" in it")
      .with_file(path);
}

std::tm local_now() {
  std::tm time{};
  const std::time_t now = std::time(nullptr);
  localtime_r(&now, &time);
  return time;
}

int render(const ChatTemplate& chat_template, const formats::Tokenizer* tokenizer,
           const RenderOptions& options) {
  Result<DataValue> variables = read_variables(options.messages);
  if (!variables) return fail(variables.status());
  const Result<std::tm> now = options.now.empty() ? local_now() : parse_time(options.now);
  if (!now) return fail(now.status());
  if (options.has_no_generation_prompt) {
    std::erase_if(variables->dict,
                  [](const auto& member) { return member.first == "add_generation_prompt"; });
    variables->dict.emplace_back("add_generation_prompt", false);
  }
  const Result<DataValue> more = template_variables(options.chat_template);
  if (!more) return fail(more.status());
  runtime::add_variables(*variables, more->dict);
  if (const std::string wish = thinking_wish(options.chat_template); !wish.empty()) {
    runtime::add_variables(*variables, runtime::thinking_variables(chat_template.source(), wish));
  }
  runtime::add_default_variables(*variables, tokenizer);
  const Result<formats::MarkedText> prompt = chat_template.render(*variables, *now);
  if (!prompt) return fail(prompt.status());

  Output output = Output::standard();
  if (options.is_json) {
    output.write(to_json(DataValue::make_dict({{"prompt", prompt->text}})) + "\n");
  } else {
    output.write(prompt->text);
    if (isatty(STDOUT_FILENO) == 1 && !prompt->text.ends_with('\n')) output.write("\n");
  }
  return fail_unless_ok(output.finish());
}

// A template of its own is rendered without any model, unless one is named.
int run_render(const RenderOptions& options) {
  const auto own = read_template(options.chat_template);
  if (!own) return fail(own.status());
  if (*own != nullptr && options.model.empty()) return render(**own, nullptr, options);
  const auto vocabulary = load_vocabulary(options.model);
  if (!vocabulary) return fail_model(vocabulary.status());
  if (*own != nullptr) return render(**own, vocabulary->tokenizer.get(), options);
  const auto chat_template = runtime::read_chat_template(*vocabulary->file);
  if (!chat_template) return fail_model(chat_template.status());
  return render(**chat_template, vocabulary->tokenizer.get(), options);
}

}  // namespace

void add_render(CLI::App& program, Run& run) {
  CLI::App& command =
      *program.add_subcommand("render", "The prompt text that a conversation becomes");
  auto options = std::make_shared<RenderOptions>();
  add_model_option(command, options->model);
  command
      .add_option("--messages", options->messages,
                  "JSON: a list of messages, or an object with \"messages\"; - is stdin")
      ->type_name("FILE")
      ->required();
  add_template_options(command, options->chat_template);
  command.add_flag("--no-generation-prompt", options->has_no_generation_prompt,
                   "Do not begin the answer");
  command.add_option("--now", options->now, "The time that templates see (default: the present)")
      ->type_name("ISO-TIME");
  command.add_flag("--json", options->is_json, "One JSON object on stdout");
  command.callback([options, &run] { run = [options] { return run_render(*options); }; });
}

}  // namespace larder::apps

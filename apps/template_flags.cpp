#include "apps/template_flags.h"

#include <utility>

#include "apps/exit_code.h"
#include "apps/options.h"
#include "formats/json/json.h"
#include "runtime/session/thinking_style.h"

namespace larder::apps {

using formats::ChatTemplate;
using formats::DataValue;

void add_template_options(CLI::App& command, TemplateFlags& flags) {
  command
      .add_option("--template,--chat-template-file", flags.file,
                  "Another chat template than the model's")
      ->type_name("FILE");
  command
      .add_option("--chat-template-kwargs", flags.variables,
                  "Variables that the template sees, as a JSON object")
      ->type_name("JSON");
  command
      .add_option(
          "--think,--reasoning,--reasoning-effort", flags.thinking,
          "Ask the template for thinking: on, off (or the least it can), auto (default), or "
          "a level it knows, such as low or high")
      ->type_name("WHEN");
}

Result<std::shared_ptr<const ChatTemplate>> read_template(const TemplateFlags& flags) {
  if (flags.file.empty()) return std::shared_ptr<const ChatTemplate>();
  const Result<std::string> source = read_file(flags.file);
  if (!source) return source.status();
  auto parsed = ChatTemplate::parse(*source);
  if (!parsed) return parsed.status().with_file(flags.file);
  return parsed;
}

Result<DataValue> template_variables(const TemplateFlags& flags) {
  if (flags.variables.empty()) return DataValue::make_dict();
  Result<DataValue> value = formats::parse_json(flags.variables);
  if (value && value->kind == DataValue::Kind::dict) return value;
  return Status(Cause::invalid_argument,
                value ? "must be a JSON object" : value.status().detail().message,
                "--chat-template-kwargs");
}

std::string thinking_wish(const TemplateFlags& flags) {
  return flags.thinking == "auto" ? "" : flags.thinking;
}

void warn_of_thinking(const ChatTemplate& chat_template, const std::string& wish) {
  if (wish.empty()) return;
  if (!runtime::thinking_variables(chat_template.source(), wish).empty()) return;
  complain("warning: the model's chat template has no switch for thinking '" + wish + "'");
}

}  // namespace larder::apps

#include "apps/transcript.h"

#include <utility>

#include "apps/options.h"
#include "apps/output.h"
#include "formats/json/json.h"
#include "runtime/session/json_messages.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::Message;

std::string text_of(const DataValue* value) {
  return value != nullptr && value->kind == DataValue::Kind::string ? value->string : "";
}

std::vector<runtime::ToolCall> calls_of(const DataValue* value) {
  std::vector<runtime::ToolCall> calls;
  if (value == nullptr) return calls;
  for (const DataValue& call : value->list) {
    const DataValue* const function = call.find("function");
    if (function == nullptr) continue;
    const DataValue* const arguments = function->find("arguments");
    const bool is_text = arguments == nullptr || arguments->kind == DataValue::Kind::string;
    calls.push_back(
        {text_of(function->find("name")), is_text ? text_of(arguments) : to_json(*arguments)});
  }
  return calls;
}

bool is_content(const DataValue* value) {
  return value == nullptr || value->kind == DataValue::Kind::string ||
         value->kind == DataValue::Kind::list || value->kind == DataValue::Kind::null;
}

}  // namespace

Status save_messages(const std::string& path, const std::vector<Message>& messages,
                     std::span<const std::string> in_use) {
  Result<Output> output = Output::open(path, in_use);
  if (!output) return output.status();
  const DataValue list = to_data(messages, "reasoning_content");
  output->write(to_json(DataValue::make_dict({{"messages", list}})) + "\n");
  return output->finish();
}

Result<std::vector<Message>> load_messages(const std::string& path) {
  const Result<std::string> text = read_file(path);
  if (!text) return text.status();
  const Result<DataValue> value = formats::parse_json(*text);
  if (!value) return value.status().with_file(path);
  const DataValue* const inner = value->find("messages");
  const DataValue& list = inner != nullptr ? *inner : *value;
  if (list.kind != DataValue::Kind::list) {
    return Status(Cause::value_type,
                  "must hold a list of messages, or an object with \"messages\" in it")
        .with_file(path);
  }
  std::vector<Message> messages;
  for (const DataValue& one : list.list) {
    const DataValue* const role = one.find("role");
    if (role == nullptr || role->kind != DataValue::Kind::string ||
        !is_content(one.find("content"))) {
      return Status(Cause::value_type, "must have a \"role\" and a \"content\" of text",
                    "message " + std::to_string(messages.size() + 1))
          .with_file(path);
    }
    DataValue content = one.find("content") != nullptr ? *one.find("content") : DataValue();
    if (content.kind == DataValue::Kind::list) {
      const Status joined = runtime::join_parts(content);
      if (!joined.ok()) {
        return Status(joined.cause(), joined.detail().message,
                      "message " + std::to_string(messages.size() + 1))
            .with_file(path);
      }
    }
    messages.push_back({role->string, text_of(&content), text_of(one.find("reasoning_content")),
                        calls_of(one.find("tool_calls"))});
  }
  return messages;
}

}  // namespace larder::apps

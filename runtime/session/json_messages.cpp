#include "runtime/session/json_messages.h"

#include <new>
#include <string>
#include <utility>

namespace larder::runtime {
namespace {

using formats::DataValue;

constexpr const char* kSubject = "messages";

Result<Message> read_message(const DataValue& value) {
  const DataValue* const role = value.find("role");
  if (role == nullptr || role->kind != DataValue::Kind::string || role->string.empty())
    return Status(Cause::value_type, "needs a role in every message", kSubject);
  Message message{role->string, {}};
  for (const auto& [name, field] : value.dict) {
    if (name == "role") continue;
    DataValue plain = field;
    if (name == "content" && plain.kind == DataValue::Kind::list)
      if (Status s = join_parts(plain); !s.ok()) return s;
    const bool is_text = plain.kind == DataValue::Kind::string;
    if (name == "content" && !is_text && plain.kind != DataValue::Kind::null)
      return Status(Cause::value_type, "has content that is no text", kSubject);
    if (name == "content" && is_text)
      message.content = std::move(plain.string);
    else if (name == "reasoning_content" && is_text)
      message.thinking = std::move(plain.string);
    else
      message.fields.dict.emplace_back(name, std::move(plain));
  }
  return message;
}

}  // namespace

Status join_parts(DataValue& content) {
  std::string text;
  for (const DataValue& part : content.list) {
    const DataValue *const type = part.find("type"), *const words = part.find("text");
    if (type == nullptr || type->string != "text" || words == nullptr ||
        words->kind != DataValue::Kind::string)
      return Status(Cause::unsupported, "has content that is no text", kSubject);
    text += words->string;
  }
  content = DataValue(std::move(text));
  return {};
}

Result<std::vector<Message>> read_messages(const DataValue& value) try {
  const std::vector<DataValue> one = {value};
  std::vector<Message> messages;
  for (const DataValue& item : value.kind == DataValue::Kind::list ? value.list : one) {
    Result<Message> message = read_message(item);
    if (!message) return message.status();
    messages.push_back(std::move(*message));
  }
  return messages;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime

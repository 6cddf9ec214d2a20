#include "runtime/session/prompt.h"

#include <new>
#include <utility>

namespace larder::runtime {
namespace {

using formats::DataValue;
using formats::TokenId;

void add_if_absent(DataValue& variables, std::string_view name, DataValue value) {
  if (variables.find(name) != nullptr) return;
  variables.dict.emplace_back(std::string(name), std::move(value));
}

void set(DataValue& dict, const DataValue::Member& member) {
  std::erase_if(dict.dict, [&](const auto& other) { return other.first == member.first; });
  dict.dict.push_back(member);
}

void add_bos(const formats::Tokenizer& tokenizer, std::vector<TokenId>& ids) {
  const TokenId bos = tokenizer.bos();
  if (!tokenizer.adds_bos() || bos == formats::kNoToken) return;
  if (ids.empty() || ids.front() != bos) ids.insert(ids.begin(), bos);
}

// As in OpenAI's API; templates add the namespace of functions themselves.
DataValue to_data(const ToolCall& call) {
  constexpr std::string_view kNamespace = "functions.";
  std::string_view name = call.name;
  if (name.starts_with(kNamespace)) name.remove_prefix(kNamespace.size());
  return DataValue::make_dict(
      {{"type", "function"},
       {"function", DataValue::make_dict({{"name", name}, {"arguments", call.arguments}})}});
}

}  // namespace

DataValue to_data(const Message& message, std::string_view thinking_field) {
  DataValue data = DataValue::make_dict({{"role", message.role}, {"content", message.content}});
  if (!message.thinking.empty()) data.dict.emplace_back(thinking_field, message.thinking);
  if (!message.calls.empty()) {
    DataValue calls = DataValue::make_list();
    for (const ToolCall& call : message.calls) calls.list.push_back(to_data(call));
    data.dict.emplace_back("tool_calls", std::move(calls));
  }
  for (const DataValue::Member& field : message.fields.dict) set(data, field);
  return data;
}

DataValue to_data(const std::vector<Message>& messages, std::string_view thinking_field) {
  DataValue list = DataValue::make_list();
  for (const Message& message : messages) {
    list.list.push_back(to_data(message, thinking_field));
  }
  return list;
}

void add_variables(DataValue& variables, const std::vector<DataValue::Member>& more) {
  for (const auto& [name, value] : more) add_if_absent(variables, name, value);
}

void add_default_variables(DataValue& variables, const formats::Tokenizer* tokenizer) {
  add_if_absent(variables, "add_generation_prompt", true);
  add_if_absent(variables, "tools", DataValue());
  add_if_absent(variables, "documents", DataValue());
  if (tokenizer == nullptr) return;
  for (const auto& [name, id] :
       {std::pair{"bos_token", tokenizer->bos()}, std::pair{"eos_token", tokenizer->eos()},
        std::pair{"unk_token", tokenizer->unknown()},
        std::pair{"pad_token", tokenizer->padding()}}) {
    if (id != formats::kNoToken) add_if_absent(variables, name, tokenizer->text(id));
  }
}

Result<std::shared_ptr<const formats::ChatTemplate>> read_chat_template(
    const formats::GgufFile& file) try {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  if (file.find(kKey) == nullptr) {
    return Status(Cause::missing,
                  "the model has no chat template, so that it cannot chat; `larder generate` "
                  "continues a text with it",
                  "key " + std::string(kKey))
        .with_file(file.path());
  }
  const Result<std::string_view> source = file.string(kKey);
  if (!source) return source.status();
  auto parsed = formats::ChatTemplate::parse(*source);
  if (!parsed) return parsed.status().with_file(file.path());
  return parsed;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::vector<TokenId>> encode_prompt(const formats::Tokenizer& tokenizer,
                                           const formats::MarkedText& prompt) try {
  std::vector<TokenId> ids;
  if (Status s = tokenizer.encode(prompt, ids); !s.ok()) return s;
  add_bos(tokenizer, ids);
  return ids;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::vector<TokenId>> encode_text(const formats::Tokenizer& tokenizer, std::string_view text,
                                         formats::SpecialTokens special) try {
  std::vector<TokenId> ids;
  if (Status s = tokenizer.encode(text, special, ids); !s.ok()) return s;
  add_bos(tokenizer, ids);
  return ids;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<std::vector<TokenId>> encode_source(const formats::Tokenizer& tokenizer,
                                           std::string_view text, formats::SpecialTokens special) {
  Result<std::vector<TokenId>> ids = encode_text(tokenizer, text, special);
  if (!ids) return ids;
  const TokenId eos = tokenizer.eos();
  const bool ends = !ids->empty() && ids->back() == eos;
  if (tokenizer.adds_eos() && eos != formats::kNoToken && !ends) ids->push_back(eos);
  return ids;
}

}  // namespace larder::runtime

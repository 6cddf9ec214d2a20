// What a conversation becomes: the template's text, and then token ids.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "formats/status.h"
#include "formats/template/chat_template.h"
#include "formats/text/tokenizer.h"

namespace larder::runtime {

struct ToolCall {
  std::string name, arguments;  // arguments: as the model wrote them, mostly JSON
};

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
  std::string thinking = {};  // an assistant's, without its marks
  std::vector<ToolCall> calls = {};
  // A dict of further fields, for the template; they win over those above.
  formats::DataValue fields = formats::DataValue::make_dict();
};

// {"role", "content"[, "reasoning_content"][, "tool_calls"]}; `thinking_field` names the field of
// the thinking where it is another. Behind them, `fields`.
formats::DataValue to_data(const Message& message,
                           std::string_view thinking_field = "reasoning_content");
formats::DataValue to_data(const std::vector<Message>& messages, std::string_view thinking_field);

// Adds those whose names `variables` has not yet.
void add_variables(formats::DataValue& variables,
                   const std::vector<formats::DataValue::Member>& more);

// Adds to `variables` what every template may expect and the caller has not set:
// add_generation_prompt (true), tools and documents (null), and with a tokenizer the texts of
// bos_token, eos_token, unk_token and pad_token. Source: Hugging Face apply_chat_template.
void add_default_variables(formats::DataValue& variables, const formats::Tokenizer* tokenizer);

// The file's tokenizer.chat_template, parsed. Errors: `missing`, saying what to do; those of parse.
Result<std::shared_ptr<const formats::ChatTemplate>> read_chat_template(
    const formats::GgufFile& file);

// Encodes a rendered prompt. BOS is put before it where the tokenizer wants one and the template
// wrote none.
Result<std::vector<formats::TokenId>> encode_prompt(const formats::Tokenizer& tokenizer,
                                                    const formats::MarkedText& prompt);
// The same for a text to be continued as it is.
Result<std::vector<formats::TokenId>> encode_text(const formats::Tokenizer& tokenizer,
                                                  std::string_view text,
                                                  formats::SpecialTokens special);
// The same for a source that an encoder reads: it ends with EOS where the tokenizer wants one.
Result<std::vector<formats::TokenId>> encode_source(const formats::Tokenizer& tokenizer,
                                                    std::string_view text,
                                                    formats::SpecialTokens special);

}  // namespace larder::runtime

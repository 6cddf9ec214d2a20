#include "apps/batch_response.h"

#include <string_view>
#include <utility>

#include "apps/digest.h"
#include "apps/ending.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::TokenId;
using runtime::EngineResult;
using runtime::Generation;
using runtime::TokenLogprob;

constexpr int kBadRequest = 400, kInternalError = 500;

// The same for the same line, in whatever run.
std::string short_id(std::string_view text) {
  Hasher hasher;
  hasher.add(text);
  return hasher.hex().substr(0, 24);
}

// Of the generated tokens those that a reader may see: all but the one that ended the answer.
size_t n_visible(const Generation& generation, const formats::Tokenizer& tokenizer) {
  const size_t n = generation.tokens.size();
  const bool has_end = n > 0 && generation.reason == runtime::StopReason::end_of_generation &&
                       tokenizer.is_end_of_generation(generation.tokens.back());
  return has_end ? n - 1 : n;
}

// The alternatives at one place of a result.
std::vector<TokenLogprob> top_at(const EngineResult& result, size_t place, int32_t n_top) {
  const size_t n = static_cast<size_t>(n_top), begin = (result.scores.size() + place) * n;
  if (begin + n > result.top.size()) return {};
  const auto first = result.top.begin() + static_cast<ptrdiff_t>(begin);
  return {first, first + n_top};
}

// Log-probabilities are of float32, those of alternatives like the token's own.
DataValue token_data(const formats::Tokenizer& tokenizer, TokenId token, float logprob) {
  const std::string text = tokenizer.token_bytes(token, true);
  DataValue bytes = DataValue::make_list();
  for (const char c : text) bytes.list.emplace_back(int{static_cast<unsigned char>(c)});
  return DataValue::make_dict(
      {{"token", text}, {"logprob", double{logprob}}, {"bytes", std::move(bytes)}});
}

// {"content": [{"token", "logprob", "bytes", "top_logprobs"}], "refusal": null}
DataValue chat_logprobs(const EngineResult& result, const BatchRequest& request,
                        const formats::Tokenizer& tokenizer) {
  const Generation& generation = *result.generation;
  DataValue content = DataValue::make_list();
  for (size_t i = 0; i < n_visible(generation, tokenizer); ++i) {
    DataValue token = token_data(tokenizer, generation.tokens[i], generation.logprobs[i]);
    DataValue top = DataValue::make_list();
    for (const TokenLogprob& other : top_at(result, i, request.n_top)) {
      top.list.push_back(token_data(tokenizer, other.token, static_cast<float>(other.logprob)));
    }
    token.dict.emplace_back("top_logprobs", std::move(top));
    content.list.push_back(std::move(token));
  }
  return DataValue::make_dict({{"content", std::move(content)}, {"refusal", DataValue()}});
}

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
DataValue completion_logprobs(const EngineResult& result, const BatchRequest& request,
                              const formats::Tokenizer& tokenizer) {
  const Generation& generation = *result.generation;
  DataValue tokens = DataValue::make_list(), logprobs = DataValue::make_list(),
            tops = DataValue::make_list(), offsets = DataValue::make_list();
  int64_t offset = 0;
  for (size_t i = 0; i < n_visible(generation, tokenizer); ++i) {
    const std::string text = tokenizer.token_bytes(generation.tokens[i], true);
    tokens.list.emplace_back(text);
    logprobs.list.emplace_back(double{generation.logprobs[i]});
    offsets.list.emplace_back(offset);
    offset += static_cast<int64_t>(text.size());
    DataValue top = DataValue::make_dict();
    for (const TokenLogprob& other : top_at(result, i, request.n_top)) {
      top.dict.emplace_back(tokenizer.token_bytes(other.token, true),
                            double{static_cast<float>(other.logprob)});
    }
    tops.list.push_back(request.n_top > 0 ? std::move(top) : DataValue());
  }
  return DataValue::make_dict({{"tokens", std::move(tokens)},
                               {"token_logprobs", std::move(logprobs)},
                               {"top_logprobs", std::move(tops)},
                               {"text_offset", std::move(offsets)}});
}

DataValue message_data(const runtime::ThinkingSplitter& splitter, const std::string& id) {
  DataValue message = DataValue::make_dict({{"role", "assistant"}});
  const bool has_calls = !splitter.calls().empty();
  message.dict.emplace_back("content", has_calls && splitter.answer().empty()
                                           ? DataValue()
                                           : DataValue(splitter.answer()));
  if (!splitter.thinking().empty()) {
    message.dict.emplace_back("reasoning_content", splitter.thinking());
  }
  if (!has_calls) return message;
  DataValue calls = DataValue::make_list();
  for (const runtime::ToolCall& call : splitter.calls()) {
    calls.list.push_back(DataValue::make_dict(
        {{"id", "call_" + id + "_" + std::to_string(calls.list.size())},
         {"type", "function"},
         {"function",
          DataValue::make_dict({{"name", call.name}, {"arguments", call.arguments}})}}));
  }
  message.dict.emplace_back("tool_calls", std::move(calls));
  return message;
}

DataValue chat_choice(const EngineResult& result, const BatchRequest& request,
                      const BatchDefaults& defaults, const std::string& id, int index) {
  const Generation& generation = *result.generation;
  runtime::ThinkingSplitter splitter(defaults.styles, request.opening, {});
  if (splitter.push(generation.text) == runtime::Flow::go_on) splitter.finish();
  const runtime::StopReason reason =
      splitter.has_ended() ? runtime::StopReason::end_of_generation : generation.reason;
  return DataValue::make_dict(
      {{"index", index},
       {"message", message_data(splitter, id + "_" + std::to_string(index))},
       {"logprobs",
        request.has_logprobs ? chat_logprobs(result, request, *defaults.tokenizer) : DataValue()},
       {"finish_reason", finish_reason(reason, !splitter.calls().empty())}});
}

DataValue completion_choice(const EngineResult& result, const BatchRequest& request,
                            const BatchDefaults& defaults, int index) {
  return DataValue::make_dict(
      {{"index", index},
       {"text", result.generation->text},
       {"logprobs", request.has_logprobs ? completion_logprobs(result, request, *defaults.tokenizer)
                                         : DataValue()},
       {"finish_reason", finish_reason(result.generation->reason)}});
}

DataValue usage_of(const BatchRequest& request, const std::vector<EngineResult>& results) {
  int64_t n_prompt = 0, n_completion = 0;
  for (const auto& prompt : request.prompts) n_prompt += static_cast<int64_t>(prompt.size());
  for (const EngineResult& result : results) {
    n_completion += static_cast<int64_t>(result.generation->tokens.size());
  }
  return DataValue::make_dict({{"prompt_tokens", n_prompt},
                               {"completion_tokens", n_completion},
                               {"total_tokens", n_prompt + n_completion}});
}

// Source: OpenAI's error codes where it has one.
std::string_view code_of(Cause cause) noexcept {
  switch (cause) {
    case Cause::context_full:
      return "context_length_exceeded";
    case Cause::duplicate_key:
      return "duplicate_custom_id";
    case Cause::truncated:
    case Cause::array:
    case Cause::utf8:
      return "invalid_json_line";
    default:
      return cause_name(cause);
  }
}

// Whose fault is the model's or ours.
bool is_internal(Cause cause) noexcept {
  return cause == Cause::numeric || cause == Cause::out_of_memory || cause == Cause::io;
}

}  // namespace

std::string batch_response(const BatchRequest& request, const std::vector<EngineResult>& results,
                           const BatchDefaults& defaults, const BatchOrigin& origin) {
  const std::string id = short_id(to_json(request.custom_id));
  const bool is_chat = request.url == BatchUrl::chat_completions;
  DataValue choices = DataValue::make_list();
  for (size_t i = 0; i < results.size(); ++i) {
    const int index = static_cast<int>(i);
    choices.list.push_back(is_chat ? chat_choice(results[i], request, defaults, id, index)
                                   : completion_choice(results[i], request, defaults, index));
  }
  DataValue body =
      DataValue::make_dict({{"id", (is_chat ? "chatcmpl-" : "cmpl-") + id},
                            {"object", is_chat ? "chat.completion" : "text_completion"},
                            {"created", origin.created},
                            {"model", request.model.empty() ? origin.model : request.model},
                            {"choices", std::move(choices)},
                            {"usage", usage_of(request, results)},
                            {"system_fingerprint", origin.fingerprint}});
  return to_json(DataValue::make_dict(
      {{"id", "batch_req_" + id},
       {"custom_id", request.custom_id},
       {"response",
        DataValue::make_dict(
            {{"status_code", 200}, {"request_id", "req_" + id}, {"body", std::move(body)}})},
       {"error", DataValue()}}));
}

std::string batch_error(int64_t line, const DataValue& custom_id, const Status& why) {
  const bool has_id = custom_id.kind != DataValue::Kind::null;
  const std::string id =
      short_id(has_id ? to_json(custom_id) + "\n" + std::to_string(line) : std::to_string(line));
  const std::string_view code = code_of(why.cause());
  const std::string& subject = why.detail().subject;
  const DataValue param =
      subject.starts_with("field ") ? DataValue(subject.substr(6)) : DataValue();
  DataValue response;
  if (has_id) {
    const bool is_ours = is_internal(why.cause());
    DataValue error =
        DataValue::make_dict({{"message", why.to_string()},
                              {"type", is_ours ? "server_error" : "invalid_request_error"},
                              {"param", param},
                              {"code", code}});
    response =
        DataValue::make_dict({{"status_code", is_ours ? kInternalError : kBadRequest},
                              {"request_id", "req_" + id},
                              {"body", DataValue::make_dict({{"error", std::move(error)}})}});
  }
  return to_json(DataValue::make_dict(
      {{"id", "batch_req_" + id},
       {"custom_id", custom_id},
       {"response", std::move(response)},
       {"error",
        DataValue::make_dict(
            {{"code", code}, {"message", why.to_string()}, {"param", param}, {"line", line}})}}));
}

}  // namespace larder::apps

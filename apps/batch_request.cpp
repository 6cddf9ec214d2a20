#include "apps/batch_request.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "apps/digest.h"
#include "apps/request_body.h"
#include "formats/json/json.h"
#include "runtime/session/json_messages.h"
#include "runtime/session/prompt.h"
#include "runtime/session/thinking_style.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::TokenId;

// Source: OpenAI's API reference, 2026: default length of a completion, most alternatives of a
// token, most choices and stops.
constexpr int32_t kCompletionTokens = 16, kMaxTop = 20, kMaxChoices = 128, kMaxStops = 16;

uint64_t first_bytes(const Digest& digest) noexcept {
  uint64_t value;
  std::memcpy(&value, digest.data(), sizeof value);
  return value;
}

Status read_stop(RequestBody& body, std::vector<std::string>& stop) {
  const DataValue* const found = body.find("stop");
  if (is_absent(found)) return {};
  std::vector<std::string> texts;
  const std::vector<DataValue> one = {*found};
  const bool is_list = found->kind == DataValue::Kind::list;
  for (const DataValue& item : is_list ? found->list : one) {
    if (item.kind != DataValue::Kind::string || item.string.empty()) {
      return bad_field(Cause::value_type, "must be a text or a list of texts, none of them empty",
                       "stop");
    }
    texts.push_back(item.string);
  }
  if (texts.size() > kMaxStops) return bad_field(Cause::limit, "has more than 16 texts", "stop");
  stop = std::move(texts);
  return {};
}

Status read_sampling(RequestBody& body, const BatchDefaults& defaults, BatchRequest& request) {
  runtime::SamplerOptions& sampler = request.sampler;
  sampler = defaults.sampler;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  for (const Status& s :
       {body.number("temperature", sampler.temperature), body.number("top_p", sampler.top_p),
        body.number("min_p", sampler.min_p), body.number("typical_p", sampler.typical_p),
        body.number("repeat_penalty", sampler.repeat_penalty),
        body.number("repetition_penalty", sampler.repeat_penalty),
        body.number("presence_penalty", sampler.presence_penalty),
        body.number("frequency_penalty", sampler.frequency_penalty),
        body.integer("top_k", -1, kMost, sampler.top_k),
        body.integer("n", 1, kMaxChoices, request.n_choices)}) {
    if (!s.ok()) return s;
  }
  sampler.top_k = std::max(sampler.top_k, 0);  // -1 is off, too, elsewhere
  const DataValue* const seed = body.find("seed");
  if (is_absent(seed)) {
    sampler.seed = first_bytes(
        digest_of(std::to_string(defaults.sampler.seed) + "\n" + to_json(request.custom_id)));
  } else if (seed->kind == DataValue::Kind::integer) {
    sampler.seed = static_cast<uint64_t>(seed->integer);
  } else {
    return bad_field(Cause::value_type, "must be a whole number", "seed");
  }
  return runtime::check(sampler);
}

Status read_length(RequestBody& body, const BatchDefaults& defaults, BatchRequest& request) {
  runtime::GenerationOptions& generation = request.generation;
  generation = defaults.generation;
  const bool is_chat = request.url == BatchUrl::chat_completions;
  if (!is_chat && generation.max_tokens < 0) generation.max_tokens = kCompletionTokens;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (Status s = body.integer("max_tokens", 0, kMost, generation.max_tokens); !s.ok()) return s;
  if (is_chat) {
    const Status s = body.integer("max_completion_tokens", 0, kMost, generation.max_tokens);
    if (!s.ok()) return s;
    generation.shown_control = defaults.shown_control;
  }
  if (Status s = body.boolean("ignore_eos", generation.ignore_end); !s.ok()) return s;
  return read_stop(body, generation.stop);
}

Status read_logprobs(RequestBody& body, BatchRequest& request) {
  if (request.url == BatchUrl::completions) {
    int32_t n = -1;
    if (Status s = body.integer("logprobs", 0, kMaxTop, n); !s.ok()) return s;
    request.has_logprobs = n >= 0;
    request.n_top = std::max(n, 0);
    return {};
  }
  if (Status s = body.boolean("logprobs", request.has_logprobs); !s.ok()) return s;
  if (Status s = body.integer("top_logprobs", 0, kMaxTop, request.n_top); !s.ok()) return s;
  if (request.n_top == 0 || request.has_logprobs) return {};
  return bad_field(Cause::invalid_argument, "needs \"logprobs\": true", "top_logprobs");
}

// What is understood and cannot be had, unless it asks for nothing.
Status refuse_others(RequestBody& body) {
  bool streams = false, echoes = false;
  if (Status s = body.boolean("stream", streams); !s.ok()) return s;
  if (Status s = body.boolean("echo", echoes); !s.ok()) return s;
  if (streams) return bad_field(Cause::unsupported, "a batch does not stream", "stream");
  if (echoes) {
    return bad_field(Cause::unsupported,
                     "is not supported; `larder score` gives log-probabilities "
                     "of a text that is there",
                     "echo");
  }
  int32_t best_of = 1;
  if (Status s = body.integer("best_of", 1, 1, best_of); !s.ok()) return s;
  for (const std::string_view name : {"logit_bias", "suffix"}) {
    const DataValue* const found = body.find(name);
    if (!is_absent(found) && !(found->dict.empty() && found->string.empty())) {
      return bad_field(Cause::unsupported, "is not supported", name);
    }
  }
  const DataValue* const format = body.find("response_format");
  if (!is_absent(format)) {
    const DataValue* const type = format->find("type");
    if (type == nullptr || type->string != "text") {
      return bad_field(Cause::unsupported, "only {\"type\": \"text\"} is supported",
                       "response_format");
    }
  }
  return {};
}

Result<DataValue> read_messages(RequestBody& body, std::string_view thinking_field) {
  const DataValue* const found = body.find("messages");
  if (is_absent(found)) return bad_field(Cause::missing, "is needed", "messages");
  if (found->kind != DataValue::Kind::list || found->list.empty()) {
    return bad_field(Cause::value_type, "must be a list that is not empty", "messages");
  }
  DataValue messages = *found;
  for (DataValue& message : messages.list) {
    const DataValue* const role = message.find("role");
    if (role == nullptr || role->kind != DataValue::Kind::string) {
      return bad_field(Cause::value_type, "needs a role in every message", "messages");
    }
    for (auto& [name, value] : message.dict) {
      if (name == "reasoning_content") name = thinking_field;
      if (name != "content") continue;
      if (value.kind == DataValue::Kind::list) {
        if (Status s = runtime::join_parts(value); !s.ok()) return s;
      } else if (value.kind != DataValue::Kind::string && value.kind != DataValue::Kind::null) {
        return bad_field(Cause::value_type, "has content that is no text", "messages");
      }
    }
  }
  return messages;
}

Status read_tools(RequestBody& body, DataValue& variables) {
  const DataValue* const choice = body.find("tool_choice");
  if (!is_absent(choice) && choice->string != "auto" && choice->string != "none") {
    return bad_field(Cause::unsupported, "only \"auto\" and \"none\" are supported", "tool_choice");
  }
  const DataValue* const tools = body.find("tools");
  if (is_absent(tools)) return {};
  if (tools->kind != DataValue::Kind::list) {
    return bad_field(Cause::value_type, "must be a list", "tools");
  }
  const bool is_wanted = !tools->list.empty() && (is_absent(choice) || choice->string != "none");
  if (is_wanted) variables.dict.emplace_back("tools", *tools);
  return {};
}

Status read_chat(RequestBody& body, const BatchDefaults& defaults, BatchRequest& request) {
  if (defaults.chat_template == nullptr) {
    return Status(Cause::unsupported,
                  "the model has no chat template; give one with --template FILE, or use "
                  "/v1/completions");
  }
  const std::string& source = defaults.chat_template->source();
  Result<DataValue> messages = read_messages(body, runtime::thinking_field(source));
  if (!messages) return messages.status();
  DataValue variables = DataValue::make_dict({{"messages", std::move(*messages)}});
  if (Status s = read_tools(body, variables); !s.ok()) return s;
  const DataValue* const more = body.find("chat_template_kwargs");
  if (!is_absent(more)) {
    if (more->kind != DataValue::Kind::dict) {
      return bad_field(Cause::value_type, "must be an object", "chat_template_kwargs");
    }
    runtime::add_variables(variables, more->dict);
  }
  runtime::add_variables(variables, defaults.variables.dict);
  std::string wish = defaults.thinking;
  if (Status s = body.text("reasoning_effort", wish); !s.ok()) return s;
  if (!wish.empty()) runtime::add_variables(variables, runtime::thinking_variables(source, wish));
  runtime::add_default_variables(variables, defaults.tokenizer.get());
  const auto prompt = defaults.chat_template->render(variables, defaults.now);
  if (!prompt) return prompt.status();
  request.opening = runtime::opening(defaults.styles, *prompt);
  auto ids = runtime::encode_prompt(*defaults.tokenizer, *prompt);
  if (!ids) return ids.status();
  request.prompts.push_back(std::move(*ids));
  return {};
}

Result<std::vector<TokenId>> read_ids(const std::vector<DataValue>& list, int32_t n_vocab) {
  std::vector<TokenId> ids;
  for (const DataValue& item : list) {
    if (item.kind != DataValue::Kind::integer || item.integer < 0 || item.integer >= n_vocab) {
      return bad_field(Cause::value_type, "must be a text, texts, or token ids of this vocabulary",
                       "prompt");
    }
    ids.push_back(static_cast<TokenId>(item.integer));
  }
  return ids;
}

// A text, a list of token ids, or a list of such.
Status read_prompt_value(const DataValue& value, const BatchDefaults& defaults, bool is_inner,
                         BatchRequest& request) {
  const formats::Tokenizer& tokenizer = *defaults.tokenizer;
  if (value.kind == DataValue::Kind::list && !is_inner && !value.list.empty() &&
      value.list[0].kind != DataValue::Kind::integer) {
    for (const DataValue& item : value.list) {
      if (Status s = read_prompt_value(item, defaults, true, request); !s.ok()) return s;
    }
    return {};
  }
  auto ids = value.kind == DataValue::Kind::string
                 ? runtime::encode_text(tokenizer, value.string, defaults.special)
             : value.kind == DataValue::Kind::list
                 ? read_ids(value.list, tokenizer.n_vocab())
                 : Result<std::vector<TokenId>>(bad_field(
                       Cause::value_type, "must be a text, texts, or token ids", "prompt"));
  if (!ids) return ids.status();
  if (ids->empty()) return bad_field(Cause::invalid_argument, "is empty", "prompt");
  request.prompts.push_back(std::move(*ids));
  return {};
}

Status read_completion(RequestBody& body, const BatchDefaults& defaults, BatchRequest& request) {
  const DataValue* const prompt = body.find("prompt");
  if (is_absent(prompt)) return bad_field(Cause::missing, "is needed", "prompt");
  if (Status s = read_prompt_value(*prompt, defaults, false, request); !s.ok()) return s;
  if (request.prompts.size() * static_cast<size_t>(request.n_choices) > kMaxChoices) {
    return bad_field(Cause::limit, "asks for more than 128 choices", "prompt");
  }
  return {};
}

Result<BatchRequest> read_frame(const DataValue& line) {
  BatchRequest request;
  const DataValue* const id = line.find("custom_id");
  if (is_absent(id)) return bad_field(Cause::missing, "is needed", "custom_id");
  if (id->kind != DataValue::Kind::string) {
    return bad_field(Cause::value_type, "must be a string", "custom_id");
  }
  request.custom_id = *id;
  const DataValue* const method = line.find("method");
  if (!is_absent(method) && method->string != "POST") {
    return bad_field(Cause::invalid_argument, "must be \"POST\"", "method");
  }
  const DataValue* const url = line.find("url");
  if (is_absent(url)) return bad_field(Cause::missing, "is needed", "url");
  if (url->string == "/v1/chat/completions") {
    request.url = BatchUrl::chat_completions;
  } else if (url->string == "/v1/completions") {
    request.url = BatchUrl::completions;
  } else {
    return bad_field(Cause::unsupported,
                     "only /v1/chat/completions and /v1/completions are answered", "url");
  }
  return request;
}

}  // namespace

uint64_t seed_of_choice(uint64_t seed, int32_t choice) noexcept {
  if (choice == 0) return seed;
  return first_bytes(digest_of(std::to_string(seed) + "#" + std::to_string(choice)));
}

Result<BatchRequest> read_batch_request(const DataValue& line, const BatchDefaults& defaults) {
  Result<BatchRequest> request = read_frame(line);
  if (!request) return request;
  const DataValue* const fields = line.find("body");
  if (fields == nullptr || fields->kind != DataValue::Kind::dict) {
    return bad_field(Cause::missing, "an object is needed", "body");
  }
  RequestBody body(*fields);
  if (Status s = body.text("model", request->model); !s.ok()) return s;
  if (Status s = read_sampling(body, defaults, *request); !s.ok()) return s;
  if (Status s = read_length(body, defaults, *request); !s.ok()) return s;
  if (Status s = read_logprobs(body, *request); !s.ok()) return s;
  if (Status s = refuse_others(body); !s.ok()) return s;
  const Status s = request->url == BatchUrl::chat_completions
                       ? read_chat(body, defaults, *request)
                       : read_completion(body, defaults, *request);
  if (!s.ok()) return s;
  if (Status unread = body.nothing_unread(); !unread.ok()) return unread;
  for (const auto& prompt : request->prompts) {
    if (static_cast<int64_t>(prompt.size()) <= defaults.n_ctx) continue;
    return Status(Cause::context_full, "the prompt has " + std::to_string(prompt.size()) +
                                           " tokens, and the context room for " +
                                           std::to_string(defaults.n_ctx) +
                                           "; choose a larger --ctx-size");
  }
  return request;
}

}  // namespace larder::apps

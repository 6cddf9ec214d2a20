#include "apps/score_record.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "formats/json/json.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::Likelihood;
using runtime::ScoreWindow;

Status bad_field(std::string_view name, std::string message) {
  return Status(Cause::invalid_argument, std::move(message), "field " + std::string(name));
}

Result<std::string> read_text(const DataValue& value, std::string_view name) {
  const DataValue* const field = value.find(name);
  if (field == nullptr) return bad_field(name, "it is missing");
  if (field->kind != DataValue::Kind::string) return bad_field(name, "it is no string");
  return field->string;
}

Result<std::vector<std::string>> read_choices(const DataValue& field) {
  if (field.kind != DataValue::Kind::list || field.list.empty())
    return bad_field("choices", "it is no list with an entry");
  std::vector<std::string> choices;
  for (const DataValue& choice : field.list) {
    if (choice.kind != DataValue::Kind::string || choice.string.empty())
      return bad_field("choices", "an entry is no string, or empty");
    choices.push_back(choice.string);
  }
  return choices;
}

Status read_pair(ScoreRequest& request, const runtime::Scorer& scorer, const std::string& context,
                 const std::string& continuation) {
  Result<ScoreWindow> window = scorer.encode_pair(context, continuation);
  if (!window) return window.status();
  request.texts.emplace_back().push_back(std::move(*window));
  return {};
}

Status read_rolling(ScoreRequest& request, const runtime::Scorer& scorer, const DataValue& value) {
  const Result<std::string> text = read_text(value, "text");
  if (!text) return text.status();
  for (const char* const other : {"context", "continuation", "choices"})
    if (value.find(other) != nullptr)
      return bad_field(other, "a text to be scored as a whole has none");
  const auto tokens = scorer.encode(*text);
  if (!tokens) return tokens.status();
  std::vector<ScoreWindow>& windows = request.texts.emplace_back();
  for (size_t i = 0; i < scorer.n_windows(tokens->size()); ++i)
    windows.push_back(scorer.window(*tokens, i));
  return {};
}

Status read_texts(ScoreRequest& request, const runtime::Scorer& scorer, const DataValue& value) {
  if (value.find("text") != nullptr) {
    request.kind = ScoreKind::rolling;
    return read_rolling(request, scorer, value);
  }
  const Result<std::string> context = read_text(value, "context");
  if (!context) return context.status();
  const DataValue* const choices = value.find("choices");
  if (choices == nullptr) {
    const Result<std::string> continuation = read_text(value, "continuation");
    if (!continuation) return continuation.status();
    return read_pair(request, scorer, *context, *continuation);
  }
  request.kind = ScoreKind::choices;
  if (value.find("continuation") != nullptr)
    return bad_field("continuation", "it stands beside \"choices\"");
  std::string delimiter;
  if (value.find("delimiter") != nullptr) {
    Result<std::string> text = read_text(value, "delimiter");
    if (!text) return text.status();
    delimiter = std::move(*text);
  }
  Result<std::vector<std::string>> texts = read_choices(*choices);
  if (!texts) return texts.status();
  request.choices = std::move(*texts);
  for (const std::string& choice : request.choices)
    if (Status s = read_pair(request, scorer, *context, delimiter + choice); !s.ok()) return s;
  return {};
}

int64_t count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

void add_likelihood(DataValue& object, const Likelihood& likelihood, const ScoreRequest& request) {
  object.dict.emplace_back("logprob", likelihood.logprob);
  if (request.kind != ScoreKind::rolling)
    object.dict.emplace_back("is_greedy", likelihood.is_greedy);
  object.dict.emplace_back("n_tokens", static_cast<int64_t>(likelihood.tokens.size()));
  if (!request.tells_tokens) return;
  DataValue tokens = DataValue::make_list(), logprobs = DataValue::make_list();
  for (const formats::TokenId token : likelihood.tokens) tokens.list.emplace_back(token);
  for (const double logprob : likelihood.token_logprobs) logprobs.list.emplace_back(logprob);
  object.dict.emplace_back("tokens", std::move(tokens));
  object.dict.emplace_back("token_logprobs", std::move(logprobs));
}

// The first of the largest values.
template <class Value>
int64_t best(size_t n, const Value& value) {
  size_t at = 0;
  for (size_t i = 1; i < n; ++i)
    if (value(i) > value(at)) at = i;
  return static_cast<int64_t>(at);
}

void add_choices(DataValue& record, const ScoreRequest& request,
                 const std::vector<Likelihood>& likelihoods) {
  std::vector<double> n_bytes, n_characters;
  DataValue choices = DataValue::make_list();
  for (size_t i = 0; i < likelihoods.size(); ++i) {
    const std::string& text = request.choices[i];
    n_bytes.push_back(static_cast<double>(text.size()));
    n_characters.push_back(static_cast<double>(count_characters(text)));
    DataValue choice = DataValue::make_dict();
    add_likelihood(choice, likelihoods[i], request);
    choice.dict.emplace_back("n_bytes", static_cast<int64_t>(text.size()));
    choice.dict.emplace_back("n_characters", count_characters(text));
    choices.list.push_back(std::move(choice));
  }
  record.dict.emplace_back("choices", std::move(choices));
  const auto tell = [&](const char* name, const auto& divisor) {
    record.dict.emplace_back(name, best(likelihoods.size(), [&](size_t i) {
                               return likelihoods[i].logprob / divisor(i);
                             }));
  };
  tell("best", [](size_t) { return 1.0; });
  tell("best_per_token",
       [&](size_t i) { return static_cast<double>(likelihoods[i].tokens.size()); });
  tell("best_per_byte", [&](size_t i) { return n_bytes[i]; });
  tell("best_per_character", [&](size_t i) { return n_characters[i]; });
}

DataValue begin_record(const DataValue& id, int64_t line) {
  if (id.kind == DataValue::Kind::null) return DataValue::make_dict({{"line", line}});
  return DataValue::make_dict({{"id", id}});
}

}  // namespace

size_t ScoreRequest::n_tokens() const noexcept {
  size_t n = 0;
  for (const auto& windows : texts)
    for (const ScoreWindow& window : windows)
      n += window.context.size() + window.continuation.size();
  return n;
}

Result<ScoreRequest> read_score_request(JobLine line, const runtime::Scorer& scorer,
                                        bool tells_tokens) {
  ScoreRequest request;
  request.line = line.number;
  request.id = std::move(line.id);
  request.tells_tokens = tells_tokens;
  if (const DataValue* const asked = line.value.find("token_logprobs")) {
    if (asked->kind != DataValue::Kind::boolean)
      return bad_field("token_logprobs", "it is neither true nor false");
    request.tells_tokens = asked->boolean;
  }
  if (Status s = read_texts(request, scorer, line.value); !s.ok()) return s;
  return request;
}

std::string score_record(const ScoreRequest& request, const std::vector<Likelihood>& likelihoods) {
  DataValue record = begin_record(request.id, request.line);
  if (request.kind == ScoreKind::choices)
    add_choices(record, request, likelihoods);
  else
    add_likelihood(record, likelihoods.front(), request);
  return to_json(record);
}

std::string score_error(int64_t line, const DataValue& id, const Status& why) {
  return to_json(DataValue::make_dict(
      {{"id", id},
       {"line", line},
       {"error",
        DataValue::make_dict({{"type", cause_name(why.cause())}, {"message", why.to_string()}})}}));
}

}  // namespace larder::apps

// Conversations, and what answers them.
#include <iterator>
#include <string>
#include <utility>

#include "formats/json/json.h"
#include "runtime/api/arguments.h"
#include "runtime/api/handles.h"
#include "runtime/api/larder.h"
#include "runtime/session/json_messages.h"

namespace larder::runtime {
namespace {

int64_t microseconds(double seconds) { return static_cast<int64_t>(seconds * 1e6); }

int64_t number_of(const Answer& answer, int32_t which, bool& is_known) {
  switch (which) {
    case LARDER_ANSWER_REASON:
      return static_cast<int64_t>(answer.reason);
    case LARDER_ANSWER_N_TOKENS:
      return static_cast<int64_t>(answer.tokens.size());
    case LARDER_ANSWER_N_CALLS:
      return static_cast<int64_t>(answer.message.calls.size());
    case LARDER_ANSWER_N_PROMPT:
      return answer.n_prompt;
    case LARDER_ANSWER_N_REUSED:
      return answer.n_reused;
    case LARDER_ANSWER_PROMPT_US:
      return microseconds(answer.prompt_seconds);
    case LARDER_ANSWER_US:
      return microseconds(answer.answer_seconds);
    default:
      is_known = false;
      return 0;
  }
}

static_assert(static_cast<int>(StopReason::end_of_generation) == LARDER_REASON_END &&
              static_cast<int>(StopReason::stop_string) == LARDER_REASON_STOP &&
              static_cast<int>(StopReason::length) == LARDER_REASON_LENGTH &&
              static_cast<int>(StopReason::context_full) == LARDER_REASON_CONTEXT_FULL &&
              static_cast<int>(StopReason::cancelled) == LARDER_REASON_CANCELLED);

}  // namespace
}  // namespace larder::runtime

using namespace larder;
using namespace larder::runtime;

larder_status larder_messages_new(larder_messages** messages, larder_error** error) {
  return guarded(error, cleared(messages), [messages]() -> Outcome {
    *messages = new larder_messages(std::in_place);
    return {};
  });
}

void larder_messages_free(larder_messages* messages) { close_quietly(messages); }

larder_status larder_messages_add(larder_messages* messages, const char* role, size_t n_role,
                                  const char* content, size_t n_content, larder_error** error) {
  const TextArgument who{role, n_role}, what{content, n_content};
  const Outcome arguments = first_failure(check(who), check(what), check(messages));
  return guarded(error, arguments, [&]() -> Outcome {
    if (who.n_bytes == 0) return invalid("an empty role");
    (*messages)->push_back({std::string(who.view()), std::string(what.view())});
    return {};
  });
}

larder_status larder_messages_add_json(larder_messages* messages, const char* json, size_t n_bytes,
                                       larder_error** error) {
  const TextArgument text{json, n_bytes};
  return guarded(error, first_failure(check(text), check(messages)), [&]() -> Outcome {
    const auto parsed = formats::parse_json(text.view());
    if (!parsed) return {LARDER_INVALID_ARGUMENT, parsed.status()};
    auto read = read_messages(*parsed);
    if (!read) return {LARDER_INVALID_ARGUMENT, read.status()};
    std::vector<Message>& all = **messages;
    all.insert(all.end(), std::make_move_iterator(read->begin()),
               std::make_move_iterator(read->end()));
    return {};
  });
}

larder_status larder_messages_add_answer(larder_messages* messages, const larder_answer* answer,
                                         larder_error** error) {
  return guarded(error, first_failure(check(messages), check(answer)), [=]() -> Outcome {
    (*messages)->push_back((*answer)->message);
    return {};
  });
}

larder_status larder_messages_count(const larder_messages* messages, size_t* n,
                                    larder_error** error) {
  return guarded(error, first_failure(cleared(n), check(messages)), [=]() -> Outcome {
    *n = (*messages)->size();
    return {};
  });
}

larder_status larder_messages_truncate(larder_messages* messages, size_t n, larder_error** error) {
  return guarded(error, check(messages), [=]() -> Outcome {
    if (n > (*messages)->size()) return invalid("there are not so many messages");
    (*messages)->resize(n);
    return {};
  });
}

void larder_answer_free(larder_answer* answer) { close_quietly(answer); }

larder_status larder_answer_number(const larder_answer* answer, int32_t which, int64_t* value,
                                   larder_error** error) {
  return guarded(error, first_failure(cleared(value), check(answer)), [=]() -> Outcome {
    bool is_known = true;
    *value = number_of(**answer, which, is_known);
    return is_known ? Outcome() : invalid("an answer has no such number");
  });
}

larder_status larder_answer_text(const larder_answer* answer, int32_t part, const char** text,
                                 size_t* n_bytes, larder_error** error) {
  const Outcome arguments = first_failure(cleared_text(text, n_bytes), check(answer));
  return guarded(error, arguments, [=]() -> Outcome {
    if (part != LARDER_PART_ANSWER && part != LARDER_PART_THINKING)
      return invalid("an answer has no text of this part");
    const Message& message = (*answer)->message;
    lend(part == LARDER_PART_ANSWER ? message.content : message.thinking, text, n_bytes);
    return {};
  });
}

larder_status larder_answer_tokens(const larder_answer* answer, const int32_t** ids,
                                   const float** logprobs, size_t* n_tokens, larder_error** error) {
  if (ids != nullptr) *ids = nullptr;
  if (logprobs != nullptr) *logprobs = nullptr;
  if (n_tokens != nullptr) *n_tokens = 0;
  return guarded(error, check(answer), [=]() -> Outcome {
    if (ids != nullptr) *ids = (*answer)->tokens.data();
    if (logprobs != nullptr) *logprobs = (*answer)->logprobs.data();
    if (n_tokens != nullptr) *n_tokens = (*answer)->tokens.size();
    return {};
  });
}

larder_status larder_answer_call(const larder_answer* answer, size_t index, const char** name,
                                 const char** arguments, larder_error** error) {
  if (name != nullptr) *name = "";
  if (arguments != nullptr) *arguments = "";
  return guarded(error, check(answer), [=]() -> Outcome {
    const std::vector<ToolCall>& calls = (*answer)->message.calls;
    if (index >= calls.size()) return invalid("the answer has not so many calls");
    if (name != nullptr) *name = calls[index].name.c_str();
    if (arguments != nullptr) *arguments = calls[index].arguments.c_str();
    return {};
  });
}

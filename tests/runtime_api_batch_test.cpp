// Batches through the C library: what a session would answer, to the bit; and conversations as
// JSON.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/api/larder_batch.h"
#include "tests/api_objects.h"
#include "tests/paged_api_model.h"
#include "tests/temporary_directory.h"

namespace larder::tests {
namespace {

using ApiBatch = std::unique_ptr<larder_batch, ApiCloser<larder_batch_close>>;

ApiBatch open_api_batch(const ApiModel& model, const larder_options* options) {
  larder_batch* batch = nullptr;
  larder_error* error = nullptr;
  const larder_status status = larder_batch_open(model.get(), options, &batch, &error);
  REQUIRE_MESSAGE(status == LARDER_OK, larder_error_message(error));
  return ApiBatch(batch);
}

// Steps to the end; answers by their tags.
std::map<uint64_t, ApiAnswer> all_answers(const ApiBatch& batch) {
  std::map<uint64_t, ApiAnswer> answers;
  for (size_t n_held = 1; n_held > 0;) {
    REQUIRE(larder_batch_step(batch.get(), &n_held, nullptr) == LARDER_OK);
    for (;;) {
      uint64_t tag = 0;
      larder_answer* answer = nullptr;
      REQUIRE(larder_batch_take(batch.get(), &tag, &answer, nullptr) == LARDER_OK);
      if (answer == nullptr) break;
      CHECK(answers.emplace(tag, answer).second);
    }
  }
  return answers;
}

std::vector<int32_t> tokens_of(const larder_answer* answer, std::vector<float>* logprobs) {
  const int32_t* ids = nullptr;
  const float* values = nullptr;
  size_t n = 0;
  REQUIRE(larder_answer_tokens(answer, &ids, &values, &n, nullptr) == LARDER_OK);
  logprobs->assign(values, values + n);
  return {ids, ids + n};
}

void check_generated(const ApiSession& session, const std::vector<int32_t>& ids,
                     const larder_options* options, const larder_answer* answer) {
  REQUIRE(larder_session_continue_as(session.get(), ids.data(), ids.size(), nullptr, nullptr) ==
          LARDER_OK);
  larder_answer* raw = nullptr;
  REQUIRE(larder_session_generate(session.get(), options, nullptr, nullptr, &raw, nullptr) ==
          LARDER_OK);
  const ApiAnswer expected(raw);
  std::vector<float> expected_logprobs, logprobs;
  CHECK(tokens_of(answer, &logprobs) == tokens_of(raw, &expected_logprobs));
  CHECK(logprobs == expected_logprobs);
  CHECK(answer_text(answer) == answer_text(raw));
  CHECK(answer_number(answer, LARDER_ANSWER_REASON) == answer_number(raw, LARDER_ANSWER_REASON));
}

void check_scored(const ApiSession& session, const std::vector<int32_t>& ids, size_t n_context,
                  const larder_answer* answer) {
  std::vector<double> expected(ids.size() - n_context);
  int32_t expected_greedy = -1, is_greedy = -1;
  REQUIRE(larder_session_score(session.get(), ids.data(), n_context, ids.data() + n_context,
                               expected.size(), expected.data(), &expected_greedy,
                               nullptr) == LARDER_OK);
  const double* logprobs = nullptr;
  size_t n = 0;
  REQUIRE(larder_answer_scores(answer, &logprobs, &n, &is_greedy, nullptr) == LARDER_OK);
  CHECK(std::vector<double>(logprobs, logprobs + n) == expected);
  CHECK(is_greedy == expected_greedy);
}

// Half of them generated from, half scored behind their first two tokens.
void check_equal_to_session(const ApiModel& model, const ApiOptions& options,
                            const std::vector<std::vector<int32_t>>& texts) {
  REQUIRE(larder_options_set_integer(options.get(), LARDER_OPTION_MAX_TOKENS, 12, nullptr) ==
          LARDER_OK);
  const ApiBatch batch = open_api_batch(model, options.get());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<int32_t>& ids = texts[i];
    const larder_status added =
        i % 2 == 0
            ? larder_batch_generate(batch.get(), i, ids.data(), ids.size(), options.get(), nullptr)
            : larder_batch_score(batch.get(), i, ids.data(), 2, ids.data() + 2, ids.size() - 2,
                                 nullptr);
    REQUIRE(added == LARDER_OK);
  }
  const auto answers = all_answers(batch);
  REQUIRE(answers.size() == texts.size());
  const ApiSession session = open_api_session(model, options.get());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i % 2 == 0)
      check_generated(session, texts[i], options.get(), answers.at(i).get());
    else
      check_scored(session, texts[i], 2, answers.at(i).get());
  }
}

ApiMessages from_json(const std::string& json) {
  ApiMessages messages = conversation({});
  REQUIRE(larder_messages_add_json(messages.get(), json.data(), json.size(), nullptr) == LARDER_OK);
  return messages;
}

std::string rendered(const ApiModel& model, const ApiMessages& messages,
                     const larder_options* options) {
  char* text = nullptr;
  size_t n = 0;
  larder_error* error = nullptr;
  const larder_status status =
      larder_model_apply_template(model.get(), messages.get(), options, &text, &n, &error);
  REQUIRE_MESSAGE(status == LARDER_OK, larder_error_message(error));
  const std::string copy(text, n);
  larder_free(text);
  return copy;
}

void set_text(const ApiOptions& options, larder_option option, const std::string& text) {
  REQUIRE(larder_options_set_text(options.get(), option, text.data(), text.size(), nullptr) ==
          LARDER_OK);
}

}  // namespace

TEST_CASE("C library: a batch answers what sessions answer, to the bit") {
  const ApiModel model = open_api_model();
  std::vector<std::vector<int32_t>> texts;
  for (int i = 0; i < 12; ++i)
    texts.push_back(api_tokens(model, "Once upon a time there were " + std::to_string(i) +
                                          std::string(static_cast<size_t>(i), 's') + " frogs"));
  check_equal_to_session(model, new_options({{LARDER_OPTION_CONTEXT_SIZE, 64}}), texts);
}

TEST_CASE("C library: a batch reads experts that do not fit, and answers the same") {
  const TemporaryDirectory folder;
  const PagedApiModel paged(folder);
  std::vector<std::vector<int32_t>> texts;
  for (size_t i = 0; i < 6; ++i) texts.push_back(paged.tokens(4 + i));
  REQUIRE(larder_options_set_integer(paged.options.get(), LARDER_OPTION_CONTEXT_SIZE, 64,
                                     nullptr) == LARDER_OK);
  check_equal_to_session(paged.model, paged.options, texts);
}

TEST_CASE("C library: a batch that is full, empty, or cancelled says so, and goes on") {
  const ApiModel model = open_api_model();
  const ApiOptions options =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 32}, {LARDER_OPTION_MAX_TOKENS, 2}});
  const ApiBatch batch = open_api_batch(model, options.get());
  uint64_t tag = 7;
  larder_answer* answer = nullptr;
  size_t n_held = 7;
  CHECK(larder_batch_take(batch.get(), &tag, &answer, nullptr) == LARDER_OK);
  CHECK((answer == nullptr && tag == 0));
  CHECK(larder_batch_step(batch.get(), &n_held, nullptr) == LARDER_OK);
  CHECK(n_held == 0);

  const std::vector<int32_t> ids = api_tokens(model, "Once upon a time");
  uint64_t n = 0;
  larder_status status = LARDER_OK;
  while (n < 10'000 && status == LARDER_OK)
    status =
        larder_batch_generate(batch.get(), n++, ids.data(), ids.size(), options.get(), nullptr);
  CHECK(status == LARDER_NO_ROOM);
  const size_t n_added = n - 1;
  larder_batch_cancel(batch.get());
  CHECK(larder_batch_step(batch.get(), &n_held, nullptr) == LARDER_CANCELLED);
  larder_batch_cancel(batch.get());
  larder_batch_forget_cancel(batch.get());
  CHECK(all_answers(batch).size() == n_added);

  const std::vector<int32_t> many(33, 1);
  refuses("full", LARDER_CONTEXT_FULL, [&](auto e) {
    return larder_batch_generate(batch.get(), 1, many.data(), many.size(), options.get(), e);
  });
}

TEST_CASE("C library: messages may be JSON, with fields of the template's own") {
  const ApiModel model = open_api_model();
  const std::string plain = R"([{"role": "user", "content": "Hello!"}])";
  CHECK(rendered(model, from_json(plain), nullptr) ==
        rendered(model, conversation({"Hello!"}), nullptr));
  const ApiOptions options = new_options();
  set_text(options, LARDER_OPTION_TEMPLATE,
           "{{ colour }} {{ tools[0].function.name }}"
           "{% for m in messages %} {{ m.role }}={{ m.content }}"
           "{% for c in m.tool_calls or [] %}{{ c.function.arguments.place }}{% endfor %}"
           "{{ m.tool_call_id }}{% endfor %}");
  set_text(options, LARDER_OPTION_VARIABLES, R"({"colour": "red"})");
  set_text(options, LARDER_OPTION_VARIABLES, R"({"colour": "green"})");
  set_text(options, LARDER_OPTION_TOOLS, R"([{"type": "function", "function": {"name": "rain"}}])");
  const ApiMessages messages = from_json(R"([
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "x7",
        "function": {"name": "rain", "arguments": {"place": "Ulm"}}}]},
      {"role": "tool", "content": "no", "tool_call_id": "x7"}])");
  CHECK(rendered(model, messages, options.get()) ==
        "green rain user=ab assistant=NoneUlm tool=nox7");
}

TEST_CASE("C library: JSON that is none, or not of messages, adds nothing") {
  const ApiMessages messages = conversation({"Hello!"});
  const ApiOptions options = new_options();
  for (const std::string json :
       {"", "{", "7", "[7]", "{}", R"({"role": 1})", R"([{"role": "user"}, {"content": "a"}])",
        R"({"role": "user", "content": 7})", R"({"role": "user", "content": [{"type": "image"}]})",
        "\xff", R"([] [])"}) {
    CAPTURE(json);
    refuses("messages", LARDER_INVALID_ARGUMENT, [&](auto e) {
      return larder_messages_add_json(messages.get(), json.data(), json.size(), e);
    });
  }
  const std::pair<larder_option, std::string> rows[] = {{LARDER_OPTION_TOOLS, "{}"},
                                                        {LARDER_OPTION_TOOLS, "["},
                                                        {LARDER_OPTION_TOOLS, ""},
                                                        {LARDER_OPTION_VARIABLES, "[]"},
                                                        {LARDER_OPTION_VARIABLES, "7"}};
  for (const auto& [option, json] : rows) {
    refuses("options", LARDER_INVALID_ARGUMENT, [&](auto e) {
      return larder_options_set_text(options.get(), option, json.data(), json.size(), e);
    });
  }
  size_t n = 0;
  REQUIRE(larder_messages_count(messages.get(), &n, nullptr) == LARDER_OK);
  CHECK(n == 1);
}

}  // namespace larder::tests

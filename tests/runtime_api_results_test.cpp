// What the C library answers is what the classes behind it answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/session/chat.h"
#include "runtime/session/generation.h"
#include "runtime/session/prompt.h"
#include "runtime/session/session.h"
#include "tests/api_objects.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {
namespace {

using runtime::Model;
using runtime::Session;

std::shared_ptr<const Model> classes_model() {
  auto model = Model::open(storyteller());
  REQUIRE(model.ok());
  return *model;
}
std::unique_ptr<Session> classes_session(std::shared_ptr<const Model> model) {
  auto session = Session::create(std::move(model), {});
  REQUIRE(session.ok());
  return std::move(*session);
}

constexpr std::string_view kText = "Once upon a time there was a \xC3\xA9toile\n\tand 42 frogs.";

ApiOptions greedy(int64_t max_tokens) {
  ApiOptions options = new_options({{LARDER_OPTION_MAX_TOKENS, max_tokens}});
  REQUIRE(larder_options_set_real(options.get(), LARDER_OPTION_TEMPERATURE, 0, nullptr) ==
          LARDER_OK);
  return options;
}

larder_flow append_text(void* user, int32_t part, const char* text, size_t n_bytes) {
  if (part == LARDER_PART_ANSWER) static_cast<std::string*>(user)->append(text, n_bytes);
  return LARDER_CONTINUE;
}

}  // namespace

TEST_CASE("C library: models and their texts are those of the classes") {
  const auto expected = classes_model();
  const ApiModel model = open_api_model();
  const auto number = [&](int32_t which) {
    int64_t value = -7;
    REQUIRE(larder_model_number(model.get(), which, &value, nullptr) == LARDER_OK);
    return value;
  };
  CHECK(number(LARDER_MODEL_N_VOCAB) == expected->config().n_vocab);
  CHECK(number(LARDER_MODEL_N_LAYERS) == expected->config().n_layers());
  CHECK(number(LARDER_MODEL_N_EXPERTS) == expected->config().layers[0].router.n_experts);
  CHECK(number(LARDER_MODEL_EOS) == expected->tokenizer()->eos());
  CHECK(number(LARDER_MODEL_HAS_TEMPLATE) == 1);
  const char* text = nullptr;
  size_t n = 0;
  REQUIRE(larder_model_text(model.get(), LARDER_MODEL_ARCHITECTURE, &text, &n, nullptr) ==
          LARDER_OK);
  CHECK(std::string(text, n) == expected->config().architecture);
  CHECK(text[n] == '\0');

  const auto ids =
      runtime::encode_text(*expected->tokenizer(), kText, formats::SpecialTokens::as_text);
  CHECK(api_tokens(model, kText) == *ids);
  char* decoded = nullptr;
  REQUIRE(larder_model_detokenize(model.get(), ids->data(), ids->size(), 0, &decoded, &n,
                                  nullptr) == LARDER_OK);
  CHECK(std::string(decoded, n) == *expected->tokenizer()->decode(*ids));
  larder_free(decoded);
  int32_t is_end = 0;
  REQUIRE(larder_model_is_end(model.get(), expected->tokenizer()->eos(), &is_end, nullptr) ==
          LARDER_OK);
  CHECK(is_end == 1);
}

TEST_CASE("C library: a decoder's pieces are whole characters, and together the text") {
  const ApiModel model = open_api_model();
  const std::string text = "\xC3\xA9 \xE2\x98\x83 \xF0\x9F\x90\xB8 frog";
  const std::vector<int32_t> ids = api_tokens(model, text, 0);
  larder_decoder* raw = nullptr;
  REQUIRE(larder_decoder_new(model.get(), 1, 0, &raw, nullptr) == LARDER_OK);
  const ApiDecoder decoder(raw);
  std::string all;
  const char* piece = nullptr;
  size_t n = 0;
  for (const int32_t id : ids) {
    REQUIRE(larder_decoder_push(raw, id, &piece, &n, nullptr) == LARDER_OK);
    if (n > 0) CHECK((piece[0] & 0xC0) != 0x80);
    all.append(piece, n);
  }
  REQUIRE(larder_decoder_finish(raw, &piece, &n, nullptr) == LARDER_OK);
  CHECK(n == 0);
  CHECK(all == text);
}

TEST_CASE("C library: logits, probabilities and scores are those of the classes, to the bit") {
  const auto expected = classes_session(classes_model());
  const ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model);
  const std::vector<int32_t> ids = api_tokens(model, kText);
  REQUIRE(expected->append(ids).ok());
  REQUIRE(larder_session_prefill(session.get(), ids.data(), ids.size() - 1, nullptr) == LARDER_OK);
  REQUIRE(larder_session_step(session.get(), ids.back(), nullptr) == LARDER_OK);
  const std::vector<float> logits = api_logits(session.get());
  REQUIRE(logits.size() == expected->logits().size());
  CHECK(std::equal(logits.begin(), logits.end(), expected->logits().begin()));

  std::vector<float> logprobs(logits.size());
  REQUIRE(larder_session_logprobs(session.get(), logprobs.data(), logprobs.size(), nullptr) ==
          LARDER_OK);
  for (int32_t token = 0; token < static_cast<int32_t>(logits.size()); token += 37) {
    const double exact = runtime::log_probability(logits, token);
    CHECK(logprobs[static_cast<size_t>(token)] == doctest::Approx(exact).epsilon(1e-6));
  }

  // Scored in one call: what stepping through the tokens would give.
  const size_t n_context = 3;
  std::vector<double> scores(ids.size() - n_context);
  int32_t is_greedy = -1;
  REQUIRE(larder_session_score(session.get(), ids.data(), n_context, ids.data() + n_context,
                               scores.size(), scores.data(), &is_greedy, nullptr) == LARDER_OK);
  bool all_best = true;
  for (size_t i = 0; i < scores.size(); ++i) {
    REQUIRE(expected->continue_as(std::span(ids).first(n_context + i)).ok());
    const auto step = expected->logits();
    CHECK(scores[i] == runtime::log_probability(step, ids[n_context + i]));
    all_best =
        all_best && std::max_element(step.begin(), step.end()) - step.begin() == ids[n_context + i];
  }
  CHECK(is_greedy == (all_best ? 1 : 0));
}

TEST_CASE("C library: what is generated is what the classes generate, however it is asked for") {
  const ApiModel model = open_api_model();
  const std::vector<int32_t> ids = api_tokens(model, "Once upon a time");
  ApiOptions options = new_options({{LARDER_OPTION_MAX_TOKENS, 40}, {LARDER_OPTION_SEED, 11}});
  REQUIRE(larder_options_set_real(options.get(), LARDER_OPTION_TEMPERATURE, 0.9, nullptr) ==
          LARDER_OK);

  const auto expected_session = classes_session(classes_model());
  REQUIRE(expected_session->append(ids).ok());
  auto sampling = runtime::sampler_options_from(expected_session->model().file());
  sampling->seed = 11;
  sampling->temperature = 0.9f;
  runtime::Sampler sampler(*sampling, expected_session->model().config().n_vocab);
  runtime::GenerationOptions generation;
  generation.max_tokens = 40;
  const auto expected = runtime::generate(*expected_session, sampler, generation, {});
  REQUIRE(expected.ok());

  const ApiSession session = open_api_session(model);
  REQUIRE(larder_session_prefill(session.get(), ids.data(), ids.size(), nullptr) == LARDER_OK);
  larder_answer* raw = nullptr;
  std::string streamed;
  REQUIRE(larder_session_generate(session.get(), options.get(), append_text, &streamed, &raw,
                                  nullptr) == LARDER_OK);
  const ApiAnswer answer(raw);
  CHECK(streamed == expected->text);
  CHECK(answer_text(raw) == expected->text);
  CHECK(answer_number(raw, LARDER_ANSWER_REASON) == static_cast<int64_t>(expected->reason));
  const int32_t* tokens = nullptr;
  const float* logprobs = nullptr;
  size_t n = 0;
  REQUIRE(larder_answer_tokens(raw, &tokens, &logprobs, &n, nullptr) == LARDER_OK);
  CHECK(std::vector<int32_t>(tokens, tokens + n) == expected->tokens);
  CHECK(std::vector<float>(logprobs, logprobs + n) == expected->logprobs);

  // A loop of one's own.
  larder_sampler* own = nullptr;
  REQUIRE(larder_sampler_new(model.get(), options.get(), &own, nullptr) == LARDER_OK);
  const ApiSampler its_end(own);
  REQUIRE(larder_session_rewind(session.get(), ids.size() - 1, nullptr, nullptr) == LARDER_OK);
  int32_t token = ids.back();
  for (size_t i = 0; i < n; ++i) {
    REQUIRE(larder_session_step(session.get(), token, nullptr) == LARDER_OK);
    REQUIRE(larder_sampler_sample(own, session.get(), &token, nullptr, nullptr) == LARDER_OK);
    CHECK(token == expected->tokens[i]);
  }
}

TEST_CASE("C library: a conversation goes as with the classes, and is not computed twice") {
  const ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model);
  const ApiOptions options = greedy(30);
  const ApiMessages messages = conversation({"Hello!"});
  larder_answer* raw = nullptr;
  REQUIRE(larder_session_chat(session.get(), messages.get(), options.get(), nullptr, nullptr, &raw,
                              nullptr) == LARDER_OK);
  const ApiAnswer first(raw);
  REQUIRE(larder_messages_add_answer(messages.get(), raw, nullptr) == LARDER_OK);
  const std::string more = "Tell me a story about a frog.";
  REQUIRE(larder_messages_add(messages.get(), "user", 4, more.data(), more.size(), nullptr) ==
          LARDER_OK);
  std::string streamed;
  REQUIRE(larder_session_chat(session.get(), messages.get(), options.get(), append_text, &streamed,
                              &raw, nullptr) == LARDER_OK);
  const ApiAnswer second(raw);

  const auto expected_session = classes_session(classes_model());
  runtime::ChatOptions chat_options;
  chat_options.sampler = *runtime::sampler_options_from(expected_session->model().file());
  chat_options.sampler.temperature = 0;
  chat_options.generation.max_tokens = 30;
  const auto chat = runtime::Chat::create(*expected_session, chat_options);
  REQUIRE(chat.ok());
  CHECK((*chat)->say("Hello!", {}, {})->message.content == answer_text(first.get()));
  const auto expected = (*chat)->say(more, {}, {});
  CHECK(expected->message.content == answer_text(second.get()));
  CHECK(streamed == expected->message.content);
  CHECK(answer_number(raw, LARDER_ANSWER_N_REUSED) == expected->n_reused);
  CHECK(expected->n_reused > 0);

  int32_t* prompt = nullptr;
  size_t n = 0;
  REQUIRE(larder_model_prompt(model.get(), messages.get(), nullptr, &prompt, &n, nullptr) ==
          LARDER_OK);
  CHECK(static_cast<int64_t>(n) == answer_number(raw, LARDER_ANSWER_N_PROMPT));
  larder_free(prompt);
  char* text = nullptr;
  REQUIRE(larder_model_apply_template(model.get(), messages.get(), nullptr, &text, &n, nullptr) ==
          LARDER_OK);
  CHECK(std::string(text, n).find(more) != std::string::npos);
  larder_free(text);
}

TEST_CASE("C library: an estimate is what a session then takes") {
  const ApiModel model = open_api_model();
  const ApiOptions options = new_options({{LARDER_OPTION_CONTEXT_SIZE, 300}});
  std::vector<int64_t> bytes(LARDER_MEMORY_IS_PAGED + 3, -1), again(LARDER_MEMORY_IS_PAGED + 3);
  REQUIRE(larder_model_estimate(model.get(), options.get(), bytes.data(), bytes.size(), nullptr) ==
          LARDER_OK);
  const std::string path = storyteller();
  REQUIRE(larder_estimate(path.data(), path.size(), options.get(), again.data(), again.size(),
                          nullptr) == LARDER_OK);
  CHECK(bytes == again);
  CHECK(bytes.back() == 0);  // of a later library
  const ApiSession session = open_api_session(model, options.get());
  std::vector<int64_t> statistics(LARDER_STATISTIC_WAIT_US + 1);
  REQUIRE(larder_session_statistics(session.get(), statistics.data(), statistics.size(), nullptr) ==
          LARDER_OK);
  CHECK(statistics[LARDER_STATISTIC_BYTES] ==
        bytes[LARDER_MEMORY_CACHE] + bytes[LARDER_MEMORY_BUFFERS]);
  CHECK(statistics[LARDER_STATISTIC_RAM_BYTES] == bytes[LARDER_MEMORY_TOTAL]);
  CHECK(statistics[LARDER_STATISTIC_CONTEXT_SIZE] == 300);
}

TEST_CASE("C library: who wants a log and progress is told") {
  struct Told {
    int n_lines = 0, n_progress = 0;
  } told;
  const ApiOptions options =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 64}, {LARDER_OPTION_BATCH_SIZE, 4}});
  REQUIRE(larder_options_set_log(
              options.get(),
              [](void* user, int32_t, const char* text, size_t n) {
                CHECK(n > 0);
                CHECK(text != nullptr);
                ++static_cast<Told*>(user)->n_lines;
              },
              &told, nullptr) == LARDER_OK);
  REQUIRE(larder_options_set_progress(
              options.get(),
              [](void* user, uint64_t done, uint64_t total) -> larder_flow {
                CHECK(done <= total);
                ++static_cast<Told*>(user)->n_progress;
                return LARDER_CONTINUE;
              },
              &told, nullptr) == LARDER_OK);
  const ApiModel model = open_api_model(storyteller(), options.get());
  const ApiSession session = open_api_session(model, options.get());
  CHECK(told.n_lines > 0);
  const int before = told.n_progress;
  CHECK(before > 1);
  const std::vector<int32_t> ids(20, 5);
  REQUIRE(larder_session_prefill(session.get(), ids.data(), ids.size(), nullptr) == LARDER_OK);
  CHECK(told.n_progress - before == 6);  // none yet, and behind each of five steps
}

// Who is to blame, the file or the caller, is told by status and message.
TEST_CASE("C library: a bad template is the file's, which is named, or the caller's") {
  constexpr std::string_view kNoUtf8 = "{{ \xff }}", kSyntax = "{% if", kGood = "{{ bos_token }}a";
  const TemporaryDirectory folder;
  int n_written = 0;
  const auto written = [&](RawKey with_template) {
    GgufBuilder builder = tiny_model();
    with_template.key = "tokenizer.chat_template";
    builder.keys.push_back(std::move(with_template));
    return folder.write(std::to_string(n_written++) + "-model.gguf", builder.build());
  };
  const auto given = [](std::string_view text) {
    ApiOptions options = new_options({{LARDER_OPTION_MAX_TOKENS, 1}});
    REQUIRE(larder_options_set_text(options.get(), LARDER_OPTION_TEMPLATE, text.data(), text.size(),
                                    nullptr) == LARDER_OK);
    return options;
  };
  const ApiMessages messages = conversation({"a"});
  const auto check = [&](const ApiModel& model, std::string_view text, larder_status expected,
                         bool names_file) {
    const ApiOptions options = given(text);
    const ApiSession session = open_api_session(model);
    const auto check_call = [&](const ApiCall& call) {
      larder_error* error = nullptr;
      CHECK(call(&error) == expected);
      const std::string message = larder_error_message(error);
      CAPTURE(message);
      CHECK((message.find("-model.gguf") != std::string::npos) == names_file);
      larder_error_free(error);
    };
    check_call([&](auto e) {
      return larder_session_chat(session.get(), messages.get(), options.get(), nullptr, nullptr,
                                 nullptr, e);
    });
    char* prompt = nullptr;
    int32_t* ids = nullptr;
    size_t n = 0;
    check_call([&](auto e) {
      return larder_model_apply_template(model.get(), messages.get(), options.get(), &prompt, &n,
                                         e);
    });
    check_call([&](auto e) {
      return larder_model_prompt(model.get(), messages.get(), options.get(), &ids, &n, e);
    });
    larder_free(prompt);
    larder_free(ids);
  };
  refuses("no UTF-8", LARDER_CORRUPT, [&, path = written(key_string("", kNoUtf8))](auto e) {
    larder_model* model = nullptr;
    return larder_model_open(path.data(), path.size(), nullptr, &model, e);
  });
  const ApiModel sound = open_api_model(written(key_string("", kGood)));
  check(sound, "", LARDER_OK, false);
  check(sound, kNoUtf8, LARDER_TEMPLATE, false);
  check(sound, kSyntax, LARDER_TEMPLATE, false);
  const ApiModel of_another_type = open_api_model(written(key_u32("", 7)));
  check(of_another_type, "", LARDER_CORRUPT, true);
  check(of_another_type, kNoUtf8, LARDER_TEMPLATE, false);
  check(of_another_type, kGood, LARDER_OK, false);
  const ApiModel malformed = open_api_model(written(key_string("", kSyntax)));
  check(malformed, "", LARDER_TEMPLATE, true);
  check(malformed, kGood, LARDER_OK, false);
}

}  // namespace larder::tests

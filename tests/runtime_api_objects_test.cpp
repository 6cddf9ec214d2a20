// What is closed, of another kind, or in use already.
#include <doctest/doctest.h>

#include "runtime/api/larder_batch.h"
#include "tests/api_objects.h"

namespace larder::tests {

TEST_CASE("C library: an object is not taken for one of another kind") {
  const ApiModel model = open_api_model();
  const ApiOptions options = new_options();
  const auto* const wrong = reinterpret_cast<const larder_options*>(model.get());
  larder_session* session = nullptr;
  refuses("a model", LARDER_CLOSED,
          [&](auto e) { return larder_session_open(model.get(), wrong, &session, e); });
  CHECK(larder_model_close(reinterpret_cast<larder_model*>(options.get())) == LARDER_CLOSED);
}

TEST_CASE("C library: a session that calls itself from inside is busy, and stays sound") {
  const ApiModel model = open_api_model();
  const ApiOptions options = new_options({{LARDER_OPTION_MAX_TOKENS, 3}});
  const ApiSession session = open_api_session(model);
  struct Inside {
    larder_session* session;
    int n = 0;
  } inside{session.get()};
  const larder_text_fn call = [](void* user, int32_t, const char*, size_t) -> larder_flow {
    auto& self = *static_cast<Inside*>(user);
    ++self.n;
    CHECK(larder_session_step(self.session, 1, nullptr) == LARDER_BUSY);
    CHECK(larder_session_rewind(self.session, 0, nullptr, nullptr) == LARDER_BUSY);
    CHECK(larder_session_close(self.session) == LARDER_BUSY);
    return LARDER_CONTINUE;
  };
  const ApiMessages messages = conversation({"Tell me a story."});
  CHECK(larder_session_chat(session.get(), messages.get(), options.get(), call, &inside, nullptr,
                            nullptr) == LARDER_OK);
  CHECK(inside.n > 0);
  CHECK(larder_session_step(session.get(), 1, nullptr) == LARDER_OK);
}

#ifndef NDEBUG
namespace {

void is_closed(const char* what, const ApiCall& call) { refuses(what, LARDER_CLOSED, call); }

}  // namespace

TEST_CASE("C library: debug builds find every use of a session after closing") {
  const ApiModel model = open_api_model();
  const ApiMessages messages = conversation({"Hello!"});
  larder_session* const s = open_api_session(model).release();
  REQUIRE(larder_session_close(s) == LARDER_OK);
  CHECK(larder_session_close(s) == LARDER_CLOSED);
  larder_session_cancel(s);
  larder_session_forget_cancel(s);
  const int32_t ids[] = {1, 2}, *borrowed = nullptr;
  const float* logits = nullptr;
  float small = 0;
  double real = 0;
  size_t n = 0;
  int64_t number = 0;
  int32_t token = 0;
  char bytes[8] = {};
  larder_session* copy = nullptr;
  is_closed("prefill", [=](auto e) { return larder_session_prefill(s, ids, 2, e); });
  is_closed("step", [=](auto e) { return larder_session_step(s, 1, e); });
  is_closed("as", [=](auto e) { return larder_session_continue_as(s, ids, 2, nullptr, e); });
  is_closed("encode", [=](auto e) { return larder_session_encode(s, ids, 2, e); });
  is_closed("rewind", [=](auto e) { return larder_session_rewind(s, 0, nullptr, e); });
  is_closed("tokens", [&](auto e) { return larder_session_tokens(s, &borrowed, &n, e); });
  is_closed("logits", [&](auto e) { return larder_session_logits(s, &logits, &n, e); });
  is_closed("logprobs", [&](auto e) { return larder_session_logprobs(s, &small, 1, e); });
  is_closed("score",
            [&](auto e) { return larder_session_score(s, ids, 1, ids + 1, 1, &real, nullptr, e); });
  is_closed("bytes", [&](auto e) { return larder_session_saved_bytes(s, &n, e); });
  is_closed("save", [&](auto e) { return larder_session_save(s, bytes, sizeof bytes, &n, e); });
  is_closed("restore", [&](auto e) { return larder_session_restore(s, bytes, sizeof bytes, e); });
  is_closed("file", [=](auto e) { return larder_session_save_file(s, "x", 1, e); });
  is_closed("file", [=](auto e) { return larder_session_restore_file(s, "x", 1, e); });
  is_closed("descriptor", [=](auto e) { return larder_session_save_descriptor(s, 0, e); });
  is_closed("descriptor", [=](auto e) { return larder_session_restore_descriptor(s, 0, e); });
  is_closed("copy", [&](auto e) { return larder_session_copy(s, &copy, e); });
  is_closed("generate", [=](auto e) {
    return larder_session_generate(s, nullptr, nullptr, nullptr, nullptr, e);
  });
  is_closed("chat", [&](auto e) {
    return larder_session_chat(s, messages.get(), nullptr, nullptr, nullptr, nullptr, e);
  });
  is_closed("statistics", [&](auto e) { return larder_session_statistics(s, &number, 1, e); });
  larder_sampler* sampler = nullptr;
  REQUIRE(larder_sampler_new(model.get(), nullptr, &sampler, nullptr) == LARDER_OK);
  const ApiSampler its_end(sampler);
  is_closed("sample",
            [&](auto e) { return larder_sampler_sample(sampler, s, &token, nullptr, e); });
}

TEST_CASE("C library: debug builds find use of the other objects after closing") {
  const ApiModel model = open_api_model();
  const ApiSession session = open_api_session(model);
  larder_options* const options = new_options().release();
  larder_options_free(options);
  larder_options_free(options);
  is_closed("options",
            [=](auto e) { return larder_options_set_integer(options, LARDER_OPTION_SEED, 1, e); });
  larder_session* none = nullptr;
  is_closed("options", [&](auto e) { return larder_session_open(model.get(), options, &none, e); });

  larder_messages* const messages = conversation({"Hello!"}).release();
  larder_answer* answer = nullptr;
  REQUIRE(larder_session_chat(session.get(), messages, nullptr, nullptr, nullptr, &answer,
                              nullptr) == LARDER_OK);
  larder_answer_free(answer);
  larder_answer_free(answer);
  int64_t number = 0;
  is_closed("answer",
            [&](auto e) { return larder_answer_number(answer, LARDER_ANSWER_REASON, &number, e); });
  is_closed("answer", [&](auto e) { return larder_messages_add_answer(messages, answer, e); });
  larder_messages_free(messages);
  is_closed("messages", [=](auto e) { return larder_messages_truncate(messages, 0, e); });

  larder_decoder* decoder = nullptr;
  REQUIRE(larder_decoder_new(model.get(), 1, 0, &decoder, nullptr) == LARDER_OK);
  larder_decoder_free(decoder);
  const char* text = nullptr;
  size_t n = 0;
  is_closed("decoder", [&](auto e) { return larder_decoder_push(decoder, 1, &text, &n, e); });

  larder_sampler* sampler = nullptr;
  REQUIRE(larder_sampler_new(model.get(), nullptr, &sampler, nullptr) == LARDER_OK);
  larder_sampler_free(sampler);
  int32_t token = 0;
  is_closed("sampler", [&](auto e) {
    return larder_sampler_sample(sampler, session.get(), &token, nullptr, e);
  });

  larder_batch* batch = nullptr;
  REQUIRE(larder_batch_open(model.get(), nullptr, &batch, nullptr) == LARDER_OK);
  REQUIRE(larder_batch_close(batch) == LARDER_OK);
  CHECK(larder_batch_close(batch) == LARDER_CLOSED);
  larder_batch_cancel(batch);
  is_closed("batch", [&](auto e) { return larder_batch_step(batch, &n, e); });

  larder_model* const closed = open_api_model().release();
  REQUIRE(larder_model_close(closed) == LARDER_OK);
  CHECK(larder_model_close(closed) == LARDER_CLOSED);
  is_closed("model", [&](auto e) { return larder_session_open(closed, nullptr, &none, e); });
  is_closed("model",
            [&](auto e) { return larder_model_number(closed, LARDER_MODEL_N_VOCAB, &number, e); });
}
#endif

}  // namespace larder::tests

// Every function of the C library, called wrongly: a status each, and a message.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "runtime/api/larder_batch.h"
#include "tests/api_objects.h"
#include "tests/source_tree.h"

namespace larder::tests {
namespace {

void invalid(const char* what, const ApiCall& call) {
  refuses(what, LARDER_INVALID_ARGUMENT, call);
}

// Everything that calls write through.
struct Outs {
  int32_t number32 = 0, *ids = nullptr;
  const int32_t* borrowed_ids = nullptr;
  int64_t number = 0;
  size_t n = 0;
  const char* text = nullptr;
  char* owned_text = nullptr;
  const float* logits = nullptr;
  double real = 0;
  float small = 0;
  larder_answer* answer = nullptr;
  larder_session* session = nullptr;
  larder_decoder* decoder = nullptr;
  larder_sampler* sampler = nullptr;
  larder_model* model = nullptr;
};

}  // namespace

// What the library exports are these, too (house_library_test).
TEST_CASE("C library: no function misses below") {
  const std::string here = read_source("tests/runtime_api_arguments_test.cpp");
  const std::set<std::string> names = declared_functions();
  CHECK(names.size() > 60);
  for (const std::string& name : names)
    CHECK_MESSAGE(here.find(name + "(") != std::string::npos, name);
}

TEST_CASE("C library: versions, statuses and errors") {
  CHECK(std::string(larder_version()).find('.') != std::string::npos);
  CHECK(larder_abi_version() == 1);
  std::set<std::string> sentences;
  for (larder_status status = LARDER_OK; status <= LARDER_NO_ROOM; ++status)
    sentences.insert(larder_status_message(status));
  CHECK(sentences.size() == LARDER_NO_ROOM + 1);
  CHECK(std::string(larder_status_message(-1)) == larder_status_message(1000));
  CHECK(larder_error_status(nullptr) == LARDER_OK);
  CHECK(std::string(larder_error_message(nullptr)) == "ok");
  CHECK(std::string(larder_error_cause(nullptr)) == "ok");
  larder_error_free(nullptr);
  larder_free(nullptr);
}

TEST_CASE("C library: what is null or out of range is refused by options and messages") {
  const ApiOptions options = new_options();
  larder_options* const o = options.get();
  invalid("new", [](auto e) { return larder_options_new(nullptr, e); });
  invalid("null",
          [](auto e) { return larder_options_set_integer(nullptr, LARDER_OPTION_SEED, 1, e); });
  invalid("no integer",
          [o](auto e) { return larder_options_set_integer(o, LARDER_OPTION_STOP, 1, e); });
  invalid("unknown", [o](auto e) { return larder_options_set_integer(o, 9999, 1, e); });
  for (const int64_t value : {int64_t{-1}, int64_t{1} << 31, std::numeric_limits<int64_t>::min()})
    invalid("range", [=](auto e) {
      return larder_options_set_integer(o, LARDER_OPTION_CONTEXT_SIZE, value, e);
    });
  invalid("batch",
          [o](auto e) { return larder_options_set_integer(o, LARDER_OPTION_BATCH_SIZE, 0, e); });
  invalid("null",
          [](auto e) { return larder_options_set_real(nullptr, LARDER_OPTION_TOP_P, 1, e); });
  for (const double value : {-1.0, 2.0, double{NAN}, double{INFINITY}, 1e300})
    invalid("range",
            [=](auto e) { return larder_options_set_real(o, LARDER_OPTION_TOP_P, value, e); });
  invalid("no real", [o](auto e) { return larder_options_set_real(o, LARDER_OPTION_SEED, 1, e); });
  invalid("null",
          [](auto e) { return larder_options_set_text(nullptr, LARDER_OPTION_ISA, "", 0, e); });
  invalid("null text",
          [o](auto e) { return larder_options_set_text(o, LARDER_OPTION_ISA, nullptr, 3, e); });
  invalid("type", [o](auto e) {
    return larder_options_set_text(o, LARDER_OPTION_CACHE_TYPE_K, "q3", 2, e);
  });
  invalid("no text",
          [o](auto e) { return larder_options_set_text(o, LARDER_OPTION_TOP_K, "1", 1, e); });
  const ApiOptions bad_template = new_options();
  REQUIRE(larder_options_set_text(bad_template.get(), LARDER_OPTION_TEMPLATE, "{{ \xff }}", 7,
                                  nullptr) == LARDER_OK);
  const ApiModel storyteller_model = open_api_model();
  const ApiSession storyteller_session = open_api_session(storyteller_model);
  const ApiMessages hello = conversation({"Hello!"});
  refuses("no UTF-8", LARDER_TEMPLATE, [&](auto e) {
    return larder_session_chat(storyteller_session.get(), hello.get(), bad_template.get(), nullptr,
                               nullptr, nullptr, e);
  });
  invalid("null", [](auto e) { return larder_options_set_progress(nullptr, nullptr, nullptr, e); });
  invalid("null", [](auto e) { return larder_options_set_log(nullptr, nullptr, nullptr, e); });
  larder_options_free(nullptr);

  const ApiMessages messages = conversation({"Hello!"});
  larder_messages* const m = messages.get();
  invalid("new", [](auto e) { return larder_messages_new(nullptr, e); });
  invalid("null", [](auto e) { return larder_messages_add(nullptr, "user", 4, "a", 1, e); });
  invalid("no role", [m](auto e) { return larder_messages_add(m, nullptr, 0, "a", 1, e); });
  invalid("null role", [m](auto e) { return larder_messages_add(m, nullptr, 4, "a", 1, e); });
  invalid("null content", [m](auto e) { return larder_messages_add(m, "user", 4, nullptr, 1, e); });
  invalid("null", [](auto e) { return larder_messages_add_json(nullptr, "{}", 2, e); });
  invalid("null text", [m](auto e) { return larder_messages_add_json(m, nullptr, 2, e); });
  invalid("no JSON", [m](auto e) { return larder_messages_add_json(m, "{", 1, e); });
  invalid("null", [](auto e) { return larder_messages_add_answer(nullptr, nullptr, e); });
  invalid("null answer", [m](auto e) { return larder_messages_add_answer(m, nullptr, e); });
  size_t n = 0;
  invalid("null", [&](auto e) { return larder_messages_count(nullptr, &n, e); });
  invalid("null n", [m](auto e) { return larder_messages_count(m, nullptr, e); });
  invalid("null", [](auto e) { return larder_messages_truncate(nullptr, 0, e); });
  invalid("too many", [m](auto e) { return larder_messages_truncate(m, 2, e); });
  larder_messages_free(nullptr);
}

TEST_CASE("C library: what is null or out of range is refused by models") {
  Outs o;
  const std::string path = storyteller();
  const ApiModel model = open_api_model();
  const larder_model* const m = model.get();
  invalid("null",
          [&](auto e) { return larder_model_open(path.data(), path.size(), nullptr, nullptr, e); });
  invalid("null path", [&](auto e) { return larder_model_open(nullptr, 5, nullptr, &o.model, e); });
  invalid("empty path", [&](auto e) { return larder_model_open("", 0, nullptr, &o.model, e); });
  invalid("NUL", [&](auto e) { return larder_model_open("a\0b", 3, nullptr, &o.model, e); });
  refuses("no file", LARDER_IO,
          [&](auto e) { return larder_model_open("/nowhere", 8, nullptr, &o.model, e); });
  const std::string source = std::string(LARDER_SOURCE_DIR) + "/LICENSE";
  refuses("no model", LARDER_CORRUPT, [&](auto e) {
    return larder_model_open(source.data(), source.size(), nullptr, &o.model, e);
  });
  CHECK(o.model == nullptr);
  CHECK(larder_model_close(nullptr) == LARDER_OK);
  invalid("null",
          [&](auto e) { return larder_model_number(nullptr, LARDER_MODEL_BOS, &o.number, e); });
  invalid("null", [m](auto e) { return larder_model_number(m, LARDER_MODEL_BOS, nullptr, e); });
  invalid("unknown", [&](auto e) { return larder_model_number(m, 999, &o.number, e); });
  invalid("null",
          [&](auto e) { return larder_model_text(nullptr, LARDER_MODEL_NAME, &o.text, &o.n, e); });
  invalid("null",
          [&](auto e) { return larder_model_text(m, LARDER_MODEL_NAME, nullptr, &o.n, e); });
  invalid("unknown", [&](auto e) { return larder_model_text(m, 999, &o.text, &o.n, e); });
  for (const int32_t token : {-1, INT32_MAX, INT32_MIN})
    invalid("token", [&, token](auto e) { return larder_model_is_end(m, token, &o.number32, e); });
  invalid("null", [&](auto e) { return larder_model_is_end(nullptr, 1, &o.number32, e); });
  invalid("null", [m](auto e) { return larder_model_is_end(m, 1, nullptr, e); });
  invalid("null", [&](auto e) { return larder_model_estimate(nullptr, nullptr, &o.number, 1, e); });
  invalid("null", [m](auto e) { return larder_model_estimate(m, nullptr, nullptr, 1, e); });
  invalid("null", [](auto e) { return larder_estimate("/nowhere", 8, nullptr, nullptr, 1, e); });
  refuses("no file", LARDER_IO,
          [&](auto e) { return larder_estimate("/nowhere", 8, nullptr, &o.number, 1, e); });
  const ApiOptions small = new_options({{LARDER_OPTION_RAM_BYTES, 1 << 20}});
  refuses("budget", LARDER_OVER_BUDGET,
          [&](auto e) { return larder_model_estimate(m, small.get(), &o.number, 1, e); });

  const int32_t bad_id = INT32_MAX;
  invalid("null",
          [&](auto e) { return larder_model_tokenize(nullptr, "a", 1, 0, &o.ids, &o.n, e); });
  invalid("null text",
          [&](auto e) { return larder_model_tokenize(m, nullptr, 1, 0, &o.ids, &o.n, e); });
  invalid("flags", [&](auto e) { return larder_model_tokenize(m, "a", 1, 64, &o.ids, &o.n, e); });
  invalid("null ids",
          [&](auto e) { return larder_model_tokenize(m, "a", 1, 0, nullptr, &o.n, e); });
  invalid("null", [&](auto e) {
    return larder_model_detokenize(nullptr, &bad_id, 1, 0, &o.owned_text, &o.n, e);
  });
  invalid("token", [&](auto e) {
    return larder_model_detokenize(m, &bad_id, 1, 0, &o.owned_text, &o.n, e);
  });
  invalid("null ids", [&](auto e) {
    return larder_model_detokenize(m, nullptr, 1, 0, &o.owned_text, &o.n, e);
  });
  invalid("too many", [&](auto e) {
    return larder_model_detokenize(m, &bad_id, SIZE_MAX, 0, &o.owned_text, &o.n, e);
  });
  invalid("null", [&](auto e) { return larder_decoder_new(nullptr, 0, 0, &o.decoder, e); });
  invalid("null", [m](auto e) { return larder_decoder_new(m, 0, 0, nullptr, e); });
  invalid("null", [&](auto e) { return larder_decoder_push(nullptr, 1, &o.text, &o.n, e); });
  invalid("null", [&](auto e) { return larder_decoder_finish(nullptr, &o.text, &o.n, e); });
  REQUIRE(larder_decoder_new(m, 1, 0, &o.decoder, nullptr) == LARDER_OK);
  const ApiDecoder decoder(o.decoder);
  invalid("token", [&](auto e) { return larder_decoder_push(o.decoder, -1, &o.text, &o.n, e); });
  invalid("null", [&](auto e) { return larder_decoder_push(o.decoder, 1, nullptr, &o.n, e); });
  invalid("null", [&](auto e) { return larder_decoder_finish(o.decoder, &o.text, nullptr, e); });
  larder_decoder_free(nullptr);

  const ApiMessages messages = conversation({"Hello!"});
  const larder_messages* const c = messages.get();
  invalid("null", [&](auto e) {
    return larder_model_apply_template(nullptr, c, nullptr, &o.owned_text, &o.n, e);
  });
  invalid("null", [&](auto e) {
    return larder_model_apply_template(m, nullptr, nullptr, &o.owned_text, &o.n, e);
  });
  invalid("null",
          [&](auto e) { return larder_model_apply_template(m, c, nullptr, nullptr, &o.n, e); });
  invalid("null",
          [&](auto e) { return larder_model_prompt(nullptr, c, nullptr, &o.ids, &o.n, e); });
  invalid("null",
          [&](auto e) { return larder_model_prompt(m, nullptr, nullptr, &o.ids, &o.n, e); });
  invalid("null", [&](auto e) { return larder_model_prompt(m, c, nullptr, &o.ids, nullptr, e); });
  const ApiOptions broken = new_options();
  REQUIRE(larder_options_set_text(broken.get(), LARDER_OPTION_TEMPLATE, "{% if", 5, nullptr) ==
          LARDER_OK);
  refuses("template", LARDER_TEMPLATE,
          [&](auto e) { return larder_model_prompt(m, c, broken.get(), &o.ids, &o.n, e); });
  invalid("null", [&](auto e) { return larder_sampler_new(nullptr, nullptr, &o.sampler, e); });
  invalid("null", [m](auto e) { return larder_sampler_new(m, nullptr, nullptr, e); });
}

TEST_CASE("C library: what is null or out of range is refused by sessions") {
  Outs o;
  const ApiModel model = open_api_model();
  const larder_model* const m = model.get();
  const ApiOptions small =
      new_options({{LARDER_OPTION_CONTEXT_SIZE, 16}, {LARDER_OPTION_MAX_TOKENS, 2}});
  invalid("null", [&](auto e) { return larder_session_open(nullptr, nullptr, &o.session, e); });
  invalid("null", [m](auto e) { return larder_session_open(m, nullptr, nullptr, e); });
  const ApiOptions odd = new_options({{LARDER_OPTION_THREADS, 1 << 30}});
  invalid("threads", [&](auto e) { return larder_session_open(m, odd.get(), &o.session, e); });
  const ApiSession session = open_api_session(model, small.get());
  larder_session* const s = session.get();
  const ApiMessages messages = conversation({"Hello!"}), none = conversation({});
  CHECK(larder_session_close(nullptr) == LARDER_OK);
  larder_session_cancel(nullptr);
  larder_session_forget_cancel(nullptr);

  // In the wrong order: nothing to go on from yet.
  o.sampler = nullptr;
  REQUIRE(larder_sampler_new(m, nullptr, &o.sampler, nullptr) == LARDER_OK);
  const ApiSampler sampler(o.sampler);
  invalid("no logits", [&](auto e) {
    return larder_session_generate(s, nullptr, nullptr, nullptr, nullptr, e);
  });
  invalid("no logits", [&](auto e) { return larder_session_logits(s, &o.logits, &o.n, e); });
  invalid("no logits", [&](auto e) { return larder_session_logprobs(s, &o.small, 1, e); });
  invalid("no logits",
          [&](auto e) { return larder_sampler_sample(sampler.get(), s, &o.number32, nullptr, e); });
  invalid("none held", [&](auto e) { return larder_session_rewind(s, 1, nullptr, e); });

  const std::vector<int32_t> ids = {1, 2, 3}, bad = {1, -7}, many(17, 1);
  for (larder_session* const which : {static_cast<larder_session*>(nullptr), s}) {
    const bool is_null = which == nullptr;
    const size_t n = is_null ? ids.size() : bad.size();
    const int32_t* const tokens = is_null ? ids.data() : bad.data();
    invalid("prefill", [&](auto e) { return larder_session_prefill(which, tokens, n, e); });
    invalid("step", [&](auto e) { return larder_session_step(which, is_null ? 1 : -1, e); });
    invalid("continue",
            [&](auto e) { return larder_session_continue_as(which, tokens, n, nullptr, e); });
    invalid("score", [&](auto e) {
      return larder_session_score(which, tokens, n, tokens, n, &o.real, nullptr, e);
    });
    invalid("tokens", [&](auto e) {
      return larder_session_tokens(which, is_null ? &o.borrowed_ids : nullptr, &o.n, e);
    });
    invalid("rewind",
            [&](auto e) { return larder_session_rewind(which, is_null ? 0 : 99, nullptr, e); });
    invalid("logits", [&](auto e) {
      return larder_session_logits(which, is_null ? &o.logits : nullptr, &o.n, e);
    });
    invalid("logprobs", [&](auto e) {
      return larder_session_logprobs(which, is_null ? &o.small : nullptr, 1, e);
    });
    invalid("bytes",
            [&](auto e) { return larder_session_saved_bytes(which, is_null ? &o.n : nullptr, e); });
    invalid("save",
            [&](auto e) { return larder_session_save(which, nullptr, is_null ? 0 : 9, &o.n, e); });
    invalid("restore",
            [&](auto e) { return larder_session_restore(which, is_null ? "abc" : nullptr, 3, e); });
    invalid("save", [&](auto e) {
      return larder_session_save_file(which, is_null ? "x" : "", is_null ? 1 : 0, e);
    });
    invalid("restore", [&](auto e) {
      return larder_session_restore_file(which, is_null ? "x" : "", is_null ? 1 : 0, e);
    });
    invalid("save",
            [&](auto e) { return larder_session_save_descriptor(which, is_null ? 1 : -1, e); });
    invalid("restore",
            [&](auto e) { return larder_session_restore_descriptor(which, is_null ? 0 : -1, e); });
    invalid("copy",
            [&](auto e) { return larder_session_copy(which, is_null ? &o.session : nullptr, e); });
    invalid("statistics", [&](auto e) {
      return larder_session_statistics(which, is_null ? &o.number : nullptr, 1, e);
    });
    invalid("generate", [&](auto e) {
      return larder_session_generate(which, nullptr, nullptr, nullptr, &o.answer, e);
    });
    invalid("chat", [&](auto e) {
      return larder_session_chat(which, is_null ? messages.get() : none.get(), nullptr, nullptr,
                                 nullptr, &o.answer, e);
    });
    invalid("sample", [&](auto e) {
      return larder_sampler_sample(is_null ? nullptr : sampler.get(), which,
                                   is_null ? &o.number32 : nullptr, nullptr, e);
    });
  }
  refuses("no encoder", LARDER_UNSUPPORTED,
          [&](auto e) { return larder_session_encode(s, ids.data(), ids.size(), e); });
  invalid("null",
          [&](auto e) { return larder_session_encode(nullptr, ids.data(), ids.size(), e); });
  refuses("full", LARDER_CONTEXT_FULL,
          [&](auto e) { return larder_session_prefill(s, many.data(), many.size(), e); });
  refuses("full", LARDER_CONTEXT_FULL, [&](auto e) {
    return larder_session_score(s, many.data(), 10, many.data(), 10, &o.real, nullptr, e);
  });
  invalid("null", [&](auto e) {
    return larder_session_chat(s, nullptr, nullptr, nullptr, nullptr, nullptr, e);
  });
  refuses("no file", LARDER_IO,
          [&](auto e) { return larder_session_restore_file(s, "/nowhere", 8, e); });
  refuses("no folder", LARDER_IO,
          [&](auto e) { return larder_session_save_file(s, "/nowhere/x", 10, e); });

  // Still of use.
  REQUIRE(larder_session_prefill(s, ids.data(), ids.size(), nullptr) == LARDER_OK);
  invalid("n_vocab", [&](auto e) { return larder_session_logprobs(s, &o.small, 1, e); });
  REQUIRE(larder_session_generate(s, small.get(), nullptr, nullptr, &o.answer, nullptr) ==
          LARDER_OK);
  const ApiAnswer answer(o.answer);
  const larder_answer* const a = answer.get();
  invalid("null", [&](auto e) {
    return larder_answer_number(nullptr, LARDER_ANSWER_REASON, &o.number, e);
  });
  invalid("unknown", [&](auto e) { return larder_answer_number(a, 99, &o.number, e); });
  invalid("null",
          [a](auto e) { return larder_answer_number(a, LARDER_ANSWER_REASON, nullptr, e); });
  invalid("null", [&](auto e) { return larder_answer_text(nullptr, 0, &o.text, &o.n, e); });
  invalid("part", [&](auto e) { return larder_answer_text(a, 99, &o.text, &o.n, e); });
  invalid("null", [&](auto e) { return larder_answer_text(a, 0, nullptr, &o.n, e); });
  invalid("null", [&](auto e) { return larder_answer_tokens(nullptr, nullptr, nullptr, &o.n, e); });
  invalid("null", [&](auto e) { return larder_answer_call(nullptr, 0, &o.text, nullptr, e); });
  invalid("null", [&](auto e) { return larder_answer_scores(nullptr, nullptr, &o.n, nullptr, e); });
  invalid("index", [&](auto e) { return larder_answer_call(a, 0, &o.text, nullptr, e); });
  larder_answer_free(nullptr);
  larder_sampler_free(nullptr);
}

TEST_CASE("C library: what is null or out of range is refused by batches") {
  Outs o;
  const ApiModel model = open_api_model();
  const larder_model* const m = model.get();
  const ApiOptions small = new_options({{LARDER_OPTION_CONTEXT_SIZE, 16}});
  larder_batch* b = nullptr;
  invalid("null", [&](auto e) { return larder_batch_open(nullptr, nullptr, &b, e); });
  invalid("null", [m](auto e) { return larder_batch_open(m, nullptr, nullptr, e); });
  CHECK(larder_batch_close(nullptr) == LARDER_OK);
  larder_batch_cancel(nullptr);
  larder_batch_forget_cancel(nullptr);
  REQUIRE(larder_batch_open(m, small.get(), &b, nullptr) == LARDER_OK);
  const std::vector<int32_t> ids = {1, 2, 3}, bad = {1, -7};
  uint64_t tag = 0;
  for (larder_batch* const which : {static_cast<larder_batch*>(nullptr), b}) {
    const std::vector<int32_t>& given = which == nullptr ? ids : bad;
    const int32_t* const tokens = given.data();
    const size_t n = given.size();
    invalid("generate",
            [&](auto e) { return larder_batch_generate(which, 1, tokens, n, nullptr, e); });
    invalid("score", [&](auto e) { return larder_batch_score(which, 1, tokens, n, tokens, n, e); });
    invalid("step",
            [&](auto e) { return larder_batch_step(which, which == nullptr ? &o.n : nullptr, e); });
    invalid("take", [&](auto e) {
      return larder_batch_take(which, &tag, which == nullptr ? &o.answer : nullptr, e);
    });
  }
  invalid("null ids", [&](auto e) { return larder_batch_generate(b, 1, nullptr, 2, nullptr, e); });
  invalid("no ids", [&](auto e) { return larder_batch_generate(b, 1, nullptr, 0, nullptr, e); });
  invalid("no continuation",
          [&](auto e) { return larder_batch_score(b, 1, ids.data(), 3, nullptr, 0, e); });
  // Nothing is held of what was refused.
  REQUIRE(larder_batch_step(b, &o.n, nullptr) == LARDER_OK);
  CHECK(o.n == 0);
  CHECK(larder_batch_close(b) == LARDER_OK);
}

}  // namespace larder::tests

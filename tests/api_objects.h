// The C library's objects, closed at the end of a scope, for tests.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/api/larder.h"

namespace larder::tests {

template <auto kClose>
struct ApiCloser {
  template <class T>
  void operator()(T* object) const {
    (void)kClose(object);
  }
};
using ApiModel = std::unique_ptr<larder_model, ApiCloser<larder_model_close>>;
using ApiSession = std::unique_ptr<larder_session, ApiCloser<larder_session_close>>;
using ApiOptions = std::unique_ptr<larder_options, ApiCloser<larder_options_free>>;
using ApiMessages = std::unique_ptr<larder_messages, ApiCloser<larder_messages_free>>;
using ApiAnswer = std::unique_ptr<larder_answer, ApiCloser<larder_answer_free>>;
using ApiSampler = std::unique_ptr<larder_sampler, ApiCloser<larder_sampler_free>>;
using ApiDecoder = std::unique_ptr<larder_decoder, ApiCloser<larder_decoder_free>>;
using ApiError = std::unique_ptr<larder_error, ApiCloser<larder_error_free>>;

using ApiCall = std::function<larder_status(larder_error**)>;

// Fails with that status, says why, and fails just so where nobody asks why.
inline void refuses(const char* what, larder_status expected, const ApiCall& call) {
  CAPTURE(what);
  larder_error* raw = nullptr;
  CHECK(call(&raw) == expected);
  const ApiError error(raw);
  REQUIRE(error != nullptr);
  CHECK(larder_error_status(error.get()) == expected);
  CHECK(std::strlen(larder_error_message(error.get())) > 5);
  CHECK(std::strlen(larder_error_cause(error.get())) > 1);
  CHECK(call(nullptr) == expected);
}

inline std::string storyteller() {
  return std::string(LARDER_SOURCE_DIR) + "/apps/models/storyteller-q4.gguf";
}

inline ApiModel open_api_model(const std::string& path = storyteller(),
                               const larder_options* options = nullptr) {
  larder_model* model = nullptr;
  larder_error* error = nullptr;
  const larder_status status = larder_model_open(path.data(), path.size(), options, &model, &error);
  REQUIRE_MESSAGE(status == LARDER_OK, larder_error_message(error));
  return ApiModel(model);
}

inline ApiOptions new_options(const std::vector<std::pair<larder_option, int64_t>>& integers = {}) {
  larder_options* options = nullptr;
  REQUIRE(larder_options_new(&options, nullptr) == LARDER_OK);
  for (const auto& [option, value] : integers)
    REQUIRE(larder_options_set_integer(options, option, value, nullptr) == LARDER_OK);
  return ApiOptions(options);
}

inline ApiSession open_api_session(const ApiModel& model, const larder_options* options = nullptr) {
  larder_session* session = nullptr;
  larder_error* error = nullptr;
  const larder_status status = larder_session_open(model.get(), options, &session, &error);
  REQUIRE_MESSAGE(status == LARDER_OK, larder_error_message(error));
  return ApiSession(session);
}

inline ApiMessages conversation(const std::vector<std::string>& users) {
  larder_messages* messages = nullptr;
  REQUIRE(larder_messages_new(&messages, nullptr) == LARDER_OK);
  for (const std::string& text : users)
    REQUIRE(larder_messages_add(messages, "user", 4, text.data(), text.size(), nullptr) ==
            LARDER_OK);
  return ApiMessages(messages);
}

inline std::vector<int32_t> api_tokens(const ApiModel& model, std::string_view text,
                                       int32_t flags = LARDER_TOKENIZE_BEGIN) {
  int32_t* ids = nullptr;
  size_t n = 0;
  REQUIRE(larder_model_tokenize(model.get(), text.data(), text.size(), flags, &ids, &n, nullptr) ==
          LARDER_OK);
  const std::vector<int32_t> tokens(ids, ids + n);
  larder_free(ids);
  return tokens;
}

inline std::vector<float> api_logits(const larder_session* session) {
  const float* logits = nullptr;
  size_t n = 0;
  REQUIRE(larder_session_logits(session, &logits, &n, nullptr) == LARDER_OK);
  return {logits, logits + n};
}

inline std::string answer_text(const larder_answer* answer, int32_t part = LARDER_PART_ANSWER) {
  const char* text = nullptr;
  size_t n = 0;
  REQUIRE(larder_answer_text(answer, part, &text, &n, nullptr) == LARDER_OK);
  return {text, n};
}

inline int64_t answer_number(const larder_answer* answer, int32_t which) {
  int64_t value = 0;
  REQUIRE(larder_answer_number(answer, which, &value, nullptr) == LARDER_OK);
  return value;
}

}  // namespace larder::tests

// From a file to 32 tokens through the C library, where any step may fail.
#pragma once

#include <string>

#include "runtime/api/larder.h"

namespace larder::tests {

// Closes in reverse order whatever was opened; allocates nothing itself.
struct Opened {
  larder_options* options = nullptr;
  larder_model* model = nullptr;
  larder_session* session = nullptr;
  larder_session* copy = nullptr;
  larder_messages* messages = nullptr;
  larder_answer* answer = nullptr;
  larder_sampler* sampler = nullptr;
  larder_decoder* decoder = nullptr;
  int32_t* ids = nullptr;
  larder_error* error = nullptr;
  ~Opened() {
    larder_answer_free(answer);
    larder_sampler_free(sampler);
    larder_decoder_free(decoder);
    larder_messages_free(messages);
    (void)larder_session_close(copy);
    (void)larder_session_close(session);
    (void)larder_model_close(model);
    larder_options_free(options);
    larder_free(ids);
    larder_error_free(error);
  }
};

// The first failure's status, and its error in o.error. ram_bytes and n_threads: as options take
// them.
inline larder_status open_and_generate(const std::string& path, Opened& o, int64_t ram_bytes = 0,
                                       int64_t n_threads = 2) {
  larder_error** const e = &o.error;
  larder_status status = larder_options_new(&o.options, e);
  const auto then = [&](auto&& call) {
    if (status == LARDER_OK) status = call();
  };
  then([&] { return larder_options_set_integer(o.options, LARDER_OPTION_CONTEXT_SIZE, 128, e); });
  then([&] { return larder_options_set_integer(o.options, LARDER_OPTION_MAX_TOKENS, 32, e); });
  then([&] { return larder_options_set_integer(o.options, LARDER_OPTION_IGNORE_END, 1, e); });
  then([&] { return larder_options_set_integer(o.options, LARDER_OPTION_THREADS, n_threads, e); });
  then(
      [&] { return larder_options_set_integer(o.options, LARDER_OPTION_RAM_BYTES, ram_bytes, e); });
  then([&] {
    return larder_options_set_text(o.options, LARDER_OPTION_STOP, "no such text", 12, e);
  });
  then([&] { return larder_model_open(path.data(), path.size(), o.options, &o.model, e); });
  then([&] { return larder_session_open(o.model, o.options, &o.session, e); });
  size_t n_ids = 0;
  then(
      [&] { return larder_model_tokenize(o.model, "Once upon a time", 16, 0, &o.ids, &n_ids, e); });
  then([&] { return larder_session_prefill(o.session, o.ids, n_ids, e); });
  then([&] {
    return larder_session_generate(o.session, o.options, nullptr, nullptr, &o.answer, e);
  });
  then([&] { return larder_sampler_new(o.model, o.options, &o.sampler, e); });
  then([&] { return larder_decoder_new(o.model, 1, 0, &o.decoder, e); });
  return status;
}

}  // namespace larder::tests

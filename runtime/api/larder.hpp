// larder.h for C++17: objects close themselves, and every call answers a Result.
//
//   auto model = larder::Model::open("model.gguf").value();  // throws larder::Exception
//   auto session = larder::Session::open(model);             // throws nothing, and is asked:
//   if (!session) return tell(session.error().message);
//
// What a callback throws comes out of the call that it was thrown in. Threads: as larder.h says.
#pragma once

#include <larder.h>

#include <cstdint>
#include <larder_values.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder {
inline namespace v1 {

class Model {
 public:
  static Result<Model> open(std::string_view path, const Options* options = nullptr) {
    larder_model* made = nullptr;
    auto opened = detail::answered(
        [&](auto error) {
          return larder_model_open(path.data(), path.size(), options ? options->get() : nullptr,
                                   &made, error);
        },
        [&] { return Model(made); });
    detail::rethrow();
    return opened;
  }
  int64_t number(int32_t which) const {
    int64_t value = 0;
    larder_model_number(get(), which, &value, nullptr);
    return value;
  }
  std::string_view text(int32_t which) const {
    const char* text = nullptr;
    size_t n = 0;
    larder_model_text(get(), which, &text, &n, nullptr);
    return {text, n};
  }
  bool is_end(int32_t token) const {
    int32_t is_end = 0;
    larder_model_is_end(get(), token, &is_end, nullptr);
    return is_end != 0;
  }
  Result<Tokens> tokenize(std::string_view text, int32_t flags = 0) const {
    int32_t* ids = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) {
          return larder_model_tokenize(get(), text.data(), text.size(), flags, &ids, &n, error);
        },
        [&] { return detail::take_ids(ids, n); });
  }
  Result<std::string> detokenize(const Tokens& ids, bool shows_control = false) const {
    char* text = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) {
          return larder_model_detokenize(get(), ids.data(), ids.size(), shows_control, &text, &n,
                                         error);
        },
        [&] { return detail::take_text(text, n); });
  }
  Result<Tokens> prompt(const Messages& messages, const Options* options = nullptr) const {
    int32_t* ids = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) {
          return larder_model_prompt(get(), messages.get(), options ? options->get() : nullptr,
                                     &ids, &n, error);
        },
        [&] { return detail::take_ids(ids, n); });
  }
  // By LARDER_MEMORY_...
  Result<std::vector<int64_t>> estimate(const Options* options = nullptr) const {
    std::vector<int64_t> bytes(LARDER_MEMORY_IS_PAGED + 1);
    return detail::answered(
        [&](auto error) {
          return larder_model_estimate(get(), options ? options->get() : nullptr, bytes.data(),
                                       bytes.size(), error);
        },
        [&] { return std::move(bytes); });
  }
  larder_model* get() const noexcept { return model_.get(); }

 private:
  explicit Model(larder_model* model) : model_(model) {}
  detail::Handle<larder_model, larder_model_close> model_;
};

class Session {
 public:
  static Result<Session> open(const Model& model, const Options* options = nullptr) {
    larder_session* made = nullptr;
    auto callbacks = options ? options->callbacks() : nullptr;
    auto opened = detail::answered(
        [&](auto error) {
          return larder_session_open(model.get(), options ? options->get() : nullptr, &made, error);
        },
        [&] { return Session(made, callbacks); });
    detail::rethrow();
    return opened;
  }
  // From every thread, while the session is open.
  void cancel() const noexcept { larder_session_cancel(get()); }
  void forget_cancel() const noexcept { larder_session_forget_cancel(get()); }

  Result<> prefill(const Tokens& ids) {
    return called(
        [&](auto error) { return larder_session_prefill(get(), ids.data(), ids.size(), error); });
  }
  Result<> step(int32_t token) {
    return called([&](auto error) { return larder_session_step(get(), token, error); });
  }
  // How many tokens were held already.
  Result<size_t> continue_as(const Tokens& ids) {
    size_t n_reused = 0;
    auto result = called([&](auto error) {
      return larder_session_continue_as(get(), ids.data(), ids.size(), &n_reused, error);
    });
    if (!result) return result.error();
    return n_reused;
  }
  // How many tokens are left.
  Result<size_t> rewind(size_t n_tokens) {
    size_t n_left = 0;
    return detail::answered(
        [&](auto error) { return larder_session_rewind(get(), n_tokens, &n_left, error); },
        [&] { return n_left; });
  }
  Result<Tokens> tokens() const {
    const int32_t* ids = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) { return larder_session_tokens(get(), &ids, &n, error); },
        [&] { return Tokens(ids, ids + n); });
  }
  Result<std::vector<float>> logits() const {
    const float* logits = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) { return larder_session_logits(get(), &logits, &n, error); },
        [&] { return std::vector<float>(logits, logits + n); });
  }
  // Of each token of the continuation.
  Result<std::vector<double>> score(const Tokens& context, const Tokens& continuation,
                                    bool* is_greedy = nullptr) {
    std::vector<double> logprobs(continuation.size() + 1);
    int32_t greedy = 0;
    auto result = called([&](auto error) {
      return larder_session_score(get(), context.data(), context.size(), continuation.data(),
                                  continuation.size(), logprobs.data(), &greedy, error);
    });
    if (!result) return result.error();
    if (is_greedy) *is_greedy = greedy != 0;
    logprobs.pop_back();
    return logprobs;
  }
  Result<Answer> generate(const Options* options = nullptr, const OnText& on_text = {}) {
    return answer(on_text, [&](auto text, void* user, auto answer, auto error) {
      return larder_session_generate(get(), options ? options->get() : nullptr, text, user, answer,
                                     error);
    });
  }
  Result<Answer> chat(const Messages& messages, const Options* options = nullptr,
                      const OnText& on_text = {}) {
    return answer(on_text, [&](auto text, void* user, auto answer, auto error) {
      return larder_session_chat(get(), messages.get(), options ? options->get() : nullptr, text,
                                 user, answer, error);
    });
  }
  Result<> save(std::string_view path) const {
    return detail::done([&](auto error) {
      return larder_session_save_file(get(), path.data(), path.size(), error);
    });
  }
  Result<> restore(std::string_view path) {
    return detail::done([&](auto error) {
      return larder_session_restore_file(get(), path.data(), path.size(), error);
    });
  }
  Result<Session> copy() const {
    larder_session* made = nullptr;
    auto copied =
        detail::answered([&](auto error) { return larder_session_copy(get(), &made, error); },
                         [&] { return Session(made, callbacks_); });
    detail::rethrow();
    return copied;
  }
  // By LARDER_STATISTIC_...
  Result<std::vector<int64_t>> statistics() const {
    std::vector<int64_t> values(LARDER_STATISTIC_WAIT_US + 1);
    return detail::answered(
        [&](auto error) {
          return larder_session_statistics(get(), values.data(), values.size(), error);
        },
        [&] { return std::move(values); });
  }
  larder_session* get() const noexcept { return session_.get(); }

 private:
  Session(larder_session* session, std::shared_ptr<detail::Callbacks> callbacks)
      : callbacks_(std::move(callbacks)), session_(session) {}

  template <class Call>
  Result<> called(Call&& call) {
    auto result = detail::done(std::forward<Call>(call));
    detail::rethrow();
    return result;
  }
  template <class Call>
  Result<Answer> answer(const OnText& on_text, Call&& call) {
    // Called as what it is, a const function.
    void* const user = const_cast<OnText*>(&on_text);
    larder_answer* made = nullptr;
    auto result = detail::answered(
        [&](auto error) { return call(on_text ? detail::call_text : nullptr, user, &made, error); },
        [&] { return Answer(made); });
    detail::rethrow();
    return result;
  }

  std::shared_ptr<detail::Callbacks> callbacks_;  // outlives the session
  detail::Handle<larder_session, larder_session_close> session_;
};

// For loops of one's own.
class Sampler {
 public:
  static Result<Sampler> make(const Model& model, const Options* options = nullptr) {
    larder_sampler* made = nullptr;
    return detail::answered(
        [&](auto error) {
          return larder_sampler_new(model.get(), options ? options->get() : nullptr, &made, error);
        },
        [&] { return Sampler(made); });
  }
  // A token by the session's logits.
  Result<int32_t> sample(const Session& session) {
    int32_t token = -1;
    return detail::answered(
        [&](auto error) {
          return larder_sampler_sample(get(), session.get(), &token, nullptr, error);
        },
        [&] { return token; });
  }
  larder_sampler* get() const noexcept { return sampler_.get(); }

 private:
  explicit Sampler(larder_sampler* sampler) : sampler_(sampler) {}
  detail::Handle<larder_sampler, larder_sampler_free> sampler_;
};

// Token after token; text comes in whole characters.
class Decoder {
 public:
  static Result<Decoder> make(const Model& model, bool is_at_start = false,
                              bool shows_control = false) {
    larder_decoder* made = nullptr;
    return detail::answered(
        [&](auto error) {
          return larder_decoder_new(model.get(), is_at_start, shows_control, &made, error);
        },
        [&] { return Decoder(made); });
  }
  Result<std::string> push(int32_t token) {
    const char* text = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) { return larder_decoder_push(get(), token, &text, &n, error); },
        [&] { return std::string(text, n); });
  }
  Result<std::string> finish() {
    const char* text = nullptr;
    size_t n = 0;
    return detail::answered(
        [&](auto error) { return larder_decoder_finish(get(), &text, &n, error); },
        [&] { return std::string(text, n); });
  }
  larder_decoder* get() const noexcept { return decoder_.get(); }

 private:
  explicit Decoder(larder_decoder* decoder) : decoder_(decoder) {}
  detail::Handle<larder_decoder, larder_decoder_free> decoder_;
};

}  // namespace v1
}  // namespace larder

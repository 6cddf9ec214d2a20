// larder.h for C++17: objects close themselves, and every call answers a Result.
//
//   auto model = larder::Model::open("model.gguf").value();      // throws larder::Exception
//   if (auto session = larder::Session::open(model)) { ... }     // or asks, and throws nothing
//   else std::cerr << session.error().message;
//
// Without exceptions (-fno-exceptions) there is no value(). What a callback throws comes out of the
// call that it was thrown in. Threads: as larder.h says.
#pragma once

#include <larder.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace larder {
// Part of every name, so that none meets one of the library's own where that is linked statically.
inline namespace v1 {

struct Error {
  larder_status status = LARDER_OK;
  std::string message, cause;
};

class Exception : public std::runtime_error {
 public:
  explicit Exception(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const Error& error() const noexcept { return error_; }
  larder_status status() const noexcept { return error_.status; }

 private:
  Error error_;
};

struct Done {};  // the value of calls that give none

// A value, or why there is none.
template <class T = Done>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  // Only where not ok().
  const Error& error() const noexcept { return *std::get_if<1>(&state_); }
  larder_status status() const noexcept { return ok() ? LARDER_OK : error().status; }
  // Only where ok().
  T& operator*() noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const noexcept { return *std::get_if<0>(&state_); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }
#ifdef __cpp_exceptions
  T& value() & {
    if (!ok()) throw Exception(error());
    return **this;
  }
  T value() && {
    if (!ok()) throw Exception(error());
    return std::move(**this);
  }
#endif

 private:
  std::variant<T, Error> state_;
};

using Tokens = std::vector<int32_t>;
using Progress = std::function<larder_flow(uint64_t done, uint64_t total)>;
using Log = std::function<void(int32_t level, std::string_view text)>;
using OnText = std::function<larder_flow(int32_t part, std::string_view text)>;

namespace detail {

// An error that is on its way out of C.
class Failure {
 public:
  Failure() = default;
  Failure(const Failure&) = delete;
  Failure& operator=(const Failure&) = delete;
  ~Failure() { larder_error_free(error_); }
  larder_error** out() noexcept { return &error_; }
  Error take() const {
    return {larder_error_status(error_), larder_error_message(error_), larder_error_cause(error_)};
  }

 private:
  larder_error* error_ = nullptr;
};

// What a callback threw, kept until the call that called it is over.
class Thrown {
 public:
  template <class F>
  auto guard(F&& f) noexcept -> decltype(f()) {
#ifdef __cpp_exceptions
    try {
      return f();
    } catch (...) {
      what_ = std::current_exception();
    }
    if constexpr (!std::is_void_v<decltype(f())>) return LARDER_CANCEL;
#else
    return f();
#endif
  }
  void rethrow() {
#ifdef __cpp_exceptions
    if (what_) std::rethrow_exception(std::exchange(what_, nullptr));
#endif
  }

 private:
  std::exception_ptr what_;
};

struct Callbacks {
  Progress progress;
  Log log;
  Thrown thrown;
};

inline larder_flow call_progress(void* user, uint64_t done, uint64_t total) {
  auto& callbacks = *static_cast<Callbacks*>(user);
  return callbacks.thrown.guard([&] { return callbacks.progress(done, total); });
}
inline void call_log(void* user, int32_t level, const char* text, size_t n_bytes) {
  auto& callbacks = *static_cast<Callbacks*>(user);
  callbacks.thrown.guard([&] { callbacks.log(level, std::string_view(text, n_bytes)); });
}

struct TextCall {
  const OnText& on_text;
  Thrown thrown;
};
inline larder_flow call_text(void* user, int32_t part, const char* text, size_t n_bytes) {
  auto& call = *static_cast<TextCall*>(user);
  return call.thrown.guard([&] { return call.on_text(part, std::string_view(text, n_bytes)); });
}

template <auto kClose>
struct Closer {
  template <class T>
  void operator()(T* object) const noexcept {
    kClose(object);
  }
};
template <class T, auto kClose>
using Handle = std::unique_ptr<T, Closer<kClose>>;

using Memory = Handle<void, larder_free>;

inline Tokens take_ids(int32_t* ids, size_t n) {
  const Memory memory(ids);
  return Tokens(ids, ids + n);
}
inline std::string take_text(char* text, size_t n) {
  const Memory memory(text);
  return std::string(text, n);
}

// call(error) is a function of larder.h with all its other arguments; make() what it gives.
template <class Call, class Make>
auto answered(Call&& call, Make&& make) -> Result<decltype(make())> {
  Failure failure;
  if (call(failure.out()) != LARDER_OK) return failure.take();
  return make();
}
template <class Call>
Result<> done(Call&& call) {
  return answered(std::forward<Call>(call), [] { return Done{}; });
}

}  // namespace detail

class Options {
 public:
  static Result<Options> make() {
    larder_options* made = nullptr;
    return detail::answered([&](auto error) { return larder_options_new(&made, error); },
                            [&] { return Options(made); });
  }
  Result<> set(larder_option option, int64_t value) {
    return detail::done(
        [&](auto error) { return larder_options_set_integer(get(), option, value, error); });
  }
  Result<> set(larder_option option, int value) { return set(option, int64_t{value}); }
  Result<> set(larder_option option, double value) {
    return detail::done(
        [&](auto error) { return larder_options_set_real(get(), option, value, error); });
  }
  Result<> set(larder_option option, std::string_view text) {
    return detail::done([&](auto error) {
      return larder_options_set_text(get(), option, text.data(), text.size(), error);
    });
  }
  // What is opened with these options keeps the functions.
  Result<> on_progress(Progress progress) {
    callbacks_->progress = std::move(progress);
    const auto call = callbacks_->progress ? detail::call_progress : nullptr;
    return detail::done([&](auto error) {
      return larder_options_set_progress(get(), call, callbacks_.get(), error);
    });
  }
  Result<> on_log(Log log) {
    callbacks_->log = std::move(log);
    const auto call = callbacks_->log ? detail::call_log : nullptr;
    return detail::done(
        [&](auto error) { return larder_options_set_log(get(), call, callbacks_.get(), error); });
  }
  larder_options* get() const noexcept { return options_.get(); }
  const std::shared_ptr<detail::Callbacks>& callbacks() const noexcept { return callbacks_; }

 private:
  explicit Options(larder_options* options)
      : options_(options), callbacks_(std::make_shared<detail::Callbacks>()) {}
  detail::Handle<larder_options, larder_options_free> options_;
  std::shared_ptr<detail::Callbacks> callbacks_;
};

class Answer {
 public:
  explicit Answer(larder_answer* answer) : answer_(answer) {}
  std::string_view text(int32_t part = LARDER_PART_ANSWER) const {
    const char* text = nullptr;
    size_t n = 0;
    larder_answer_text(get(), part, &text, &n, nullptr);
    return {text, n};
  }
  int64_t number(int32_t which) const {
    int64_t value = 0;
    larder_answer_number(get(), which, &value, nullptr);
    return value;
  }
  Tokens tokens() const {
    const int32_t* ids = nullptr;
    size_t n = 0;
    larder_answer_tokens(get(), &ids, nullptr, &n, nullptr);
    return Tokens(ids, ids + n);
  }
  std::vector<float> logprobs() const {
    const float* logprobs = nullptr;
    size_t n = 0;
    larder_answer_tokens(get(), nullptr, &logprobs, &n, nullptr);
    return std::vector<float>(logprobs, logprobs + n);
  }
  larder_answer* get() const noexcept { return answer_.get(); }

 private:
  detail::Handle<larder_answer, larder_answer_free> answer_;
};

class Messages {
 public:
  static Result<Messages> make() {
    larder_messages* made = nullptr;
    return detail::answered([&](auto error) { return larder_messages_new(&made, error); },
                            [&] { return Messages(made); });
  }
  Result<> add(std::string_view role, std::string_view content) {
    return detail::done([&](auto error) {
      return larder_messages_add(get(), role.data(), role.size(), content.data(), content.size(),
                                 error);
    });
  }
  Result<> add(const Answer& answer) {
    return detail::done(
        [&](auto error) { return larder_messages_add_answer(get(), answer.get(), error); });
  }
  size_t size() const {
    size_t n = 0;
    larder_messages_count(get(), &n, nullptr);
    return n;
  }
  Result<> truncate(size_t n) {
    return detail::done([&](auto error) { return larder_messages_truncate(get(), n, error); });
  }
  larder_messages* get() const noexcept { return messages_.get(); }

 private:
  explicit Messages(larder_messages* messages) : messages_(messages) {}
  detail::Handle<larder_messages, larder_messages_free> messages_;
};

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
    if (options) options->callbacks()->thrown.rethrow();
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
    if (callbacks) callbacks->thrown.rethrow();
    return opened;
  }
  // From every thread, while the session is open.
  void cancel() const noexcept { larder_session_cancel(get()); }

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
    return detail::answered([&](auto error) { return larder_session_copy(get(), &made, error); },
                            [&] { return Session(made, callbacks_); });
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
    if (callbacks_) callbacks_->thrown.rethrow();
    return result;
  }
  template <class Call>
  Result<Answer> answer(const OnText& on_text, Call&& call) {
    detail::TextCall text{on_text, {}};
    larder_answer* made = nullptr;
    auto result = detail::answered(
        [&](auto error) {
          return call(on_text ? detail::call_text : nullptr, &text, &made, error);
        },
        [&] { return Answer(made); });
    text.thrown.rethrow();
    if (callbacks_) callbacks_->thrown.rethrow();
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

// Options, messages and answers of larder.hpp.
#pragma once

#include <larder.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <larder_result.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace larder {
inline namespace v1 {

using Tokens = std::vector<int32_t>;
using Progress = std::function<larder_flow(uint64_t done, uint64_t total)>;
using Log = std::function<void(int32_t level, std::string_view text)>;
using OnText = std::function<larder_flow(int32_t part, std::string_view text)>;

namespace detail {

#ifdef __cpp_exceptions
// What a callback threw. It runs on the thread of the call that it is called by.
inline std::exception_ptr& thrown() {
  thread_local std::exception_ptr what;
  return what;
}
#endif

// Nothing that is thrown passes through C.
template <class F>
auto guarded(F&& f) noexcept -> decltype(f()) {
#ifdef __cpp_exceptions
  try {
    return f();
  } catch (...) {
    thrown() = std::current_exception();
  }
  if constexpr (!std::is_void_v<decltype(f())>) return LARDER_CANCEL;
#else
  return f();
#endif
}
// Behind every call that may have called back.
inline void rethrow() {
#ifdef __cpp_exceptions
  if (thrown()) std::rethrow_exception(std::exchange(thrown(), nullptr));
#endif
}

struct Callbacks {
  Progress progress;
  Log log;
};

inline larder_flow call_progress(void* user, uint64_t done, uint64_t total) {
  return guarded([&] { return static_cast<Callbacks*>(user)->progress(done, total); });
}
inline void call_log(void* user, int32_t level, const char* text, size_t n_bytes) {
  guarded([&] { static_cast<Callbacks*>(user)->log(level, std::string_view(text, n_bytes)); });
}
inline larder_flow call_text(void* user, int32_t part, const char* text, size_t n_bytes) {
  return guarded(
      [&] { return (*static_cast<const OnText*>(user))(part, std::string_view(text, n_bytes)); });
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
  Result<> on_progress(Progress progress) { return keep({std::move(progress), callbacks_->log}); }
  Result<> on_log(Log log) { return keep({callbacks_->progress, std::move(log)}); }
  larder_options* get() const noexcept { return options_.get(); }
  const std::shared_ptr<detail::Callbacks>& callbacks() const noexcept { return callbacks_; }

 private:
  explicit Options(larder_options* options)
      : options_(options), callbacks_(std::make_shared<detail::Callbacks>()) {}
  // Sessions that are open go on with those they know.
  Result<> keep(detail::Callbacks callbacks) {
    auto kept = std::make_shared<detail::Callbacks>(std::move(callbacks));
    auto result = detail::done([&](auto error) {
      return larder_options_set_progress(get(), kept->progress ? detail::call_progress : nullptr,
                                         kept.get(), error);
    });
    if (!result) return result;
    callbacks_ = std::move(kept);
    return detail::done([&](auto error) {
      return larder_options_set_log(get(), callbacks_->log ? detail::call_log : nullptr,
                                    callbacks_.get(), error);
    });
  }
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
  Result<> add_json(std::string_view json) {
    return detail::done([&](auto error) {
      return larder_messages_add_json(get(), json.data(), json.size(), error);
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

}  // namespace v1
}  // namespace larder

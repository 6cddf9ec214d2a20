// What calls of larder.hpp answer: a value, or an Error; thrown as an Exception where that is asked
// for. Without exceptions (-fno-exceptions) there is no value().
#pragma once

#include <larder.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

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
}  // namespace v1
}  // namespace larder

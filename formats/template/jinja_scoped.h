// Puts a value in a place for the length of a block.
#pragma once

#include <utility>

namespace larder::formats::jinja {

template <class T>
class Replaced {
 public:
  template <class U>
  Replaced(T& place, U&& value)
      : place_(place), saved_(std::exchange(place, T(std::forward<U>(value)))) {}
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;
  ~Replaced() { place_ = std::move(saved_); }

 private:
  T& place_;
  T saved_;
};

template <class T, class U>
Replaced(T&, U&&) -> Replaced<T>;

}  // namespace larder::formats::jinja

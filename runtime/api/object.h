// What stands behind the pointers of the C library.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "runtime/api/outcome.h"

namespace larder::runtime {

// Arbitrary, and nothing that memory holds by accident.
enum class Kind : uint32_t {
  closed = 0xdeadc105,
  options = 0x1a9de501,
  model,
  session,
  messages,
  answer,
  sampler,
  decoder,
  batch
};

// Its kind first, so that no other object is taken for it, and none that is closed.
template <class C, Kind kKind>
class Object {
 public:
  template <class... Args>
  explicit Object(std::in_place_t, Args&&... args)
      : contents_(std::in_place, std::forward<Args>(args)...) {}

  bool is_open() const noexcept { return kind_.load(std::memory_order_relaxed) == kKind; }
  // REQUIRES: is_open()
  C& operator*() noexcept { return *contents_; }
  const C& operator*() const noexcept { return *contents_; }
  C* operator->() noexcept { return &*contents_; }
  const C* operator->() const noexcept { return &*contents_; }

  // One call at a time.
  bool enter() const noexcept { return !is_busy_.exchange(true, std::memory_order_acquire); }
  void leave() const noexcept { is_busy_.store(false, std::memory_order_release); }

  // Ends the object. In debug builds the shell stays, a few words, so that later use is found.
  template <class T>
  static void close(T* object) noexcept {
    object->kind_.store(Kind::closed, std::memory_order_relaxed);
    object->contents_.reset();
#ifdef NDEBUG
    delete object;
#endif
  }

 private:
  std::atomic<Kind> kind_{kKind};
  mutable std::atomic<bool> is_busy_{false};
  std::optional<C> contents_;
};

// Whether it can be used.
template <class T>
Outcome check(const T* object) noexcept {
  if (object == nullptr) return invalid("a null pointer where an object is needed");
  if (!object->is_open()) return {LARDER_CLOSED, "closed already, or no object of this kind"};
  return {};
}

// Uses an object alone, to the end of a scope.
template <class T>
class Lease {
 public:
  explicit Lease(T* object) noexcept : object_(object), outcome_(check(object)) {
    if (!outcome_.ok()) return;
    has_entered_ = object->enter();
    if (!has_entered_) outcome_ = {LARDER_BUSY, "another call uses this object"};
  }
  ~Lease() {
    if (has_entered_) object_->leave();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const Outcome& outcome() const noexcept { return outcome_; }
  auto& operator*() const noexcept { return **object_; }
  auto* operator->() const noexcept { return &**object_; }

 private:
  T* object_;
  bool has_entered_ = false;
  Outcome outcome_;
};

// As guarded(), with an object that body(its contents) uses alone.
template <class T, class Body>
larder_status leased(larder_error** error, const Outcome& arguments, T* object,
                     Body&& body) noexcept {
  return guarded(error, arguments, [&]() -> Outcome {
    const Lease lease(object);
    if (!lease.outcome().ok()) return lease.outcome();
    return std::forward<Body>(body)(*lease);
  });
}

// Ends an object, unless a call uses it.
template <class T>
larder_status close_unused(T* object) noexcept {
  if (object == nullptr) return LARDER_OK;
  const Outcome is_open = check(object);
  if (!is_open.ok()) return is_open.status();
  if (!object->enter()) return LARDER_BUSY;
  object->close(object);
  return LARDER_OK;
}

// Ends an object that nobody uses; null, and what is closed already, is left alone.
template <class T>
void close_quietly(T* object) noexcept {
  if (check(object).ok()) object->close(object);
}

}  // namespace larder::runtime

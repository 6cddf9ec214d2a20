// Reference counting for the values of one render: one thread, so plain counters.
#pragma once

#include <cstdint>
#include <utility>

#include "formats/template/jinja_budget.h"

namespace larder::formats::jinja {

// invariant: counts itself against `meter` (may be null: memory that the variables hold already).
class Object {
 public:
  explicit Object(Meter* meter = nullptr, uint64_t n_bytes = 0) : meter_(meter) { charge(n_bytes); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (meter_ != nullptr) meter_->release(charged_);
  }

  void retain() const noexcept { ++n_refs_; }
  bool is_shared() const noexcept { return n_refs_ > 1; }
  void release() const noexcept {
    if (--n_refs_ == 0) const_cast<Object*>(this)->dispose();
  }

 protected:
  void charge(uint64_t n_bytes) {
    if (meter_ == nullptr) return;
    meter_->charge(n_bytes);
    charged_ += n_bytes;
  }
  Meter* meter() const noexcept { return meter_; }

 private:
  virtual void dispose() noexcept { delete this; }

  Meter* meter_;
  uint64_t charged_ = 0;
  mutable uint32_t n_refs_ = 0;
};

template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  explicit Ref(T* object) noexcept : object_(object) {
    if (object_ != nullptr) object_->retain();
  }
  Ref(const Ref& other) noexcept : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
  Ref(const Ref<U>& other) noexcept : Ref(other.get()) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr) object_->release();
  }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

template <class T, class... Arguments>
Ref<T> make_ref(Arguments&&... arguments) {
  return Ref<T>(new T(std::forward<Arguments>(arguments)...));
}

// Objects that can reach themselves (a namespace holding itself, a macro in the scope it closes
// over). The registry empties those that survive a render, and frees long chains without recursion.
class Cyclic;
class CyclicRegistry {
 public:
  CyclicRegistry() = default;
  CyclicRegistry(const CyclicRegistry&) = delete;
  CyclicRegistry& operator=(const CyclicRegistry&) = delete;
  ~CyclicRegistry() { break_cycles(); }
  void break_cycles() noexcept;

 private:
  friend class Cyclic;
  Cyclic* live_ = nullptr;
  Cyclic* dead_ = nullptr;
  bool is_draining_ = false;
};

class Cyclic : public Object {
 public:
  Cyclic(CyclicRegistry& registry, Meter* meter, uint64_t n_bytes);
  ~Cyclic() override { unlink(registry_.live_); }
  virtual void clear() noexcept = 0;  // drops every reference to other objects

 private:
  friend class CyclicRegistry;
  void dispose() noexcept final;
  void unlink(Cyclic*& list) noexcept;
  void link(Cyclic*& list) noexcept;

  CyclicRegistry& registry_;
  Cyclic* previous_ = nullptr;
  Cyclic* next_ = nullptr;
};

}  // namespace larder::formats::jinja

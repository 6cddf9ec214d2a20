// What a render may spend, and how the interpreter's inside reports failure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "formats/status.h"
#include "formats/template/chat_template.h"

namespace larder::formats::jinja {

// The room's only exception; ChatTemplate turns it into a Status. line 0: the evaluator knows it.
struct Failure {
  Cause cause;
  std::string message;
  uint32_t line = 0;
};

template <class... Parts>
std::string joined(const Parts&... parts) {
  std::string text;
  (text.append(std::string_view(parts)), ...);
  return text;
}

[[noreturn]] inline void fail(std::string message) {
  throw Failure{Cause::template_error, std::move(message)};
}
[[noreturn]] inline void fail_limit(std::string message) {
  throw Failure{Cause::template_limit, std::move(message)};
}

// Something that is counted against a limit and may be given back.
class Meter {
 public:
  Meter(const char* what, uint64_t limit) : what_(what), limit_(limit) {}

  void charge(uint64_t n) {
    if (n > limit_ - used_) exceeded();
    used_ += n;
  }
  void release(uint64_t n) noexcept { used_ -= n; }
  uint64_t left() const noexcept { return limit_ - used_; }

 private:
  [[noreturn]] void exceeded() const {
    fail_limit("more than " + std::to_string(limit_) + " " + what_);
  }

  const char* what_;
  uint64_t limit_;
  uint64_t used_ = 0;  // invariant: <= limit_
};

// invariant: outlives every object that is charged to it.
struct Budget {
  Budget(const TemplateLimits& limits, uint64_t variable_bytes)
      : depth(limits.depth),
        range(limits.range),
        steps("steps", limits.steps),
        heap("bytes of strings and lists", limits.heap_bytes + variable_bytes),
        output("bytes of output", limits.output_bytes) {}

  // One step covers about 64 bytes of string work or 8 list items: the cost of an expression node.
  void step(uint64_t n = 1) { steps.charge(n); }
  void step_bytes(uint64_t n) { steps.charge(n / 64); }
  void step_items(uint64_t n) { steps.charge(n / 8); }

  int depth;
  int64_t range;
  Meter steps, heap, output;
};

}  // namespace larder::formats::jinja

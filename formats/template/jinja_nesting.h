// A counter of nested calls, so that recursion stops at a limit before the stack does.
#pragma once

#include <cstdint>
#include <string>

#include "formats/template/jinja_budget.h"

namespace larder::formats::jinja {

class Nesting {
 public:
  Nesting(int& depth, int limit, uint32_t line = 0) : depth_(depth) {
    if (depth_ >= limit) {
      throw Failure{Cause::template_limit, "nested deeper than " + std::to_string(limit), line};
    }
    ++depth_;
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() { --depth_; }

 private:
  int& depth_;
};

}  // namespace larder::formats::jinja

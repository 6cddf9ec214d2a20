// Chat templates: the Jinja that real model files carry, rendered inside stated limits.
//
// Semantics are those of Jinja2 as Hugging Face transformers sets it up (trim_blocks,
// lstrip_blocks, loop controls, tojson without HTML escaping, raise_exception, strftime_now).
// A template that cannot be parsed or rendered is an error that says line and reason; there is no
// fallback to another format. No file system, no clock but the caller's, no recursion that the
// limits do not bound.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "formats/status.h"
#include "formats/template/value.h"
#include "formats/text/marked_text.h"

namespace larder::formats {

// Defaults: reliability goals for templates from strangers.
struct TemplateLimits {
  uint64_t source_bytes = 1 << 20;
  int depth = 200;  // nesting of expressions, blocks, macro calls, values
  uint64_t steps = 10'000'000;
  // Of strings and lists alive at once, on top of the size of the variables: a render may hold one
  // copy of its conversation however long that is.
  uint64_t heap_bytes = 16 << 20;
  uint64_t output_bytes = 16 << 20;
  int64_t range = 1'000'000;
};

class ChatTemplate {
 public:
  // Errors: `template_syntax` (subject "chat template line 12"), `template_limit`, `utf8`.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string_view source,
                                                           const TemplateLimits& limits = {});
  ~ChatTemplate();

  // variables: a dict ({"messages": [...], "add_generation_prompt": true, "bos_token": ...}).
  // Strings below "messages", "tools" and "documents" are inputs (somebody's words) and stay marked
  // through every filter that keeps their characters. `now`: what strftime_now sees, in the
  // caller's time zone. Each render starts from a fresh context.
  // Errors: `template_error` (raise_exception's message, or what failed and its line),
  // `template_limit`.
  Result<MarkedText> render(const DataValue& variables, const std::tm& now) const;

  const std::string& source() const noexcept;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace larder::formats

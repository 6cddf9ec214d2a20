#include "formats/template/chat_template.h"

#include <new>
#include <utility>

#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_lexer.h"
#include "formats/template/jinja_parser.h"
#include "formats/text/unicode.h"

namespace larder::formats {

struct ChatTemplate::Impl {
  std::string source;      // as given
  std::string normalized;  // what the Ast's texts point into
  TemplateLimits limits;
  jinja::Ast ast;
};

namespace {

// One line, and no control characters for a terminal to obey.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  return text;
}

Status to_status(const jinja::Failure& failure, uint32_t line) {
  if (failure.line != 0) line = failure.line;
  return Status(failure.cause, printable(failure.message),
                "chat template line " + std::to_string(line));
}

Status out_of_memory() { return Status(Cause::out_of_memory, "no memory for the chat template"); }

size_t first_malformed_byte(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const DecodedChar c = decode_utf8(text, at);
    if (c.code_point >= kMalformedByte) break;
    at += c.n_bytes;
  }
  return at;
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string_view source,
                                                                const TemplateLimits& limits) {
  if (source.size() > limits.source_bytes) {
    return Status(Cause::template_limit,
                  "the template has " + std::to_string(source.size()) + " bytes, the limit is " +
                      std::to_string(limits.source_bytes),
                  "chat template");
  }
  const size_t malformed = first_malformed_byte(source);
  if (malformed < source.size()) {
    return Status(Cause::utf8, "the template is not UTF-8", "chat template", malformed);
  }
  try {
    auto impl = std::make_unique<Impl>();
    impl->source = source;
    impl->normalized = jinja::normalize_newlines(source);
    impl->limits = limits;
    impl->ast = jinja::Parser(impl->normalized, limits.depth).parse();
    return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
  } catch (const jinja::Failure& failure) {
    return to_status(failure, 1);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  }
}

Result<MarkedText> ChatTemplate::render(const DataValue& variables, const std::tm& now) const {
  if (variables.kind != DataValue::Kind::dict) {
    return Status(Cause::invalid_argument, "the variables of a chat template must be a dict");
  }
  uint32_t line = 1;
  try {
    jinja::Evaluator evaluator(impl_->ast, impl_->limits, variables, now);
    try {
      return evaluator.run();
    } catch (...) {
      line = evaluator.line();
      throw;
    }
  } catch (const jinja::Failure& failure) {
    return to_status(failure, line);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  }
}

const std::string& ChatTemplate::source() const noexcept { return impl_->source; }

}  // namespace larder::formats

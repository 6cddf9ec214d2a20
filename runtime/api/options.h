// What callers have set, by the numbers of larder.h, and what it means to sessions and samplers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/gguf_reader.h"
#include "runtime/api/object.h"
#include "runtime/experts/dense_weights.h"
#include "runtime/session/chat.h"
#include "runtime/session/engine.h"
#include "runtime/session/session.h"

namespace larder::runtime {

// Functions of the caller's, with what they are called with.
struct ProgressCallback {
  larder_progress_fn call = nullptr;
  void* user = nullptr;

  bool operator()(uint64_t done, uint64_t total) const {
    return call == nullptr || call(user, done, total) == LARDER_CONTINUE;
  }
  // Both are empty where nobody wants to be told.
  LoadProgress of_bytes() const;
  Progress of_tokens() const;
};

struct LogCallback {
  larder_log_fn call = nullptr;
  void* user = nullptr;

  void operator()(int32_t level, std::string_view text) const {
    if (call != nullptr) call(user, level, text.data(), text.size());
  }
};

class OptionValues {
 public:
  // Errors: `invalid_argument` for a number that names no such option, and values out of range
  // where they are known without a model.
  Outcome set(larder_option option, int64_t value);
  Outcome set(larder_option option, double value);
  Outcome set(larder_option option, std::string_view text);

  SessionOptions session() const;
  EngineOptions engine() const;
  GenerationOptions generation() const;
  // The file's own, under what was set.
  Result<SamplerOptions> sampler(const formats::GgufFile& file) const;
  Result<ChatOptions> chat(const formats::GgufFile& file) const;
  // The template that was set; null: none was.
  Result<std::shared_ptr<const formats::ChatTemplate>> chat_template() const;
  std::string_view thinking() const { return text(LARDER_OPTION_THINKING); }
  // Of the template; a dict, or null for none.
  const formats::DataValue& variables() const noexcept { return variables_; }

  ProgressCallback progress;
  LogCallback log;

 private:
  Outcome set_json(larder_option option, std::string_view text);
  int64_t integer(larder_option option, int64_t unset) const;
  std::string_view text(larder_option option) const;  // empty: not set

  std::map<larder_option, int64_t> integers_;
  std::map<larder_option, double> reals_;
  std::map<larder_option, std::string> texts_;
  std::vector<std::string> stops_;
  formats::DataValue variables_;
};

}  // namespace larder::runtime

struct larder_options
    : larder::runtime::Object<larder::runtime::OptionValues, larder::runtime::Kind::options> {
  using Object::Object;
};

namespace larder::runtime {

// The options that were handed over, or the defaults for null.
class OptionsArgument {
 public:
  explicit OptionsArgument(const larder_options* options) noexcept : options_(options) {}

  Outcome check() const noexcept {
    return options_ == nullptr ? Outcome() : runtime::check(options_);
  }
  // REQUIRES: check() is ok.
  const OptionValues& operator*() const noexcept {
    return options_ == nullptr ? defaults_ : **options_;
  }
  const OptionValues* operator->() const noexcept { return &**this; }

 private:
  const larder_options* options_;
  OptionValues defaults_;
};

}  // namespace larder::runtime

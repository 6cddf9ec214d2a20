#include <cmath>
#include <new>
#include <string>
#include <string_view>

#include "runtime/session/sampler.h"

namespace larder::runtime {
namespace {

Status out_of_range(std::string_view name, const std::string& range) {
  return Status(Cause::invalid_argument, "must be " + range, "option " + std::string(name));
}

Status check_fraction(std::string_view name, float value) {
  if (value >= 0 && value <= 1) return {};
  return out_of_range(name, "between 0 and 1");
}

Status check_penalty(std::string_view name, float value) {
  if (std::isfinite(value)) return {};
  return out_of_range(name, "finite");
}

// Reads `key` into `value` if the file has it; a whole number is a number too.
Status read(const formats::GgufFile& file, std::string_view key, float& value) {
  if (file.find(key) == nullptr) return {};
  const Result<double> number = file.real(key);
  if (number) {
    value = static_cast<float>(*number);
    return {};
  }
  const Result<int64_t> whole = file.integer(key);
  if (!whole) return number.status();
  value = static_cast<float>(*whole);
  return {};
}

Status read(const formats::GgufFile& file, std::string_view key, int32_t& value) {
  if (file.find(key) == nullptr) return {};
  const Result<int64_t> number = file.integer(key);
  if (!number) return number.status();
  if (*number < INT32_MIN || *number > INT32_MAX) {
    return Status(Cause::hyper_parameter, "does not fit 32 bits", "key " + std::string(key));
  }
  value = static_cast<int32_t>(*number);
  return {};
}

}  // namespace

Status check(const SamplerOptions& options) try {
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    return out_of_range("temp", "finite and not negative");
  }
  if (options.top_k < 0) return out_of_range("top-k", "0 (off) or more");
  if (Status s = check_fraction("top-p", options.top_p); !s.ok()) return s;
  if (Status s = check_fraction("min-p", options.min_p); !s.ok()) return s;
  if (Status s = check_fraction("typical", options.typical_p); !s.ok()) return s;
  if (!std::isfinite(options.repeat_penalty) || options.repeat_penalty <= 0) {
    return out_of_range("repeat-penalty", "finite and above 0");
  }
  if (options.repeat_last_n < -1) return out_of_range("repeat-last-n", "-1 or more");
  if (Status s = check_penalty("presence-penalty", options.presence_penalty); !s.ok()) return s;
  return check_penalty("frequency-penalty", options.frequency_penalty);
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

Result<SamplerOptions> sampler_options_from(const formats::GgufFile& file) try {
  SamplerOptions options;
  // Source: GGUF's general.sampling.* keys, 2026-08.
  for (const auto& [key, value] :
       {std::pair{"general.sampling.temp", &options.temperature},
        std::pair{"general.sampling.top_p", &options.top_p},
        std::pair{"general.sampling.min_p", &options.min_p},
        std::pair{"general.sampling.penalty_repeat", &options.repeat_penalty}}) {
    if (Status s = read(file, key, *value); !s.ok()) return s.with_file(file.path());
  }
  for (const auto& [key, value] :
       {std::pair{"general.sampling.top_k", &options.top_k},
        std::pair{"general.sampling.penalty_last_n", &options.repeat_last_n}}) {
    if (Status s = read(file, key, *value); !s.ok()) return s.with_file(file.path());
  }
  // Files write -1 and 0 alike for "all tokens".
  if (options.top_k == -1) options.top_k = 0;
  if (const Status s = check(options); !s.ok()) {
    return Status(Cause::hyper_parameter, s.detail().message,
                  "keys general.sampling.*, " + s.detail().subject)
        .with_file(file.path());
  }
  return options;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory();
}

}  // namespace larder::runtime

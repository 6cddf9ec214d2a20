#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "formats/json/json.h"
#include "runtime/api/options.h"

namespace larder::runtime {
namespace {

using formats::DataValue;

struct IntegerRow {
  larder_option option;
  int64_t least, most;
};
constexpr int64_t kMost = INT32_MAX;
// Ranges that depend on more are checked where the value is used.
constexpr IntegerRow kIntegers[] = {
    {LARDER_OPTION_CONTEXT_SIZE, 0, kMost},   {LARDER_OPTION_EXACT, 0, 1},
    {LARDER_OPTION_THREADS, 0, kMost},        {LARDER_OPTION_BATCH_SIZE, 1, kMost},
    {LARDER_OPTION_RAM_BYTES, -1, INT64_MAX}, {LARDER_OPTION_SEED, INT64_MIN, INT64_MAX},
    {LARDER_OPTION_TOP_K, 0, kMost},          {LARDER_OPTION_REPEAT_LAST_N, -1, kMost},
    {LARDER_OPTION_MAX_TOKENS, -1, kMost},    {LARDER_OPTION_IGNORE_END, 0, 1},
    {LARDER_OPTION_SHOW_CONTROL, 0, 1},
};

struct RealRow {
  larder_option option;
  float SamplerOptions::*member;
};
constexpr RealRow kReals[] = {
    {LARDER_OPTION_TEMPERATURE, &SamplerOptions::temperature},
    {LARDER_OPTION_TOP_P, &SamplerOptions::top_p},
    {LARDER_OPTION_MIN_P, &SamplerOptions::min_p},
    {LARDER_OPTION_TYPICAL_P, &SamplerOptions::typical_p},
    {LARDER_OPTION_REPEAT_PENALTY, &SamplerOptions::repeat_penalty},
    {LARDER_OPTION_PRESENCE_PENALTY, &SamplerOptions::presence_penalty},
    {LARDER_OPTION_FREQUENCY_PENALTY, &SamplerOptions::frequency_penalty},
};

constexpr larder_option kTexts[] = {
    LARDER_OPTION_CACHE_TYPE_K,   LARDER_OPTION_CACHE_TYPE_V, LARDER_OPTION_ISA,
    LARDER_OPTION_PROFILE_FOLDER, LARDER_OPTION_STOP,         LARDER_OPTION_THINKING,
    LARDER_OPTION_TEMPLATE,       LARDER_OPTION_TOOLS,        LARDER_OPTION_VARIABLES,
};

std::optional<CacheType> cache_type(std::string_view name) {
  if (name == "f16") return CacheType::f16;
  if (name == "f32") return CacheType::f32;
  if (name == "q8_0") return CacheType::q8_0;
  return std::nullopt;
}

bool is_cache_type(larder_option option) noexcept {
  return option == LARDER_OPTION_CACHE_TYPE_K || option == LARDER_OPTION_CACHE_TYPE_V;
}

Outcome unknown(larder_option option, const char* kind) {
  return Status(Cause::invalid_argument, std::string("there is no such option of ") + kind,
                "option " + std::to_string(option));
}

}  // namespace

LoadProgress ProgressCallback::of_bytes() const {
  if (call == nullptr) return {};
  return [self = *this](uint64_t done, uint64_t total) { return self(done, total); };
}

Progress ProgressCallback::of_tokens() const {
  if (call == nullptr) return {};
  return [self = *this](int32_t done, int32_t total) {
    return self(static_cast<uint64_t>(done), static_cast<uint64_t>(total));
  };
}

Outcome OptionValues::set(larder_option option, int64_t value) {
  for (const IntegerRow& row : kIntegers) {
    if (row.option != option) continue;
    if (value < row.least || value > row.most)
      return Status(Cause::invalid_argument,
                    std::to_string(value) + " is out of range: " + std::to_string(row.least) +
                        " to " + std::to_string(row.most),
                    "option " + std::to_string(option));
    integers_[option] = value;
    return {};
  }
  return unknown(option, "integers");
}

Outcome OptionValues::set(larder_option option, double value) {
  for (const RealRow& row : kReals) {
    if (row.option != option) continue;
    if (!std::isfinite(value) || std::abs(value) > std::numeric_limits<float>::max())
      return Status(Cause::invalid_argument, "the value is not finite",
                    "option " + std::to_string(option));
    SamplerOptions options;
    options.*row.member = static_cast<float>(value);
    if (Status s = check(options); !s.ok()) return s;
    reals_[option] = value;
    return {};
  }
  return unknown(option, "reals");
}

Outcome OptionValues::set(larder_option option, std::string_view text) {
  for (const larder_option known : kTexts) {
    if (known != option) continue;
    if (is_cache_type(option) && !cache_type(text))
      return Status(Cause::invalid_argument, "the types are f16, f32 and q8_0",
                    "cache type " + std::string(text));
    if (option == LARDER_OPTION_TOOLS || option == LARDER_OPTION_VARIABLES)
      return set_json(option, text);
    if (option == LARDER_OPTION_STOP)
      stops_.emplace_back(text);
    else
      texts_[option] = text;
    return {};
  }
  return unknown(option, "texts");
}

// Of several variables of one name the last stands.
Outcome OptionValues::set_json(larder_option option, std::string_view text) {
  Result<DataValue> value = formats::parse_json(text);
  if (!value) return {LARDER_INVALID_ARGUMENT, value.status()};
  const bool are_tools = option == LARDER_OPTION_TOOLS;
  if (value->kind != (are_tools ? DataValue::Kind::list : DataValue::Kind::dict))
    return invalid(are_tools ? "tools are a JSON list" : "variables are a JSON object");
  if (are_tools) value = DataValue::make_dict({{"tools", std::move(*value)}});
  add_variables(*value, variables_.dict);
  variables_ = std::move(*value);
  return {};
}

int64_t OptionValues::integer(larder_option option, int64_t unset) const {
  const auto found = integers_.find(option);
  return found == integers_.end() ? unset : found->second;
}

std::string_view OptionValues::text(larder_option option) const {
  const auto found = texts_.find(option);
  return found == texts_.end() ? std::string_view() : found->second;
}

SessionOptions OptionValues::session() const {
  SessionOptions options;
  options.n_ctx = static_cast<int32_t>(integer(LARDER_OPTION_CONTEXT_SIZE, 0));
  options.exact = integer(LARDER_OPTION_EXACT, 0) != 0;
  options.n_threads = static_cast<int>(integer(LARDER_OPTION_THREADS, 0));
  options.batch_size = static_cast<int32_t>(integer(LARDER_OPTION_BATCH_SIZE, options.batch_size));
  const int64_t ram = integer(LARDER_OPTION_RAM_BYTES, 0);
  options.ram_bytes = ram < 0 ? kUnlimitedRam : static_cast<uint64_t>(ram);
  options.cache_k = cache_type(text(LARDER_OPTION_CACHE_TYPE_K));
  options.cache_v = cache_type(text(LARDER_OPTION_CACHE_TYPE_V));
  options.isa = text(LARDER_OPTION_ISA);
  options.profile_folder = text(LARDER_OPTION_PROFILE_FOLDER);
  return options;
}

GenerationOptions OptionValues::generation() const {
  GenerationOptions options;
  options.max_tokens = static_cast<int32_t>(integer(LARDER_OPTION_MAX_TOKENS, -1));
  options.ignore_end = integer(LARDER_OPTION_IGNORE_END, 0) != 0;
  options.show_control = integer(LARDER_OPTION_SHOW_CONTROL, 0) != 0;
  options.stop = stops_;
  return options;
}

EngineOptions OptionValues::engine() const {
  EngineOptions options;
  options.session = session();
  options.batch_size = static_cast<int32_t>(integer(LARDER_OPTION_BATCH_SIZE, 0));
  return options;
}

Result<SamplerOptions> OptionValues::sampler(const formats::GgufFile& file) const {
  Result<SamplerOptions> options = sampler_options_from(file);
  if (!options) return options;
  options->seed = static_cast<uint64_t>(integer(LARDER_OPTION_SEED, 0));
  options->top_k = static_cast<int32_t>(integer(LARDER_OPTION_TOP_K, options->top_k));
  options->repeat_last_n =
      static_cast<int32_t>(integer(LARDER_OPTION_REPEAT_LAST_N, options->repeat_last_n));
  for (const RealRow& row : kReals)
    if (const auto found = reals_.find(row.option); found != reals_.end())
      (*options).*row.member = static_cast<float>(found->second);
  if (Status s = check(*options); !s.ok()) return s;
  return options;
}

Result<ChatOptions> OptionValues::chat(const formats::GgufFile& file) const {
  Result<SamplerOptions> with = sampler(file);
  if (!with) return with.status();
  ChatOptions options;
  options.sampler = *with;
  options.generation = generation();
  options.thinking = thinking();
  options.variables = variables();
  return options;
}

Result<std::shared_ptr<const formats::ChatTemplate>> OptionValues::chat_template() const {
  const std::string_view source = text(LARDER_OPTION_TEMPLATE);
  if (source.empty()) return std::shared_ptr<const formats::ChatTemplate>();
  return formats::ChatTemplate::parse(source);
}

}  // namespace larder::runtime

#include "runtime/model/arch_keys.h"

#include <cmath>
#include <cstdio>

namespace larder::runtime {
namespace {

std::string spelled(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

ArchKeys::ArchKeys(const formats::GgufFile& file, std::string_view prefix)
    : file_(file), prefix_(std::string(prefix) + ".") {}

bool ArchKeys::has(std::string_view key) const { return file_.find(full(key)) != nullptr; }

void ArchKeys::keep(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void ArchKeys::refuse(std::string_view key, std::string message) {
  const formats::GgufValue* value = file_.find(full(key));
  keep(Status(Cause::hyper_parameter, std::move(message), "key " + full(key),
              value ? value->offset() : kNoOffset));
}

const formats::GgufValue* ArchKeys::find(std::string_view key, bool is_required) {
  const formats::GgufValue* value = file_.find(full(key));
  if (!value && is_required) refuse(key, "required by this architecture and absent");
  return value;
}

bool ArchKeys::in_range(std::string_view key, int64_t value, IntegerRange range) {
  if (value >= range.low && value <= range.high) return true;
  refuse(key, "is " + std::to_string(value) + ", allowed are " + std::to_string(range.low) +
                  " to " + std::to_string(range.high));
  return false;
}

int64_t ArchKeys::integer(std::string_view key, IntegerRange range,
                          std::optional<int64_t> fallback) {
  const formats::GgufValue* value = find(key, !fallback);
  if (!value) return fallback.value_or(range.low);
  const Result<int64_t> number = value->to_integer();
  if (!number) {
    refuse(key, "must be an integer: " + number.status().detail().message);
    return range.low;
  }
  return in_range(key, *number, range) ? *number : range.low;
}

double ArchKeys::real(std::string_view key, RealRange range, std::optional<double> fallback) {
  const formats::GgufValue* value = find(key, !fallback);
  if (!value) return fallback.value_or(range.low);
  const Result<double> number = value->to_float();
  if (!number) {
    refuse(key, "must be a float: " + number.status().detail().message);
    return range.low;
  }
  if (*number >= range.low && *number <= range.high) return *number;  // false for NaN
  refuse(key, "is " + spelled(*number) + ", allowed are " + spelled(range.low) + " to " +
                  spelled(range.high));
  return range.low;
}

bool ArchKeys::boolean(std::string_view key, bool fallback) {
  const formats::GgufValue* value = find(key, false);
  if (!value) return fallback;
  const Result<bool> flag = value->to_bool();
  if (!flag) refuse(key, "must be a bool: " + flag.status().detail().message);
  return flag ? *flag : fallback;
}

std::string_view ArchKeys::string(std::string_view key, std::string_view fallback) {
  const formats::GgufValue* value = find(key, false);
  if (!value) return fallback;
  const Result<std::string_view> text = value->to_string();
  if (!text) refuse(key, "must be a string: " + text.status().detail().message);
  return text ? *text : fallback;
}

std::vector<int32_t> ArchKeys::per_layer(std::string_view key, IntegerRange range, int32_t n_layers,
                                         std::optional<int64_t> fallback) {
  const formats::GgufValue* value = find(key, !fallback);
  if (!value || value->type() != formats::GgufType::array)
    return std::vector<int32_t>(static_cast<size_t>(n_layers),
                                static_cast<int32_t>(integer(key, range, fallback)));

  std::vector<int32_t> out(static_cast<size_t>(n_layers), static_cast<int32_t>(range.low));
  const Result<formats::GgufArray> array = value->to_array();
  if (!array || array->size() != out.size()) {
    refuse(key, "must be one integer, or an array of one a layer (" + std::to_string(n_layers) +
                    "); it has " + std::to_string(array ? array->size() : 0));
    return out;
  }
  const Result<std::vector<int64_t>> numbers = array->to_integers();
  if (!numbers) {
    refuse(key, "must hold integers: " + numbers.status().detail().message);
    return out;
  }
  for (size_t i = 0; i < out.size(); ++i)
    if (in_range(key, (*numbers)[i], range)) out[i] = static_cast<int32_t>((*numbers)[i]);
  return out;
}

bool ArchKeys::is_array(std::string_view key) const {
  const formats::GgufValue* value = file_.find(full(key));
  return value && value->type() == formats::GgufType::array;
}

std::vector<bool> ArchKeys::flags_per_layer(std::string_view key, int32_t n_layers) {
  const auto n = static_cast<size_t>(n_layers);
  const formats::GgufValue* value = find(key, true);
  const Result<formats::GgufArray> array = value->to_array();
  if (!array || array->size() != n) {
    refuse(key, "must be an array of one bool a layer (" + std::to_string(n) + "); it has " +
                    std::to_string(array ? array->size() : 0));
    return std::vector<bool>(n);
  }
  const Result<std::vector<bool>> flags = array->to_bools();
  if (flags) return *flags;
  refuse(key, "must hold bools: " + flags.status().detail().message);
  return std::vector<bool>(n);
}

}  // namespace larder::runtime

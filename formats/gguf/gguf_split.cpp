#include "formats/gguf/gguf_split.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "formats/gguf/printable_name.h"

namespace larder::formats {
namespace {

constexpr std::string_view kCountKey = "split.count";
constexpr std::string_view kNumberKey = "split.no";
constexpr std::string_view kTensorsKey = "split.tensors.count";
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kExtension = ".gguf";
constexpr size_t kDigits = 5;

Status split_error(std::string message, std::string_view key, const GgufValue* value) {
  return Status(Cause::split, std::move(message), key_subject(key),
                value == nullptr ? kNoOffset : value->offset());
}

// Any integer type. Error: `split` if absent or of another kind.
Result<int64_t> split_integer(const GgufMetadata& metadata, std::string_view key) {
  const GgufValue* value = metadata.find(key);
  if (value == nullptr) return split_error("a shard must have this key", key, nullptr);
  const auto integer = value->to_integer();
  if (!integer.ok()) return split_error(integer.status().detail().message, key, value);
  return *integer;
}

Status expect(const GgufMetadata& metadata, std::string_view key, int64_t expected) {
  const auto found = split_integer(metadata, key);
  if (!found.ok()) return found.status();
  if (*found == expected) return {};
  return split_error(
      "expected " + std::to_string(expected) + ", the file has " + std::to_string(*found), key,
      metadata.find(key));
}

std::optional<int64_t> parse_digits(std::string_view text) {
  int64_t value = 0;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != kDigits || !std::all_of(text.begin(), text.end(), is_digit)) {
    return std::nullopt;
  }
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string five_digits(int64_t value) {
  std::string digits = std::to_string(value);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return digits;
}

}  // namespace

std::optional<ShardName> ShardName::parse(std::string_view path) {
  // <prefix>-NNNNN-of-NNNNN.gguf, from the end.
  if (!path.ends_with(kExtension)) return std::nullopt;
  path.remove_suffix(kExtension.size());
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits;
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail);
  if (tail.front() != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = parse_digits(tail.substr(1, kDigits));
  const auto count = parse_digits(tail.substr(1 + kDigits + kOf.size()));
  if (!number || !count) return std::nullopt;
  return ShardName{std::string(path.substr(0, path.size() - kTail)), *number, *count};
}

std::string ShardName::sibling(int64_t other_number) const {
  std::string path = prefix;
  path += '-' + five_digits(other_number);
  path += kOf;
  path += five_digits(count);
  path += kExtension;
  return path;
}

Result<SplitPlan> plan_split(const GgufMetadata& first, const std::string& path) {
  SplitPlan plan;
  if (first.find(kCountKey) == nullptr) return plan;
  const auto count = split_integer(first, kCountKey);
  if (!count.ok()) return count.status();
  const GgufValue* count_value = first.find(kCountKey);
  if (*count < 1) {
    return split_error("expected at least 1 shard, the file has " + std::to_string(*count),
                       kCountKey, count_value);
  }
  plan.n_shards = *count;
  const auto name = ShardName::parse(path);
  const auto number = split_integer(first, kNumberKey);
  if (!number.ok()) return number.status();
  if (*number != 0) {
    const std::string hint = name ? "; open " + name->sibling(1) : std::string();
    return split_error("expected the first shard, this is number " + std::to_string(*number) +
                           " counted from 0" + hint,
                       kNumberKey, first.find(kNumberKey));
  }
  const auto n_tensors = split_integer(first, kTensorsKey);
  if (!n_tensors.ok()) return n_tensors.status();
  plan.n_tensors = *n_tensors;
  if (plan.n_shards == 1) return plan;

  if (!name || name->number != 1 || name->count != plan.n_shards) {
    return split_error("a split file of " + std::to_string(plan.n_shards) +
                           " shards must be named <prefix>" +
                           ShardName{"", 1, plan.n_shards}.sibling(1),
                       kCountKey, count_value);
  }
  plan.name = *name;
  return plan;
}

Status check_shard(const GgufMetadata& first, const GgufMetadata& shard, int64_t index,
                   int64_t n_shards) {
  if (Status status = expect(shard, kNumberKey, index); !status.ok()) return status;
  if (Status status = expect(shard, kCountKey, n_shards); !status.ok()) return status;
  for (const GgufEntry& entry : shard.entries()) {
    // Widths may differ in the split keys; the alignment is each file's own.
    if (entry.key.starts_with("split.") || entry.key == "general.alignment") continue;
    const GgufValue* same = first.find(entry.key);
    if (same == nullptr || (same->type() == entry.value.type() &&
                            std::ranges::equal(same->raw(), entry.value.raw()))) {
      continue;
    }
    return split_error("differs from the first shard; the files are not of one model", entry.key,
                       &entry.value);
  }
  return {};
}

}  // namespace larder::formats

// Filters and tests by name: names are resolved when a template is parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/template/jinja_arguments.h"

namespace larder::formats::jinja {

class Evaluator;

struct FilterSpec {
  std::string_view name;
  Signature signature;
  Value (*apply)(Evaluator& evaluator, const Value& input, const Bound& arguments);
  // For those that pass arguments on.
  Value (*apply_variadic)(Evaluator& evaluator, const Value& input, Arguments arguments) = nullptr;
};

struct TestSpec {
  std::string_view name;
  size_t n_arguments;
  bool (*holds)(Evaluator& evaluator, const Value& input, const Value& argument);
};

std::optional<uint32_t> find_filter(std::string_view name);
std::optional<uint32_t> find_test(std::string_view name);

// `id`: what the find functions gave, or kNone, which fails.
Value run_filter(Evaluator& evaluator, uint32_t id, std::string_view name, const Value& input,
                 Arguments arguments);
bool run_test(Evaluator& evaluator, uint32_t id, std::string_view name, const Value& input,
              Arguments arguments);

}  // namespace larder::formats::jinja

// Arguments of calls, and how they meet parameters.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Value, Value>> keyword;  // the name is a string

  // The keyword argument of that name, removed; missing if there is none.
  Value take(std::string_view name);
};

// "width first blank": names of parameters in order; the first n_required must be given.
struct Signature {
  std::string_view names;
  size_t n_required = 0;
  bool is_variadic = false;  // the function reads Arguments itself
};

inline constexpr size_t kMaxParameters = 6;
using Bound = std::array<Value, kMaxParameters>;  // missing where not given

Bound bind(const Signature& signature, Arguments arguments, std::string_view function);

}  // namespace larder::formats::jinja

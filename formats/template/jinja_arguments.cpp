#include "formats/template/jinja_arguments.h"

#include <algorithm>

namespace larder::formats::jinja {

Value Arguments::take(std::string_view name) {
  const auto found = std::find_if(keyword.begin(), keyword.end(), [name](const auto& entry) {
    return entry.first.bytes() == name;
  });
  if (found == keyword.end()) return {};
  Value value = std::move(found->second);
  keyword.erase(found);
  return value;
}

Bound bind(const Signature& signature, Arguments arguments, std::string_view function) {
  Bound bound;
  const std::string subject = std::string(function) + "()";
  size_t n = 0;
  for (std::string_view rest = signature.names; !rest.empty(); ++n) {
    const size_t space = std::min(rest.find(' '), rest.size());
    const std::string_view name = rest.substr(0, space);
    rest.remove_prefix(std::min(space + 1, rest.size()));
    Value by_name = arguments.keyword.empty() ? Value() : arguments.take(name);
    if (n < arguments.positional.size()) {
      if (!by_name.is_missing()) fail(subject + " got two values for '" + std::string(name) + "'");
      bound[n] = std::move(arguments.positional[n]);
    } else {
      bound[n] = std::move(by_name);
    }
    if (bound[n].is_missing() && n < signature.n_required) {
      fail(subject + " misses its argument '" + std::string(name) + "'");
    }
  }
  if (arguments.positional.size() > n) {
    fail(subject + " takes at most " + std::to_string(n) + " arguments");
  }
  if (!arguments.keyword.empty()) {
    fail(subject + " takes no argument '" + std::string(arguments.keyword[0].first.bytes()) + "'");
  }
  return bound;
}

}  // namespace larder::formats::jinja

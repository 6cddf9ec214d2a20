#include "formats/template/jinja_filters.h"

#include <algorithm>
#include <array>

#include "formats/template/filter_functions.h"
#include "formats/template/jinja_evaluator.h"
#include "formats/template/jinja_json.h"

namespace larder::formats::jinja {

namespace {

using namespace filters;

// Jinja's own, less random, urlize, wordwrap and pprint. Sorted by name.
constexpr FilterSpec kFilters[] = {
    {"abs", {""}, absolute},
    {"attr", {"name", 1}, attribute},
    {"batch", {"linecount fill_with", 1}, batch},
    {"capitalize", {""}, capitalize_filter},
    {"center", {"width"}, center},
    {"count", {""}, length},
    {"d", {"default_value boolean"}, default_value},
    {"default", {"default_value boolean"}, default_value},
    {"dictsort", {"case_sensitive by reverse"}, dict_sort},
    {"e", {""}, escape},
    {"escape", {""}, escape},
    {"filesizeformat", {"binary"}, file_size},
    {"first", {""}, first},
    {"float", {"default"}, to_float},
    {"forceescape", {""}, force_escape},
    {"format", {}, nullptr, format},
    {"groupby", {"attribute default case_sensitive", 1}, group_by},
    {"indent", {"width first blank"}, indent},
    {"int", {"default base"}, to_int},
    {"items", {""}, items},
    {"join", {"d attribute"}, join},
    {"last", {""}, last},
    {"length", {""}, length},
    {"list", {""}, list},
    {"lower", {""}, lower},
    {"map", {}, nullptr, map},
    {"max", {"case_sensitive attribute"}, maximum},
    {"min", {"case_sensitive attribute"}, minimum},
    {"reject", {}, nullptr, reject},
    {"rejectattr", {}, nullptr, reject_attribute},
    {"replace", {"old new count", 2}, replace},
    {"reverse", {""}, reverse},
    {"round", {"precision method"}, round},
    {"safe", {""}, safe},
    {"select", {}, nullptr, select},
    {"selectattr", {}, nullptr, select_attribute},
    {"slice", {"slices fill_with", 1}, slices},
    {"sort", {"reverse case_sensitive attribute"}, sort},
    {"string", {""}, string},
    {"striptags", {""}, strip_tags},
    {"sum", {"attribute start"}, sum},
    {"title", {""}, title},
    {"tojson", {"ensure_ascii indent separators sort_keys"}, to_json},
    {"trim", {"chars"}, trim},
    {"truncate", {"length killwords end leeway"}, truncate},
    {"unique", {"case_sensitive attribute"}, unique},
    {"upper", {""}, upper},
    {"urlencode", {""}, url_encode},
    {"wordcount", {""}, word_count},
    {"xmlattr", {"autospace"}, xml_attributes},
};

static_assert(std::is_sorted(std::begin(kFilters), std::end(kFilters),
                             [](const FilterSpec& a, const FilterSpec& b) {
                               return a.name < b.name;
                             }));

}  // namespace

std::optional<uint32_t> find_filter(std::string_view name) {
  const auto found =
      std::lower_bound(std::begin(kFilters), std::end(kFilters), name,
                       [](const FilterSpec& spec, std::string_view n) { return spec.name < n; });
  if (found == std::end(kFilters) || found->name != name) return std::nullopt;
  return static_cast<uint32_t>(found - std::begin(kFilters));
}

Value run_filter(Evaluator& evaluator, uint32_t id, std::string_view name, const Value& input,
                 Arguments arguments) {
  if (id == kNone) fail("there is no filter named '" + std::string(name) + "'");
  const FilterSpec& spec = kFilters[id];
  if (spec.apply_variadic != nullptr)
    return spec.apply_variadic(evaluator, input, std::move(arguments));
  return spec.apply(evaluator, input, bind(spec.signature, std::move(arguments), spec.name));
}

Value Evaluator::apply_filter(const Value& name, const Value& input, Arguments arguments) {
  const std::string_view text = require_string(name, "the name of a filter").bytes();
  return run_filter(*this, find_filter(text).value_or(kNone), text, input, std::move(arguments));
}

bool Evaluator::apply_test(const Value& name, const Value& input, Arguments arguments) {
  const std::string_view text = require_string(name, "the name of a test").bytes();
  return run_test(*this, find_test(text).value_or(kNone), text, input, std::move(arguments));
}

}  // namespace larder::formats::jinja

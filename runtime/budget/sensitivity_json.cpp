#include <cmath>
#include <string>

#include "formats/json/json.h"
#include "runtime/budget/sensitivity.h"
#include "runtime/convert/quant_mix.h"

namespace larder::runtime {
namespace {

using formats::DataValue;

Result<const DataValue*> member(const DataValue& of, const char* name, DataValue::Kind kind) {
  const DataValue* value = of.find(name);
  if (!value) return Status(Cause::missing, "is not there", std::string("member ") + name);
  if (value->kind != kind &&
      !(kind == DataValue::Kind::real && value->kind == DataValue::Kind::integer))
    return Status(Cause::value_type, "is of another kind", std::string("member ") + name);
  return value;
}

Result<double> figure(const DataValue& value, const std::string& name) {
  const double x =
      value.kind == DataValue::Kind::integer ? static_cast<double>(value.integer) : value.real;
  const bool is_number =
      value.kind == DataValue::Kind::integer || value.kind == DataValue::Kind::real;
  if (is_number && std::isfinite(x) && x >= 0) return x;
  return Status(Cause::value_type, "is no figure of 0 or more", "member " + name);
}

Result<double> figure_of(const DataValue& of, const char* name) {
  const auto found = member(of, name, DataValue::Kind::real);
  if (!found) return found.status();
  return figure(**found, name);
}

Result<TensorSensitivity> parse_tensor(const DataValue& value) {
  TensorSensitivity tensor;
  const auto name = member(value, "name", DataValue::Kind::string);
  if (!name) return name.status();
  tensor.name = (*name)->string;
  const Result<double> sensitivity = figure_of(value, "sensitivity");
  if (!sensitivity) return sensitivity.status();
  tensor.sensitivity = *sensitivity;
  const Result<double> probe = figure_of(value, "probe_divergence");
  if (!probe) return probe.status();
  tensor.probe_divergence = *probe;
  const auto errors = member(value, "errors", DataValue::Kind::dict);
  if (!errors) return errors.status();
  for (const auto& [type, error] : (*errors)->dict) {
    const quant::FormatTraits* traits = find_format_named(type);
    if (!traits) return Status(Cause::value_type, "is no tensor type", "member " + type);
    const Result<double> read = figure(error, type);
    if (!read) return read.status();
    tensor.errors.emplace_back(traits->format, *read);
  }
  return tensor;
}

}  // namespace

std::string to_json(const Sensitivities& sensitivities) {
  DataValue tensors = DataValue::make_list();
  for (const TensorSensitivity& tensor : sensitivities.tensors) {
    DataValue errors = DataValue::make_dict();
    for (const auto& [format, error] : tensor.errors)
      errors.dict.emplace_back(quant::find_format(static_cast<int32_t>(format))->name, error);
    tensors.list.push_back(DataValue::make_dict({{"name", tensor.name},
                                                 {"sensitivity", tensor.sensitivity},
                                                 {"probe_divergence", tensor.probe_divergence},
                                                 {"errors", std::move(errors)}}));
  }
  return formats::to_json(DataValue::make_dict({{"model", sensitivities.model},
                                                {"n_tokens", sensitivities.n_tokens},
                                                {"tensors", std::move(tensors)}})) +
         "\n";
}

Result<Sensitivities> parse_sensitivities(std::string_view json) {
  const Result<DataValue> value = formats::parse_json(json);
  if (!value) return value.status();
  Sensitivities sensitivities;
  const auto model = member(*value, "model", DataValue::Kind::string);
  if (!model) return model.status();
  sensitivities.model = (*model)->string;
  const auto n_tokens = member(*value, "n_tokens", DataValue::Kind::integer);
  if (!n_tokens) return n_tokens.status();
  sensitivities.n_tokens = (*n_tokens)->integer;
  const auto tensors = member(*value, "tensors", DataValue::Kind::list);
  if (!tensors) return tensors.status();
  for (const DataValue& tensor : (*tensors)->list) {
    Result<TensorSensitivity> read = parse_tensor(tensor);
    if (!read) return read.status();
    sensitivities.tensors.push_back(std::move(*read));
  }
  return sensitivities;
}

}  // namespace larder::runtime

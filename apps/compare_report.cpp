#include "apps/compare_report.h"

#include <cstdio>
#include <utility>

namespace larder::apps {
namespace {

using formats::DataValue;
using runtime::TensorDifference;
using runtime::TensorSide;

constexpr const char* kColumns = "%-36s %12s  %-8s %6s  %-8s %6s  %10s%s\n";

DataValue to_data(const TensorSide& side) {
  return DataValue::make_dict(
      {{"type", side.type->name},
       {"bits_per_weight", side.bits_per_weight},
       {"n_not_finite", side.n_not_finite < 0 ? DataValue() : DataValue(side.n_not_finite)}});
}

DataValue to_data(const TensorDifference& tensor) {
  return DataValue::make_dict(
      {{"name", tensor.name},
       {"n_weights", static_cast<int64_t>(tensor.n_weights)},
       {"base", to_data(tensor.base)},
       {"model", to_data(tensor.other)},
       {"relative_rms_error",
        tensor.relative_error < 0 ? DataValue() : DataValue(tensor.relative_error)}});
}

// "3 NaN or Inf" where there are any.
std::string remark_of(const TensorDifference& tensor) {
  std::string text;
  const auto add = [&](const char* whose, const TensorSide& side) {
    if (side.n_not_finite > 0)
      text += (text.empty() ? "  " : ", ") + std::to_string(side.n_not_finite) + " NaN or Inf in " +
              whose;
    if (side.n_not_finite < 0)
      text += (text.empty() ? "  " : ", ") + std::string(whose) + " cannot be read";
  };
  add("the first", tensor.base);
  add("the second", tensor.other);
  return text;
}

template <class... Values>
std::string print(const char* format, Values... values) {
  char line[320];
  std::snprintf(line, sizeof line, format, values...);
  return line;
}

std::string decimals(double x, int n) { return print("%.*f", n, x); }

std::string line_of(const TensorDifference& tensor) {
  const std::string error =
      tensor.relative_error < 0 ? "-" : decimals(100 * tensor.relative_error, 4);
  const std::string base_type(tensor.base.type->name), type(tensor.other.type->name);
  return print(kColumns, tensor.name.c_str(), std::to_string(tensor.n_weights).c_str(),
               base_type.c_str(), decimals(tensor.base.bits_per_weight, 2).c_str(), type.c_str(),
               decimals(tensor.other.bits_per_weight, 2).c_str(), error.c_str(),
               remark_of(tensor).c_str());
}

// Bits of the mean weight of each file.
std::pair<double, double> mean_bits(const std::vector<TensorDifference>& tensors) {
  double n = 0, base = 0, other = 0;
  for (const TensorDifference& tensor : tensors) {
    const auto n_weights = static_cast<double>(tensor.n_weights);
    n += n_weights;
    base += n_weights * tensor.base.bits_per_weight;
    other += n_weights * tensor.other.bits_per_weight;
  }
  return n > 0 ? std::pair(base / n, other / n) : std::pair(0.0, 0.0);
}

}  // namespace

DataValue to_data(const CompareReport& report) {
  DataValue tensors = DataValue::make_list();
  for (const TensorDifference& tensor : report.tensors) tensors.list.push_back(to_data(tensor));
  const auto [base_bits, bits] = mean_bits(report.tensors);
  DataValue data = DataValue::make_dict({{"base", report.base},
                                         {"model", report.model},
                                         {"base_bits_per_weight", base_bits},
                                         {"bits_per_weight", bits},
                                         {"tensors", std::move(tensors)}});
  if (report.predicted_divergence)
    data.dict.emplace_back("predicted_divergence", *report.predicted_divergence);
  if (report.text) data.dict.emplace_back("text", to_data(*report.text));
  return data;
}

std::string to_text(const CompareReport& report) {
  std::string text =
      print(kColumns, "tensor", "weights", "first", "bits", "second", "bits", "rms err %", "");
  for (const TensorDifference& tensor : report.tensors) text += line_of(tensor);
  const auto [base_bits, bits] = mean_bits(report.tensors);
  text += print("\nbits a weight            %12.4f, of the first %.4f\n", bits, base_bits);
  if (report.text) text += to_text(*report.text);
  if (report.predicted_divergence)
    text += print("KL divergence, predicted %12.6f\n", *report.predicted_divergence);
  return text;
}

}  // namespace larder::apps

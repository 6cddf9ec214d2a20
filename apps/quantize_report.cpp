#include "apps/quantize_report.h"

#include <cstdint>
#include <cstdio>
#include <map>

#include "apps/file_summary.h"

namespace larder::apps {
namespace {

using formats::DataValue;
using formats::GgufTensor;
using runtime::QuantizePlan;
using runtime::TensorPlan;

struct TypeSum {
  int64_t n_tensors = 0;
  uint64_t n_weights = 0, size_bytes = 0;
};

uint64_t n_weights(const GgufTensor& tensor) { return tensor.dims[0] * tensor.n_rows(); }

double bits_per_weight(uint64_t size_bytes, uint64_t n) {
  return n == 0 ? 0.0 : 8.0 * static_cast<double>(size_bytes) / static_cast<double>(n);
}

uint64_t n_weights(const QuantizePlan& plan) {
  uint64_t n = 0;
  for (const TensorPlan& tensor : plan.tensors) n += n_weights(*tensor.source);
  return n;
}

std::map<std::string, TypeSum, std::less<>> sums_by_type(const QuantizePlan& plan) {
  std::map<std::string, TypeSum, std::less<>> sums;
  for (const TensorPlan& tensor : plan.tensors) {
    TypeSum& sum = sums[std::string(tensor.type->name)];
    ++sum.n_tensors;
    sum.n_weights += n_weights(*tensor.source);
    sum.size_bytes += tensor.size_bytes;
  }
  return sums;
}

DataValue tensor_data(const TensorPlan& tensor) {
  DataValue dims = DataValue::make_list();
  for (int i = 0; i < tensor.source->n_dims; ++i) {
    dims.list.emplace_back(static_cast<int64_t>(tensor.source->dims[static_cast<size_t>(i)]));
  }
  return DataValue::make_dict({{"name", tensor.source->name},
                               {"dims", std::move(dims)},
                               {"from", tensor.source->type->name},
                               {"to", tensor.type->name},
                               {"from_bytes", static_cast<int64_t>(tensor.source->size_bytes)},
                               {"to_bytes", static_cast<int64_t>(tensor.size_bytes)},
                               {"is_fallback", tensor.is_fallback}});
}

}  // namespace

std::string sums_text(const QuantizePlan& plan) {
  std::string text;
  char row[160];
  for (const auto& [type, sum] : sums_by_type(plan)) {
    std::snprintf(row, sizeof row, "%-8s %5lld tensors %12s\n", type.c_str(),
                  static_cast<long long>(sum.n_tensors), size_text(sum.size_bytes).c_str());
    text += row;
  }
  const uint64_t n = n_weights(plan);
  std::snprintf(row, sizeof row, "%s (%.2f bits a weight) -> %s (%.2f bits a weight)\n",
                size_text(plan.source_bytes).c_str(), bits_per_weight(plan.source_bytes, n),
                size_text(plan.size_bytes).c_str(), bits_per_weight(plan.size_bytes, n));
  return text + row;
}

std::string plan_text(const QuantizePlan& plan) {
  std::string text;
  for (const TensorPlan& tensor : plan.tensors) {
    char row[256];
    std::snprintf(row, sizeof row, "%-36.64s %-24s %8s -> %-8s %12s%s\n",
                  std::string(tensor.source->name).c_str(), shape_text(*tensor.source).c_str(),
                  std::string(tensor.source->type->name).c_str(),
                  std::string(tensor.type->name).c_str(), size_text(tensor.size_bytes).c_str(),
                  tensor.is_fallback ? "  (its rows fit no super-block)" : "");
    text += row;
  }
  return text + "\n" + sums_text(plan);
}

DataValue plan_data(const QuantizePlan& plan, bool lists_tensors) {
  DataValue types = DataValue::make_list();
  for (const auto& [type, sum] : sums_by_type(plan)) {
    types.list.push_back(
        DataValue::make_dict({{"type", type},
                              {"n_tensors", sum.n_tensors},
                              {"n_weights", static_cast<int64_t>(sum.n_weights)},
                              {"size_bytes", static_cast<int64_t>(sum.size_bytes)}}));
  }
  DataValue data =
      DataValue::make_dict({{"from_bytes", static_cast<int64_t>(plan.source_bytes)},
                            {"to_bytes", static_cast<int64_t>(plan.size_bytes)},
                            {"bits_per_weight", bits_per_weight(plan.size_bytes, n_weights(plan))},
                            {"types", std::move(types)}});
  if (!lists_tensors) return data;
  DataValue tensors = DataValue::make_list();
  for (const TensorPlan& tensor : plan.tensors) tensors.list.push_back(tensor_data(tensor));
  data.dict.emplace_back("tensors", std::move(tensors));
  return data;
}

std::string budget_text(const runtime::BudgetPlan& plan) {
  char line[160];
  std::snprintf(line, sizeof line, "predicted KL divergence %.6f nats, %s %.6f\n", plan.divergence,
                plan.is_optimal ? "the least of all choices; bound" : "no choice has less than",
                plan.least_divergence);
  return line;
}

DataValue budget_data(const runtime::BudgetPlan& plan) {
  return DataValue::make_dict({{"file_bytes_at_most", static_cast<int64_t>(plan.file_bytes)},
                               {"predicted_divergence", plan.divergence},
                               {"least_divergence", plan.least_divergence},
                               {"is_optimal", plan.is_optimal}});
}

}  // namespace larder::apps

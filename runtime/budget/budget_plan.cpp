#include "runtime/budget/budget_plan.h"

#include <algorithm>
#include <vector>

#include "runtime/budget/budget_choice.h"
#include "runtime/convert/quantize_plan.h"

namespace larder::runtime {
namespace {

using formats::GgufFile;
using formats::GgufTensor;

// For metadata that quantising adds, but names: eight keys and figures of 56 bytes at most.
constexpr uint64_t kAddedMetadataBytes = 512;

uint64_t padded(uint64_t bytes, uint64_t alignment) noexcept {
  return (bytes + alignment - 1) / alignment * alignment;
}

// All that does not depend on the types chosen.
uint64_t fixed_bytes(const GgufFile& file, uint64_t name_bytes) {
  uint64_t tensors = 0, kept = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    tensors += tensor.size_bytes;
    if (!may_be_quantized(tensor)) kept += padded(tensor.size_bytes, file.alignment_bytes());
  }
  return file.size_bytes() - tensors + kept + file.alignment_bytes() + kAddedMetadataBytes +
         name_bytes;
}

const TensorSensitivity* find(const Sensitivities& sensitivities, std::string_view name) {
  const auto found = std::find_if(sensitivities.tensors.begin(), sensitivities.tensors.end(),
                                  [&](const auto& tensor) { return tensor.name == name; });
  return found == sensitivities.tensors.end() ? nullptr : &*found;
}

std::vector<BudgetOption> options_of(const TensorSensitivity& sensitivity, const GgufTensor& tensor,
                                     uint64_t alignment) {
  std::vector<BudgetOption> options;
  for (const auto& [format, error] : sensitivity.errors) {
    const uint64_t bytes =
        quant::row_bytes(format, static_cast<int64_t>(tensor.dims[0])) * tensor.n_rows();
    options.push_back({padded(bytes, alignment), sensitivity.sensitivity * error});
  }
  return options;
}

Status over_budget(uint64_t least, uint64_t budget) {
  return Status(Cause::budget, "the smallest types take " + std::to_string(least) +
                                   " bytes, more than the " + std::to_string(budget) + " allowed");
}

}  // namespace

Result<BudgetPlan> plan_budget(const GgufFile& file, const Sensitivities& sensitivities,
                               uint64_t budget_bytes, uint64_t name_bytes) {
  const uint64_t fixed = fixed_bytes(file, name_bytes);
  std::vector<std::vector<BudgetOption>> items;
  std::vector<const TensorSensitivity*> tensors;
  uint64_t least = fixed;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!may_be_quantized(tensor)) continue;
    const TensorSensitivity* found = find(sensitivities, tensor.name);
    if (!found || found->errors.empty())
      return Status(Cause::missing, "the sensitivities tell nothing of it",
                    "tensor " + std::string(tensor.name));
    tensors.push_back(found);
    items.push_back(options_of(*found, tensor, file.alignment_bytes()));
    least += std::min_element(items.back().begin(), items.back().end(),
                              [](const auto& a, const auto& b) { return a.bytes < b.bytes; })
                 ->bytes;
  }
  if (least > budget_bytes) return over_budget(least, budget_bytes).with_file(file.path());
  const auto choice = choose_within(items, budget_bytes - fixed);
  if (!choice) return over_budget(least, budget_bytes).with_file(file.path());
  BudgetPlan plan;
  for (size_t i = 0; i < items.size(); ++i)
    plan.formats.emplace(tensors[i]->name, tensors[i]->errors[choice->options[i]].first);
  plan.file_bytes = fixed + choice->bytes;
  plan.divergence = choice->loss;
  plan.least_divergence = choice->least_loss;
  plan.is_optimal = choice->is_optimal;
  return plan;
}

double predicted_divergence(const GgufFile& file, const Sensitivities& sensitivities) {
  double sum = 0;
  for (const TensorSensitivity& tensor : sensitivities.tensors) {
    const GgufTensor* found = file.find_tensor(tensor.name);
    const double loss = found ? tensor.loss(static_cast<quant::Format>(found->type->id)) : -1;
    if (loss < 0) return -1;
    sum += loss;
  }
  return sum;
}

}  // namespace larder::runtime

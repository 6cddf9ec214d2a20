// What quantising does to a file, for people and for programs.
#pragma once

#include <string>

#include "formats/template/value.h"
#include "runtime/budget/budget_plan.h"
#include "runtime/convert/quantize_plan.h"

namespace larder::apps {

// Every tensor with its present and its future type, then the sums.
std::string plan_text(const runtime::QuantizePlan& plan);
// Sums alone: tensors and bytes of each type.
std::string sums_text(const runtime::QuantizePlan& plan);
formats::DataValue plan_data(const runtime::QuantizePlan& plan, bool lists_tensors);

// What types within a budget are predicted to lose.
std::string budget_text(const runtime::BudgetPlan& plan);
formats::DataValue budget_data(const runtime::BudgetPlan& plan);

}  // namespace larder::apps

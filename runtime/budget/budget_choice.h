// Choosing one option for each of many items, so that a sum of sizes stays within a budget and a
// sum of losses is the least: the multiple-choice knapsack.
//
// A greedy choice along the lower hulls of the items' options (the optimum of a Lagrangian) is
// repaired with what still fits, and then improved by branch and bound with the linear relaxation
// as bound. With few items that proves the optimum; with many it ends after kMostNodes, no further
// from the optimum than `loss - least_loss`, which is less than what one item can gain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace larder::runtime {

struct BudgetOption {
  uint64_t bytes = 0;
  double loss = 0;
};

struct BudgetChoice {
  std::vector<size_t> options;  // of each item, the index of its option
  uint64_t bytes = 0;
  double loss = 0;
  double least_loss = 0;  // no choice within the budget has less
  bool is_optimal = false;
};

// Seconds at most, with a thousand items of eight options.
inline constexpr int64_t kMostNodes = 100000;

// None where not even the smallest options fit.
// REQUIRES: every item has an option; losses are finite.
std::optional<BudgetChoice> choose_within(std::span<const std::vector<BudgetOption>> items,
                                          uint64_t budget_bytes);

}  // namespace larder::runtime

// Choices within a budget against all that there are.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "runtime/budget/budget_choice.h"

using namespace larder::runtime;

namespace {

using Items = std::vector<std::vector<BudgetOption>>;

Items random_items(std::mt19937& random, size_t n_items, size_t n_options) {
  Items items(n_items);
  for (auto& options : items) {
    const double sensitivity = 1 + static_cast<double>(random() % 1000);
    for (size_t i = 0; i < n_options; ++i)
      options.push_back({1 + random() % 60, sensitivity / static_cast<double>(1 + random() % 200)});
  }
  return items;
}

// By trying everything; none where nothing fits.
std::optional<double> least_loss(const Items& items, size_t from, uint64_t budget) {
  if (from == items.size()) return 0;
  std::optional<double> best;
  for (const BudgetOption& option : items[from]) {
    if (option.bytes > budget) continue;
    const auto rest = least_loss(items, from + 1, budget - option.bytes);
    if (rest && (!best || option.loss + *rest < *best)) best = option.loss + *rest;
  }
  return best;
}

void check_sums(const Items& items, const BudgetChoice& choice) {
  uint64_t bytes = 0;
  double loss = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    bytes += items[i][choice.options[i]].bytes;
    loss += items[i][choice.options[i]].loss;
  }
  CHECK(choice.bytes == bytes);
  CHECK(choice.loss == doctest::Approx(loss));
}

}  // namespace

TEST_CASE("budget choice: the optimum of small cases, and never more than the budget") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const Items items = random_items(random, 1 + random() % 6, 1 + random() % 5);
    const uint64_t budget = random() % 250;
    CAPTURE(round);
    const auto expected = least_loss(items, 0, budget);
    const auto choice = choose_within(items, budget);
    REQUIRE(choice.has_value() == expected.has_value());
    if (!choice) continue;
    CHECK(choice->bytes <= budget);
    CHECK(choice->is_optimal);
    CHECK(choice->loss == doctest::Approx(*expected));
    check_sums(items, *choice);
  }
}

TEST_CASE("budget choice: more bytes never lose more") {
  std::mt19937 random(11);
  const Items items = random_items(random, 7, 5);
  double last = HUGE_VAL;
  for (uint64_t budget = 0; budget < 450; ++budget) {
    const auto choice = choose_within(items, budget);
    if (!choice) continue;
    CHECK(choice->loss <= last);
    last = choice->loss;
  }
  CHECK(last < HUGE_VAL);
}

TEST_CASE("budget choice: of a thousand items within one item's gain of the bound") {
  std::mt19937 random(13);
  const Items items = random_items(random, 1000, 8);
  uint64_t least = 0, most = 0;
  double most_gain = 0;
  for (const auto& options : items) {
    uint64_t small = UINT64_MAX, large = 0;
    double best = HUGE_VAL, worst = 0;
    for (const BudgetOption& option : options) {
      small = std::min(small, option.bytes);
      large = std::max(large, option.bytes);
      best = std::min(best, option.loss);
      worst = std::max(worst, option.loss);
    }
    least += small;
    most += large;
    most_gain = std::max(most_gain, worst - best);
  }
  CHECK_FALSE(choose_within(items, least - 1).has_value());
  for (const uint64_t budget : {least, (least + most) / 3, (least + most) / 2, most}) {
    const auto choice = choose_within(items, budget);
    REQUIRE(choice.has_value());
    CHECK(choice->bytes <= budget);
    CHECK(choice->least_loss <= choice->loss);
    CHECK(choice->loss - choice->least_loss <= most_gain);
    check_sums(items, *choice);
  }
}

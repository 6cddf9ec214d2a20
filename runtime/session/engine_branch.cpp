#include "runtime/session/engine_branch.h"

#include <algorithm>
#include <utility>

#include "runtime/session/prefix_tree.h"

namespace larder::runtime {
namespace {

// A branch waits for the pass of what it branches off from: fewer tokens are not worth it, such as
// the BOS that all texts have in common.
constexpr int32_t kLeastShared = 16;

std::unique_ptr<Branch> branch_of(const PrefixNode& node, std::span<HeldItem* const> items) {
  auto branch = std::make_unique<Branch>();
  branch->begin = node.begin;
  branch->end_ = node.end;
  for (const int32_t i : node.items) {
    branch->items.push_back(items[static_cast<size_t>(i)]);
    branch->capacity = std::max(branch->capacity, branch->items.back()->n_needed());
  }
  for (const int32_t i : node.ending) branch->ending.push_back(items[static_cast<size_t>(i)]);
  for (const PrefixNode& child : node.children) branch->children.push_back(branch_of(child, items));
  return branch;
}

}  // namespace

bool Branch::wants(int32_t position) const noexcept {
  return std::any_of(items.begin(), items.end(),
                     [position](const HeldItem* item) { return item->wants(position); });
}

std::vector<std::unique_ptr<Branch>> plan_branches(std::span<HeldItem* const> items, bool shares) {
  std::vector<PrefixItem> texts;
  texts.reserve(items.size());
  for (const HeldItem* item : items) texts.push_back({item->source(), item->run()});
  std::vector<std::unique_ptr<Branch>> branches;
  for (const PrefixNode& root : share_prefixes(texts, shares ? kLeastShared : 0))
    branches.push_back(branch_of(root, items));
  return branches;
}

std::unique_ptr<Branch> whole_branch(HeldItem& item) {
  auto branch = std::make_unique<Branch>();
  branch->items = {&item};
  branch->capacity = item.n_needed();
  branch->generates = item.n_tokens() > static_cast<int32_t>(item.run().size()) && item.generates();
  branch->end_ = static_cast<int32_t>(item.run().size());
  if (!branch->generates) branch->ending = {&item};
  return branch;
}

std::unique_ptr<Branch> generating_branch(HeldItem& item,
                                          std::shared_ptr<CachePool::Lease> prompt) {
  auto branch = std::make_unique<Branch>();
  branch->items = {&item};
  branch->capacity = item.n_needed();
  branch->generates = true;
  branch->begin = static_cast<int32_t>(item.run().size());
  branch->from = std::move(prompt);
  return branch;
}

}  // namespace larder::runtime

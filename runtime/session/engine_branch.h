// A piece of work of an engine: tokens that some items have in common, on one sequence.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/session/cache_pool.h"
#include "runtime/session/held_item.h"

namespace larder::runtime {

// Positions [begin, end()) of all of `items`. A branch that generates has one item, and grows with
// it; else `ending` have no more tokens to be given behind the end, the others go on in `children`.
struct Branch {
  int32_t begin = 0;
  std::vector<HeldItem*> items, ending;
  std::vector<std::unique_ptr<Branch>> children;
  bool generates = false;
  int32_t capacity = 0;  // that any of the items needs
  // What holds the positions before `begin`; null: nothing does, and begin is 0.
  std::shared_ptr<CachePool::Lease> from;

  int32_t end() const noexcept { return generates ? items.front()->n_tokens() : end_; }
  formats::TokenId token(int32_t position) const noexcept { return items.front()->token(position); }
  std::span<const formats::TokenId> source() const noexcept { return items.front()->source(); }
  bool wants(int32_t position) const noexcept;

  int32_t end_ = 0;
};

// What computes all that must be computed of these items, as few tokens as possible where it
// `shares`. Items without any are in no branch.
std::vector<std::unique_ptr<Branch>> plan_branches(std::span<HeldItem* const> items, bool shares);
// All of one item so far, from the beginning.
std::unique_ptr<Branch> whole_branch(HeldItem& item);
// What comes behind the prompt.
std::unique_ptr<Branch> generating_branch(HeldItem& item, std::shared_ptr<CachePool::Lease> prompt);

}  // namespace larder::runtime

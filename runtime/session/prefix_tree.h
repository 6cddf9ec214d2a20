// Which beginnings texts have in common, so that each is computed once. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/text/tokenizer.h"

namespace larder::runtime {

// Items of different sources have nothing in common.
struct PrefixItem {
  std::span<const formats::TokenId> source, tokens;
};

// Tokens [begin, end), which `items` have in common, with all before.
struct PrefixNode {
  int32_t begin = 0, end = 0;
  std::vector<int32_t> items;   // indices, in ascending order
  std::vector<int32_t> ending;  // those of them that have no tokens behind `end`
  std::vector<PrefixNode> children;
};

// A path of nodes from a root down for every item that has tokens; roots in the order of their
// first items. A beginning is shared where that saves `least_shared` tokens or more, or where
// all of what is left of items is alike; never where least_shared is 0.
std::vector<PrefixNode> share_prefixes(std::span<const PrefixItem> items, int32_t least_shared);

}  // namespace larder::runtime

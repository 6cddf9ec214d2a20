#include "runtime/session/prefix_tree.h"

#include <algorithm>
#include <numeric>

namespace larder::runtime {
namespace {

using formats::TokenId;

bool are_equal(std::span<const TokenId> a, std::span<const TokenId> b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// The items in an order in which those with common beginnings are neighbours.
class SortedItems {
 public:
  SortedItems(std::span<const PrefixItem> items, int32_t least_shared)
      : items_(items), least_shared_(least_shared), order_(items.size()), common_(items.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [this](int32_t a, int32_t b) {
      const PrefixItem &x = item(a), &y = item(b);
      if (!are_equal(x.source, y.source))
        return std::lexicographical_compare(x.source.begin(), x.source.end(), y.source.begin(),
                                            y.source.end());
      return std::lexicographical_compare(x.tokens.begin(), x.tokens.end(), y.tokens.begin(),
                                          y.tokens.end());
    });
    for (size_t i = 1; i < order_.size(); ++i) common_[i] = common_with_previous(i);
  }

  // Nodes of [first, last), which have `depth` tokens in common, behind these.
  std::vector<PrefixNode> nodes(size_t first, size_t last, int32_t depth) const {
    std::vector<PrefixNode> found;
    while (first < last) {
      size_t end = first + 1;
      while (end < last && stay_together(end, depth)) ++end;
      if (length(first) > depth) found.push_back(node(first, end, depth));
      first = end;
    }
    return found;
  }

 private:
  const PrefixItem& item(int32_t index) const noexcept {
    return items_[static_cast<size_t>(index)];
  }
  int32_t length(size_t at) const noexcept {
    return static_cast<int32_t>(item(order_[at]).tokens.size());
  }

  int32_t common_with_previous(size_t at) const noexcept {
    const PrefixItem &a = item(order_[at - 1]), &b = item(order_[at]);
    if (!are_equal(a.source, b.source)) return 0;
    const auto differing =
        std::mismatch(a.tokens.begin(), a.tokens.end(), b.tokens.begin(), b.tokens.end());
    return static_cast<int32_t>(differing.first - a.tokens.begin());
  }

  bool stay_together(size_t at, int32_t depth) const noexcept {
    if (least_shared_ <= 0) return false;
    const int32_t common = common_[at];
    return common - depth >= least_shared_ ||
           (common > depth && common == length(at) && common == length(at - 1));
  }

  // REQUIRES: neighbours in [first, end) stay together.
  PrefixNode node(size_t first, size_t end, int32_t depth) const {
    PrefixNode node;
    node.begin = depth;
    node.end = length(first);
    for (size_t i = first + 1; i < end; ++i) node.end = std::min(node.end, common_[i]);
    size_t behind = first;  // items that end here come first
    for (; behind < end && length(behind) == node.end; ++behind)
      node.ending.push_back(order_[behind]);
    node.items.assign(order_.begin() + static_cast<ptrdiff_t>(first),
                      order_.begin() + static_cast<ptrdiff_t>(end));
    std::sort(node.items.begin(), node.items.end());
    node.children = nodes(behind, end, node.end);
    return node;
  }

  std::span<const PrefixItem> items_;
  int32_t least_shared_;
  std::vector<int32_t> order_;   // indices of items
  std::vector<int32_t> common_;  // [i]: tokens that order_[i] has in common with order_[i - 1]
};

}  // namespace

std::vector<PrefixNode> share_prefixes(std::span<const PrefixItem> items, int32_t least_shared) {
  std::vector<PrefixNode> roots = SortedItems(items, least_shared).nodes(0, items.size(), 0);
  std::sort(roots.begin(), roots.end(), [](const PrefixNode& a, const PrefixNode& b) {
    return a.items.front() < b.items.front();
  });
  return roots;
}

}  // namespace larder::runtime

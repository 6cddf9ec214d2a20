// Which beginnings are shared.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "runtime/session/prefix_tree.h"

using namespace larder::runtime;
using larder::formats::TokenId;

namespace {

std::vector<TokenId> ids(const std::string& text) { return {text.begin(), text.end()}; }

std::vector<PrefixNode> share(const std::vector<std::vector<TokenId>>& texts, int32_t least) {
  std::vector<PrefixItem> items;
  for (const auto& text : texts) items.push_back({{}, text});
  return share_prefixes(items, least);
}

int64_t n_computed(const std::vector<PrefixNode>& nodes) {
  int64_t n = 0;
  for (const PrefixNode& node : nodes) n += node.end - node.begin + n_computed(node.children);
  return n;
}

// Every item's tokens are covered once along its path, which ends in one node.
void check_paths(const std::vector<PrefixNode>& nodes, int32_t depth,
                 const std::vector<std::vector<TokenId>>& texts, std::vector<int>& n_ends) {
  for (const PrefixNode& node : nodes) {
    CHECK(node.begin == depth);
    CHECK(node.end > node.begin);
    const auto& first = texts[static_cast<size_t>(node.items.front())];
    for (const int32_t item : node.items) {
      const auto& text = texts[static_cast<size_t>(item)];
      REQUIRE(text.size() >= static_cast<size_t>(node.end));
      CHECK(std::equal(text.begin(), text.begin() + node.end, first.begin()));
    }
    for (const int32_t item : node.ending) {
      CHECK(texts[static_cast<size_t>(item)].size() == static_cast<size_t>(node.end));
      ++n_ends[static_cast<size_t>(item)];
    }
    check_paths(node.children, node.end, texts, n_ends);
  }
}

}  // namespace

TEST_CASE("prefix tree: texts part where they differ") {
  const auto roots = share({ids("abcdX"), ids("zz"), ids("abcdYZ"), ids("abcdYW"), ids("abcd")}, 2);
  REQUIRE(roots.size() == 2);
  CHECK(roots[0].items == std::vector<int32_t>{0, 2, 3, 4});
  CHECK(roots[0].end == 4);
  CHECK(roots[0].ending == std::vector<int32_t>{4});
  // one token is too little to share
  REQUIRE(roots[0].children.size() == 3);
  CHECK(roots[1].items == std::vector<int32_t>{1});
  CHECK(n_computed(share({ids("abcdYZ"), ids("abcdYW")}, 1)) == 7);
}

TEST_CASE("prefix tree: texts that are alike are one, however short") {
  const auto roots = share({ids("ab"), ids("ab"), ids("abc"), ids("")}, 16);
  REQUIRE(roots.size() == 2);
  CHECK(roots[0].ending == std::vector<int32_t>{0, 1});
  CHECK(roots[1].items == std::vector<int32_t>{2});
}

TEST_CASE("prefix tree: nothing is shared between sources, or where it is not asked for") {
  const auto text = ids("abcdefgh"), one = ids("1"), other = ids("2");
  const std::vector<PrefixItem> items = {{one, text}, {other, text}, {one, text}};
  CHECK(n_computed(share_prefixes(items, 2)) == 16);
  CHECK(n_computed(share_prefixes(items, 0)) == 24);
}

TEST_CASE("prefix tree: every token of random texts is computed once for those that have it") {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<TokenId>> texts(1 + random() % 40);
    for (auto& text : texts) {
      text.resize(random() % 12);
      for (TokenId& token : text) token = static_cast<TokenId>(random() % 2);
    }
    std::vector<std::vector<TokenId>> prefixes;
    for (const auto& text : texts)
      for (size_t n = 1; n <= text.size(); ++n)
        prefixes.emplace_back(text.begin(), text.begin() + static_cast<ptrdiff_t>(n));
    std::sort(prefixes.begin(), prefixes.end());
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    const auto roots = share(texts, 1);
    CHECK(n_computed(roots) == static_cast<int64_t>(prefixes.size()));
    for (const int32_t least : {0, 1, 3}) {
      std::vector<int> n_ends(texts.size());
      check_paths(share(texts, least), 0, texts, n_ends);
      for (size_t i = 0; i < texts.size(); ++i) CHECK(n_ends[i] == (texts[i].empty() ? 0 : 1));
    }
  }
}

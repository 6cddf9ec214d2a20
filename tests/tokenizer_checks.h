// What the tests of tokenizers on built vocabularies share.
#pragma once

#include <doctest/doctest.h>

#include <ctime>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "formats/text/tokenizer.h"
#include "tests/vocabulary_builder.h"

namespace larder::tests {

using Ids = std::vector<formats::TokenId>;

inline std::shared_ptr<const formats::Tokenizer> created(const GgufBuilder& file) {
  auto tokenizer = tokenizer_of(file);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().to_string());
  return *tokenizer;
}

inline Ids encoded(const formats::Tokenizer& tokenizer, std::string_view text,
                   formats::SpecialTokens special = formats::SpecialTokens::as_text) {
  Ids ids;
  const Status status = tokenizer.encode(text, special, ids);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return ids;
}

// Of processor time: a busy machine must not fail a test.
inline double seconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace larder::tests

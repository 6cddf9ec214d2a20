// A golden's model laid out anew: what files of one model may look like.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/file_copy.h"
#include "tests/golden_case.h"
#include "tests/tiny_model.h"

namespace larder::tests {

inline const std::vector<int32_t> kTokens = {5, 80, 11, 300, 42, 7, 199, 23, 64};

// A golden's model, to be laid out anew, and what it answers as it is.
struct Layout {
  GgufBuilder file;
  PromptTrace expected;
};

inline PromptTrace answer(const std::shared_ptr<const runtime::Model>& model) {
  RunOptions options;
  options.forward.arithmetic = quant::Arithmetic::exact;
  return run_tokens(model, kTokens, options);
}

inline std::optional<Layout> layout_of(const std::string& name) {
  std::optional<GgufBuilder> file = copy_of_golden(name);
  if (!file) {
    MESSAGE("skipped: no reference data for ", name);
    return std::nullopt;
  }
  const OpenedModel opened = open_model(*file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return Layout{std::move(*file), answer(*opened.model)};
}

inline void check_same_bits(const Layout& layout) {
  const OpenedModel opened = open_model(layout.file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  CHECK((*opened.model)->warnings().empty());
  const PromptTrace got = answer(*opened.model);
  CHECK(got.logits == layout.expected.logits);
  for (size_t l = 0; l < got.layers.size(); ++l) {
    CHECK(got.layers[l].experts == layout.expected.layers[l].experts);
    CHECK(got.layers[l].out == layout.expected.layers[l].out);
  }
}

inline void check_refused(const GgufBuilder& file, Cause cause, const std::string& subject) {
  const OpenedModel opened = open_model(file);
  REQUIRE_FALSE(opened.model.ok());
  INFO(opened.model.status().to_string());
  CHECK(opened.model.status().cause() == cause);
  CHECK(opened.model.status().detail().subject.find(subject) != std::string::npos);
}

}  // namespace larder::tests

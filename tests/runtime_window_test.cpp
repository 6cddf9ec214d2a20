#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "runtime/forward/attention_gqa.h"
#include "runtime/forward/forward.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

// The logits of the last token.
std::vector<float> last_logits(const GgufBuilder& file, const std::vector<int32_t>& tokens) {
  const OpenedModel opened = open_model(file);
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  auto forward = Forward::create(*opened.model, {.max_rows = 16});
  REQUIRE(forward.ok());
  auto state = SequenceState::create((*opened.model)->config(), 16, CacheType::f32);
  REQUIRE(state.ok());
  std::vector<TokenRow> rows;
  for (const int32_t token : tokens)
    rows.push_back({token, static_cast<int32_t>(rows.size()), 0, rows.size() + 1 == tokens.size()});
  SequenceState* sequences[] = {state->get()};
  const Status status = (*forward)->run(rows, sequences);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  const float* logits = (*forward)->logits(0);
  return {logits, logits + (*opened.model)->config().n_vocab};
}

// One layer, with a window of four positions.
GgufBuilder one_layer(TinyShape shape) {
  shape.n_layers = 1;
  shape.window = 4;
  return tiny_model(shape);
}

}  // namespace

TEST_CASE("window: the positions that it shows") {
  const Window slides{WindowKind::sliding, 4}, chunks{WindowKind::chunked, 4}, all;
  CHECK(slides.first_visible(3) == 0);
  CHECK(slides.first_visible(4) == 1);
  CHECK(slides.n_visible(2) == 3);
  CHECK(slides.n_visible(9) == 4);
  CHECK(chunks.first_visible(3) == 0);
  CHECK(chunks.first_visible(4) == 4);
  CHECK(chunks.first_visible(7) == 4);
  CHECK(all.first_visible(9) == 0);
  CHECK(Window{WindowKind::sliding, INT32_MAX}.first_visible(INT32_MAX) == 1);
}

TEST_CASE("window: a sliding one hides what is its width away, and nothing nearer") {
  const GgufBuilder file = one_layer(tiny_gpt_oss());
  const std::vector<float> base = last_logits(file, {1, 2, 3, 4, 5, 6});
  CHECK(last_logits(file, {9, 8, 3, 4, 5, 6}) == base);
  CHECK(last_logits(file, {1, 2, 9, 4, 5, 6}) != base);
}

TEST_CASE("window: chunks begin anew") {
  const GgufBuilder file = one_layer(tiny_llama4());
  const std::vector<float> base = last_logits(file, {1, 2, 3, 4, 5, 6});
  CHECK(last_logits(file, {9, 8, 7, 6, 5, 6}) == base);
  CHECK(last_logits(file, {1, 2, 3, 4, 9, 6}) != base);
  CHECK(last_logits(file, {9, 2, 3, 4}) != last_logits(file, {1, 2, 3, 4}));
}

TEST_CASE("window: a layer without positions does not see order") {
  GgufBuilder file = one_layer(tiny_llama4());
  const std::string pattern = "llama4.attention.sliding_window_pattern";
  const auto difference = [&] {
    const std::vector<float> a = last_logits(file, {1, 2, 3, 4}),
                             b = last_logits(file, {3, 1, 2, 4});
    double most = 0;
    for (size_t i = 0; i < a.size(); ++i)
      most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return most;
  };
  CHECK(difference() > 1e-3);
  file.keys.push_back(key_u32(pattern, 1));
  CHECK(difference() < 1e-5);
}

TEST_CASE("window: queries grow by whole spans") {
  CHECK(query_growth(8192, 0) == 1.0F);
  CHECK(query_growth(8192, 8190) == 1.0F);
  CHECK(query_growth(8192, 8191) == doctest::Approx(1 + 0.1 * std::log(2.0)));
  CHECK(query_growth(8192, 16382) == doctest::Approx(1 + 0.1 * std::log(2.0)));
  CHECK(query_growth(8192, 16383) == doctest::Approx(1 + 0.1 * std::log(3.0)));
  CHECK(query_growth(1, INT32_MAX) == doctest::Approx(1 + 0.1 * std::log(2147483649.0)));
}

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "quant/dispatch.h"
#include "runtime/forward/forward.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

// The logits of 150 tokens, `chunk` of them a pass, by keys and values of these types.
std::vector<float> logits_by(const Model& model, CacheTypes types, const quant::KernelSet& kernels,
                             int32_t chunk, int n_threads) {
  constexpr int32_t kTokens = 150;
  const std::shared_ptr<const Model> shared(std::shared_ptr<const Model>(), &model);
  auto forward = Forward::create(
      shared,
      {.n_threads = n_threads, .max_rows = chunk, .max_logits = chunk, .kernels = &kernels});
  REQUIRE(forward.ok());
  auto state = SequenceState::create(model.config(), kTokens, types);
  REQUIRE(state.ok());
  SequenceState* sequences[] = {state->get()};
  std::vector<float> all;
  for (int32_t first = 0; first < kTokens; first += chunk) {
    const int32_t n = std::min(chunk, kTokens - first);
    std::vector<TokenRow> rows;
    for (int32_t i = first; i < first + n; ++i) rows.push_back({i * 31 % 256, i, 0, true});
    REQUIRE((*forward)->run(rows, sequences).ok());
    all.insert(all.end(), (*forward)->logits(0),
               (*forward)->logits(0) + n * model.config().n_vocab);
  }
  return all;
}

}  // namespace

TEST_CASE("cache types: every pair of them, the same bits in pieces and on threads") {
  constexpr CacheType kTypes[] = {CacheType::f32, CacheType::f16, CacheType::q8_0};
  // As many heads a kv head as kernels like, one, and three.
  for (const auto& [n_heads, n_kv_heads] : {std::pair{4u, 1u}, {2u, 2u}, {3u, 1u}}) {
    TinyShape shape = tiny_dense();  // whose errors are small: no router turns elsewhere
    shape.n_heads = n_heads;
    shape.n_kv_heads = n_kv_heads;
    shape.d_head = 32;
    const OpenedModel opened = open_model(tiny_model(shape));
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    const Model& model = **opened.model;
    const std::vector<float> exact =
        logits_by(model, CacheType::f32, quant::best_kernels(), 150, 1);
    for (const CacheType keys : kTypes) {
      for (const CacheType values : kTypes) {
        const CacheTypes types(keys, values);
        const std::vector<float> whole = logits_by(model, types, quant::best_kernels(), 150, 1);
        CHECK(logits_by(model, types, quant::best_kernels(), 7, 2) == whole);
        CHECK(logits_by(model, types, quant::best_kernels(), 1, 2) == whole);
        CHECK(logits_by(model, types, *quant::find_kernels("scalar"), 33, 1) == whole);
        CHECK((whole == exact) == (types == CacheTypes(CacheType::f32)));
        float apart = 0;
        for (size_t i = 0; i < whole.size(); ++i)
          apart = std::max(apart, std::abs(whole[i] - exact[i]));
        CHECK(apart < 0.1F);
      }
    }
  }
}

TEST_CASE("cache types: heads that are no whole blocks of q8_0 are refused") {
  const OpenedModel opened = open_model(tiny_model());  // heads of 16
  const ModelConfig& config = (*opened.model)->config();
  for (const CacheTypes types :
       {CacheTypes(CacheType::q8_0, CacheType::f16), CacheTypes(CacheType::f16, CacheType::q8_0)}) {
    const Status status = SequenceState::create(config, 8, types).status();
    CHECK(status.cause() == Cause::invalid_argument);
    CHECK(status.to_string().find("16 values") != std::string::npos);
  }
  TinyShape shape;
  shape.d_head = 32;
  const OpenedModel wider = open_model(tiny_model(shape));
  const ModelConfig& blocks = (*wider.model)->config();
  CHECK(SequenceState::bytes_for(blocks, 64, CacheType::q8_0) == 2 * 2 * 2 * 64 * 34);
  CHECK(SequenceState::bytes_for(blocks, 64, {CacheType::q8_0, CacheType::f16}) ==
        2 * 2 * 64 * (34 + 64));
}

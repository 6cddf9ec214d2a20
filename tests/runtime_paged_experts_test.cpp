// Paged experts give the bits of mapped ones, whatever the slab, the threads, the reads and their
// order.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden_case.h"
#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

PromptTrace run(const Paged& paged, const std::vector<int32_t>& tokens, int n_threads,
                int32_t chunk) {
  RunOptions options;
  options.forward.n_threads = n_threads;
  options.forward.experts = paged.store;
  options.chunk = chunk;
  return run_tokens(paged.model, tokens, options);
}

void check_same_bits(const PromptTrace& a, const PromptTrace& b) {
  CHECK(a.logits == b.logits);
  for (size_t l = 0; l < a.layers.size(); ++l) CHECK(a.layers[l].out == b.layers[l].out);
}

}  // namespace

TEST_CASE("paged experts: the bits of the mapped run at the smallest slab, on every golden") {
  for (const char* name :
       {"mixtral", "qwen3moe", "qwen3moe-quant", "gpt-oss-mxfp4", "deepseek-v2-lite", "qwen2moe",
        "llama4", "dbrx", "granitemoeshared", "lfm2moe", "qwen3next"}) {
    const auto golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data for ", name);
      continue;
    }
    CAPTURE(name);
    const std::vector<int32_t>& tokens = golden->prompts.front().tokens;
    const PromptTrace expected = run({golden->model, nullptr}, tokens, 1, 0);
    const uint64_t least = floor_of(*golden->model), all = all_of(*golden->model);
    for (const uint64_t slab : {least, (least + all) / 2, all}) {
      const Paged paged = page(golden->model, slab, threads(2));
      for (const int n_threads : {1, 2}) {
        for (const int32_t chunk : {0, 1, 3}) {
          CAPTURE(slab);
          CAPTURE(n_threads);
          CAPTURE(chunk);
          check_same_bits(expected, run(paged, tokens, n_threads, chunk));
        }
      }
    }
  }
}

TEST_CASE("paged experts: io_uring, late answers and answers in any order change no bit") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  std::vector<MakeBackend> backends = {threads(1), threads(8), faulty({}, true)};
  if (make_uring_reads(4, 1).ok())
    backends.push_back(uring(4));
  else
    MESSAGE("skipped: no io_uring here");
  for (const MakeBackend& backend : backends) {
    for (const int n_threads : {1, 2}) {
      Runner runner(page(file.model, floor_of(*file.model), backend), n_threads);
      for (int i = 0; i < 20; ++i) {
        REQUIRE(runner.step().ok());
        REQUIRE(runner.logits() == expected);
      }
    }
  }
}

TEST_CASE("paged experts: without direct reads the bits are the same, and statistics say so") {
  const TinyFile file;
  const std::vector<float> expected = mapped_logits(file.model);
  const Paged paged =
      page(file.model, floor_of(*file.model), threads(2), WeightFiles::Access::page_cache);
  Runner runner(paged);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(runner.step().ok());
    CHECK(runner.logits() == expected);
  }
  CHECK(!paged.store->statistics()->facts.is_direct);
  CHECK(!paged.store->statistics()->facts.note.empty());
}

TEST_CASE("paged experts: what is foretold is read ahead once that pays, and is the right expert") {
  const TinyFile file;
  const Paged paged = page(file.model, all_of(*file.model) / 2, threads(2));
  ExpertStore& store = *paged.store;
  const ModelWeights& mapped = file.model->weights();
  for (int32_t token = 0; token < 400; ++token) {
    for (int layer = 0; layer < 2; ++layer) {
      const std::vector<int32_t> chosen = {token * 5 % 16, (token * 5 + 3) % 16};
      store.observe({layer, chosen, 2, 1});
      if (layer == 0 && store.wants_predictions()) store.predict(1, chosen);
      std::vector<ExpertPin> pins(2);
      REQUIRE(store.request(layer, chosen, pins).ok());
      for (const ExpertPin& pin : pins) {
        ExpertWeights weights;
        REQUIRE(store.wait(pin, weights).ok());
        const quant::Matrix there = weights.down;
        const quant::Matrix right =
            mapped.layers[static_cast<size_t>(layer)].down.expert(pin.expert);
        REQUIRE(std::memcmp(there.data, right.data, right.bytes()) == 0);
      }
      store.release(pins);
    }
  }
  const ExpertCounters counters = store.statistics()->counters;
  CHECK(counters.n_ahead > 20);
  CHECK(counters.n_ahead_used > counters.n_ahead * 9 / 10);
  CHECK(counters.bytes_ahead > 0);
  CHECK(counters.bytes_ahead < counters.bytes_read);
}

TEST_CASE("paged experts: a batch reads each missing expert once") {
  const TinyFile file;
  const Paged paged = page(file.model, floor_of(*file.model), threads(2));
  Runner runner(paged);
  for (int i = 0; i < 4; ++i) {
    const ExpertCounters before = paged.store->statistics()->counters;
    REQUIRE(runner.step().ok());
    ExpertCounters now = paged.store->statistics()->counters;
    now -= before;
    CHECK(now.n_tokens == 8);
    CHECK(now.n_hits + now.n_misses <= 2 * 16);  // layers, experts of each
    CHECK(now.n_reads == 3 * now.n_misses);
    const uint64_t of_expert = 3 * 64 * 64 * sizeof(float);
    CHECK(now.bytes_read >= now.n_misses * of_expert);
    CHECK(now.bytes_read <= now.n_misses * (of_expert + 3 * 2 * 4096));
  }
}

TEST_CASE("paged experts: a prompt reads hardly more than the experts that it lacks") {
  constexpr int32_t kRows = 512;
  TinyShape shape;
  shape.n_experts = 16;
  shape.d_model = shape.d_ff = 256;
  const TemporaryDirectory folder;
  const auto model = Model::open(folder.write("model.gguf", tiny_model(shape).build()));
  REQUIRE_MESSAGE(model.ok(), model.status().to_string());
  const Paged paged = page(*model, all_of(**model) / 4, threads(2));
  // What a layer's rows chose and the store does not have, each expert once.
  struct Missing final : ForwardObserver {
    explicit Missing(const ExpertStore& of) : store(of) {}
    void routes(int layer, int32_t* experts, float*, int n_rows, int n_active) override {
      std::set<int32_t> chosen(experts, experts + n_rows * n_active);
      n += std::count_if(chosen.begin(), chosen.end(),
                         [&](int32_t expert) { return !store.has(layer, expert); });
    }
    const ExpertStore& store;
    int64_t n = 0;
  };
  auto forward = Forward::create(paged.model, {.max_rows = kRows, .experts = paged.store});
  auto state = SequenceState::create(paged.model->config(), 2 * kRows, CacheType::f16);
  REQUIRE((forward.ok() && state.ok()));
  SequenceState* sequences[] = {state->get()};
  for (const int32_t first : {0, kRows}) {
    std::vector<TokenRow> rows;
    for (int32_t i = first; i < first + kRows; ++i) rows.push_back({i * 29 % 256, i, 0});
    Missing missing(*paged.store);
    const ExpertCounters before = paged.store->statistics()->counters;
    REQUIRE((*forward)->run(rows, sequences, nullptr, &missing).ok());
    ExpertCounters now = paged.store->statistics()->counters;
    now -= before;
    CHECK(missing.n > 16);
    CHECK(std::cmp_equal(now.n_misses, missing.n));
    const double of_expert = 3.0 * 256 * 256 * sizeof(float);
    CHECK(static_cast<double>(now.bytes_read) <= 1.02 * of_expert * static_cast<double>(missing.n));
  }
}

TEST_CASE("paged experts: a slab below the floor is refused, the floor is enough") {
  const TinyFile file;
  const uint64_t least = floor_of(*file.model);
  const auto refused = make_paged_expert_store(*file.model, {least - 1, threads(1), {}});
  REQUIRE(!refused.ok());
  CHECK(refused.status().cause() == Cause::budget);
  CHECK(make_paged_expert_store(*file.model, {least, threads(1), {}}).ok());
}

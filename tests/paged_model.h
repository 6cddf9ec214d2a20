// A small model whose dense weights are in memory of their own and whose experts are paged, and
// runs of it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/experts/dense_weights.h"
#include "runtime/experts/paged_expert_store.h"
#include "runtime/forward/forward.h"
#include "tests/fault_reads.h"
#include "tests/temporary_directory.h"
#include "tests/tiny_model.h"

namespace larder::tests {

using MakeBackend = decltype(runtime::PagedStoreOptions::make_backend);

inline MakeBackend threads(int n_lanes) {
  return [=](size_t capacity) { return runtime::make_thread_reads(n_lanes, capacity); };
}

inline MakeBackend uring(int n_lanes) {
  return [=](size_t capacity) { return runtime::make_uring_reads(n_lanes, capacity); };
}

inline MakeBackend faulty(FaultReads::Fate fate, bool reorders) {
  return [=](size_t capacity) -> Result<std::unique_ptr<runtime::ReadBackend>> {
    auto inner = runtime::make_thread_reads(2, capacity);
    if (!inner) return inner.status();
    return std::unique_ptr<runtime::ReadBackend>(
        std::make_unique<FaultReads>(std::move(*inner), fate, reorders));
  };
}

// A model whose dense weights are in memory of their own and whose experts are paged.
struct Paged {
  std::shared_ptr<const runtime::Model> model;
  std::shared_ptr<runtime::ExpertStore> store;
};

inline Paged page(const std::shared_ptr<const runtime::Model>& model, uint64_t slab_bytes,
                  MakeBackend backend,
                  runtime::WeightFiles::Access access = runtime::WeightFiles::Access::direct) {
  const auto files = runtime::WeightFiles::open(model->file(), access);
  REQUIRE_MESSAGE(files.ok(), files.status().to_string());
  auto dense = runtime::DenseWeights::load(*files, model->weights().dense, {});
  REQUIRE_MESSAGE(dense.ok(), dense.status().to_string());
  auto moved = runtime::Model::over(*model, *dense);
  REQUIRE_MESSAGE(moved.ok(), moved.status().to_string());
  auto store = runtime::make_paged_expert_store(**moved, {slab_bytes, std::move(backend), access});
  REQUIRE_MESSAGE(store.ok(), store.status().to_string());
  return {*moved, *store};
}

inline uint64_t floor_of(const runtime::Model& model) {
  return runtime::ExpertLayout(model.config(), model.weights()).floor_bytes();
}
inline uint64_t all_of(const runtime::Model& model) {
  return runtime::ExpertLayout(model.config(), model.weights()).all_bytes();
}

// So many that they are larger than the least slab, which is a huge page.
inline constexpr uint32_t kManyExperts = 64;

// A tiny model's file, opened; enough experts that few of them fit.
struct TinyFile {
  explicit TinyFile(uint32_t n_experts = 16) {
    TinyShape shape;
    shape.n_experts = n_experts;
    shape.n_active = 2;
    shape.d_model = 64;
    shape.d_ff = 64;
    path = folder.write("model.gguf", tiny_model(shape).build());
    auto opened = runtime::Model::open(path);
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    model = *opened;
  }
  TemporaryDirectory folder;
  std::string path;
  std::shared_ptr<const runtime::Model> model;
};

// One sequence over a paged model.
struct Runner {
  explicit Runner(const Paged& paged, int n_threads = 1) : model(paged.model) {
    auto made = runtime::Forward::create(
        model, {.n_threads = n_threads, .max_rows = 8, .max_logits = 8, .experts = paged.store});
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    forward = std::move(*made);
    auto sequence = runtime::SequenceState::create(model->config(), 64, runtime::CacheType::f32);
    REQUIRE(sequence.ok());
    state = std::move(*sequence);
  }
  Status step(int32_t n = 8) {
    state->truncate(0);
    std::vector<runtime::TokenRow> rows;
    for (int32_t i = 0; i < n; ++i) rows.push_back({i * 29 % 256, i, 0, true});
    runtime::SequenceState* sequences[] = {state.get()};
    return forward->run(rows, sequences);
  }
  std::vector<float> logits(int32_t n = 8) const {
    return {forward->logits(0), forward->logits(0) + n * model->config().n_vocab};
  }
  std::shared_ptr<const runtime::Model> model;
  std::unique_ptr<runtime::Forward> forward;
  std::unique_ptr<runtime::SequenceState> state;
};

inline std::vector<float> mapped_logits(const std::shared_ptr<const runtime::Model>& model) {
  Runner runner({model, nullptr});
  REQUIRE(runner.step().ok());
  return runner.logits();
}

}  // namespace larder::tests

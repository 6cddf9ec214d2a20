// The bundled model's logits are the same bits for any number of threads, any chunk and, as all
// float steps are spelled out in fused multiply-adds, on every instruction set.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "quant/dispatch.h"
#include "runtime/forward/forward.h"

using namespace larder;
using namespace larder::runtime;

namespace {

constexpr int32_t kLongest = 96;
constexpr int kPrompts = 20;

// Twenty prompts of three to 96 tokens, whatever they mean.
std::vector<std::vector<int32_t>> make_prompts(int32_t n_vocab) {
  std::vector<std::vector<int32_t>> prompts(kPrompts);
  uint64_t state = 1;
  for (size_t p = 0; p < prompts.size(); ++p) {
    const size_t n = p == 0 ? kLongest : 3 + p * p * 7 % 40;
    for (size_t i = 0; i < n; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
      prompts[p].push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(n_vocab)));
    }
  }
  return prompts;
}

// FNV-1a over the words.
void hash_words(uint64_t& hash, const float* words, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, words + i, sizeof bits);
    hash = (hash ^ bits) * 0x100000001B3U;
  }
}

struct Setting {
  int threads;
  int32_t chunk;
};
constexpr Setting kFirst = {1, 512};
constexpr Setting kOthers[] = {{2, 7}, {1, 1}, {1, 7}, {1, 32}, {2, 1}, {2, 32}, {2, 512}};

// How many of the other settings are tried; the slow kernels and formats show it at fewer.
size_t n_settings(const std::string& isa, const std::string& model) {
  if (isa == "scalar") return model == "q4" ? 1 : 0;
  return model == "f16" ? 1 : std::size(kOthers);
}

// One hash of the logits behind every token of all prompts.
uint64_t hash_of(const std::shared_ptr<const Model>& model, const quant::KernelSet& kernels,
                 const Setting& setting) {
  const int32_t rows_at_once = std::min(setting.chunk, kLongest);
  auto forward = Forward::create(model, {.n_threads = setting.threads,
                                         .max_rows = setting.chunk,
                                         .max_logits = rows_at_once,
                                         .kernels = &kernels});
  REQUIRE(forward.ok());
  auto state = SequenceState::create(model->config(), kLongest, CacheType::f16);
  REQUIRE(state.ok());
  SequenceState* sequences[] = {state->get()};
  uint64_t hash = 0xCBF29CE484222325U;
  for (const std::vector<int32_t>& prompt : make_prompts(model->config().n_vocab)) {
    (*state)->truncate(0);
    const auto n = static_cast<int32_t>(prompt.size());
    for (int32_t begin = 0; begin < n; begin += setting.chunk) {
      const int32_t end = std::min(n, begin + setting.chunk);
      std::vector<TokenRow> rows;
      for (int32_t i = begin; i < end; ++i)
        rows.push_back({prompt[static_cast<size_t>(i)], i, 0, i % 8 == 0 || i == n - 1});
      const Status status = (*forward)->run(rows, sequences);
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      int index = 0;
      for (const TokenRow& row : rows)
        if (row.wants_logits)
          hash_words(hash, (*forward)->logits(index++), model->config().n_vocab);
    }
  }
  return hash;
}

}  // namespace

TEST_CASE("determinism: one hash of twenty prompts' logits over threads and chunks") {
  for (const char* name : {"q4", "q8", "f16"}) {
    const std::string path =
        std::string(LARDER_SHARED_DIR) + "/weights/storyteller/storyteller-" + name + ".gguf";
    if (!std::filesystem::exists(path)) {
      MESSAGE("skipped: there is no ", path);
      continue;
    }
    const auto model = Model::open(path);
    REQUIRE_MESSAGE(model.ok(), model.status().to_string());
    std::optional<uint64_t> of_all;
    for (const quant::KernelSet* kernels : quant::kernel_sets()) {
      if (!quant::is_supported(*kernels)) continue;
      const std::string isa = kernels->name;
      const uint64_t first = hash_of(*model, *kernels, kFirst);
      MESSAGE(std::string(name), " ", isa, ": ", first);
      for (size_t i = 0; i < n_settings(isa, name); ++i) {
        CAPTURE(isa);
        CAPTURE(kOthers[i].threads);
        CAPTURE(kOthers[i].chunk);
        CHECK(hash_of(*model, *kernels, kOthers[i]) == first);
      }
      if (!of_all) of_all = first;
      CHECK_MESSAGE(*of_all == first, "instruction sets differ");
    }
  }
}

// Of rows that want no logits the last layer makes keys and values only, and nobody can tell.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/forward/forward.h"
#include "tests/carrying_model.h"
#include "tests/golden_case.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

// One of each mixer and of what stands around it: latent attention in both layouts, layers that
// carry states, sinks and windows, chunks, a second attention to a source.
constexpr const char* kModels[] = {
    "qwen3moe", "mixtral",    "deepseek-v2-lite", "deepseek-v3", "deepseek-v2-lite-legacy",
    "gpt-oss",  "llama4",     "lfm2moe",          "qwen3next",   "qwen35moe",
    "switch",   "llama-dense"};

struct Sequence {
  Sequence(const std::shared_ptr<const Model>& from, const std::vector<int32_t>& source,
           quant::Arithmetic arithmetic, int n_threads)
      : model(from) {
    auto made = Forward::create(
        model,
        {.arithmetic = arithmetic, .n_threads = n_threads, .max_rows = 64, .max_logits = 64});
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    forward = std::move(*made);
    auto state_made = SequenceState::create(model->config(), 64, CacheType::f16);
    REQUIRE_MESSAGE(state_made.ok(), state_made.status().to_string());
    state = std::move(*state_made);
    encode_source(*forward, *state, source);
  }

  // Logits of the tokens [begin, end) that are wanted, by position.
  std::vector<std::vector<float>> run(const std::vector<int32_t>& tokens, size_t begin, size_t end,
                                      const std::set<size_t>& wanted,
                                      ForwardObserver* observer = nullptr) {
    std::vector<TokenRow> rows;
    int n = 0;
    for (size_t i = begin; i < end; ++i)
      rows.push_back({tokens[i], static_cast<int32_t>(i), 0, wanted.count(i) > 0});
    SequenceState* sequences[] = {state.get()};
    const Status status = forward->run(rows, sequences, nullptr, observer);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    std::vector<std::vector<float>> logits;
    for (const TokenRow& row : rows) {
      if (!row.wants_logits) continue;
      const float* from = forward->logits(n++);
      logits.emplace_back(from, from + model->config().n_vocab);
    }
    return logits;
  }

  std::shared_ptr<const Model> model;
  std::unique_ptr<Forward> forward;
  std::unique_ptr<SequenceState> state;
};

std::set<size_t> all(size_t n) {
  std::set<size_t> numbers;
  for (size_t i = 0; i < n; ++i) numbers.insert(i);
  return numbers;
}

// How many rows each layer had in a pass.
class RowCounter : public ForwardObserver {
 public:
  explicit RowCounter(bool sees_all) : sees_all_(sees_all) {}
  void layer_output(int, const float*, int n_rows, int) override { n_rows_.push_back(n_rows); }
  bool sees_every_row() const noexcept override { return sees_all_; }
  std::vector<int> take() { return std::move(n_rows_); }

 private:
  bool sees_all_;
  std::vector<int> n_rows_;
};

void check_ways_of_wanting(const std::shared_ptr<const Model>& model,
                           const std::vector<int32_t>& tokens, const std::vector<int32_t>& source) {
  const size_t n = tokens.size();
  for (const quant::Arithmetic arithmetic :
       {quant::Arithmetic::integer, quant::Arithmetic::exact}) {
    const auto sequence = [&](int n_threads) {
      return Sequence(model, source, arithmetic, n_threads);
    };
    const auto expected = sequence(1).run(tokens, 0, n, all(n));

    CHECK(sequence(2).run(tokens, 0, n, {n - 1})[0] == expected[n - 1]);
    Sequence some = sequence(1);
    const auto of_some = some.run(tokens, 0, n - 1, {1, 3, n - 3});
    CHECK(of_some[0] == expected[1]);
    CHECK(of_some[1] == expected[3]);
    CHECK(of_some[2] == expected[n - 3]);
    CHECK(some.run(tokens, n - 1, n, {n - 1})[0] == expected[n - 1]);
    // nobody wanted; one row alone; then what they left behind is read
    Sequence none = sequence(2);
    CHECK(none.run(tokens, 0, n - 3, {}).empty());
    CHECK(none.run(tokens, n - 3, n - 2, {}).empty());
    CHECK(none.run(tokens, n - 2, n, {n - 1})[0] == expected[n - 1]);
  }
}

// Its first layer alone.
GgufBuilder first_layer(GgufBuilder file, const std::string& architecture) {
  file.key(architecture + ".block_count").value = le32(1);
  std::erase_if(file.tensors,
                [](const RawTensor& tensor) { return tensor.name.starts_with("blk.1."); });
  return file;
}

}  // namespace

TEST_CASE("wanted rows: logits and what is remembered are the same, whichever rows are wanted") {
  for (const char* const name : kModels) {
    CAPTURE(name);
    const auto golden = load_golden(name);
    if (!golden) {
      MESSAGE("skipped: no reference data");
      continue;
    }
    int n_prompts = 0;
    for (const PromptTrace& prompt : golden->prompts) {
      if (prompt.tokens.size() < 6 || prompt.tokens.size() > 60) continue;
      check_ways_of_wanting(golden->model, prompt.tokens, prompt.source);
      ++n_prompts;
    }
    CHECK(n_prompts > 0);
  }
}

TEST_CASE("wanted rows: the same where the last layer carries a state") {
  GgufBuilder convolution = first_layer(tiny_short_convolution(), "lfm2moe");
  convolution.key("lfm2moe.attention.head_count_kv") =
      key_array("lfm2moe.attention.head_count_kv", kU32, 1, le32(0));
  for (const GgufBuilder& file :
       {convolution, first_layer(tiny_delta_net(Rates::fused), "qwen3next")}) {
    const OpenedModel opened = open_model(file);
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    REQUIRE((*opened.model)->config().layers.back().carries_state());
    check_ways_of_wanting(*opened.model, {5, 6, 7, 8, 9, 10, 11, 12}, {});
  }
}

TEST_CASE("wanted rows: the last layer has others only for who looks at every row") {
  const OpenedModel opened = open_model(tiny_model());
  REQUIRE(opened.model.ok());
  const std::vector<int32_t> tokens = {5, 6, 7, 8, 9};
  for (const bool sees_all : {true, false}) {
    RowCounter counter(sees_all);
    Sequence sequence(*opened.model, {}, quant::Arithmetic::integer, 2);
    sequence.run(tokens, 0, 3, {2}, &counter);
    CHECK(counter.take() == std::vector<int>{3, sees_all ? 3 : 1});
    sequence.run(tokens, 3, 5, {}, &counter);
    CHECK(counter.take() == std::vector<int>{2, sees_all ? 2 : 0});
  }
}

TEST_CASE("wanted rows: rows of several sequences keep their places") {
  const OpenedModel opened = open_model(tiny_model());
  REQUIRE(opened.model.ok());
  const std::vector<int32_t> tokens[] = {{5, 6, 7, 8}, {9, 10, 11}, {12}};
  std::vector<std::vector<float>> alone;
  for (const auto& own : tokens)
    alone.push_back(Sequence(*opened.model, {}, quant::Arithmetic::integer, 1)
                        .run(own, 0, own.size(), {own.size() - 1})[0]);

  Sequence bench(*opened.model, {}, quant::Arithmetic::integer, 2);
  std::vector<std::unique_ptr<SequenceState>> states;
  std::vector<SequenceState*> sequences;
  std::vector<TokenRow> rows;
  for (size_t place = 0; place < 4; ++place)  // in turns
    for (int32_t s = 0; s < 3; ++s) {
      const auto& own = tokens[s];
      if (place < own.size())
        rows.push_back({own[place], static_cast<int32_t>(place), s, place + 1 == own.size()});
    }
  for (int i = 0; i < 3; ++i) {
    states.push_back(*SequenceState::create((*opened.model)->config(), 8, CacheType::f16));
    sequences.push_back(states.back().get());
  }
  REQUIRE(bench.forward->run(rows, sequences).ok());
  const int order[] = {2, 1, 0};  // by the length of what was said
  for (int i = 0; i < 3; ++i) {
    const float* logits = bench.forward->logits(i);
    const auto& expected = alone[static_cast<size_t>(order[i])];
    CHECK(std::equal(expected.begin(), expected.end(), logits));
  }
}

TEST_CASE("wanted rows: what a row remembers is looked at although the row ends there") {
  for (const char* const tensor : {"blk.1.attn_k.weight", "blk.1.attn_v.weight"}) {
    GgufBuilder builder = tiny_model();
    set_float(builder.tensor(tensor), 0, std::numeric_limits<float>::infinity());
    const OpenedModel opened = open_model(builder);
    REQUIRE(opened.model.ok());
    Sequence sequence(*opened.model, {}, quant::Arithmetic::exact, 1);
    SequenceState* sequences[] = {sequence.state.get()};
    const TokenRow rows[] = {{1, 0, 0, false}, {2, 1, 0, false}};
    const Status status = sequence.forward->run(rows, sequences);
    CHECK(status.cause() == Cause::numeric);
    CHECK(status.to_string().find("layer 1") != std::string::npos);
    CHECK(sequence.state->n_positions() == 0);
  }
}

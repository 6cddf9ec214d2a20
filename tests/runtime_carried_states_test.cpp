// Sequences whose layers carry states: going back, copies, and passes that fail.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "runtime/session/session.h"
#include "tests/carrying_model.h"
#include "tests/sequence_bench.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

constexpr int32_t kVocab = 260;

struct Bench : SequenceBench {
  explicit Bench(const GgufBuilder& file) : SequenceBench(file, 32) { state = new_state(); }
  std::unique_ptr<SequenceState> new_state() const {
    auto made = SequenceState::create(config(), 64, CacheType::f32);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    return std::move(*made);
  }
  // Logits of the next n positions.
  std::vector<float> go_on(SequenceState& on, int32_t n) {
    const Status status = run(on, n);
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    return {forward->logits(0), forward->logits(0) + n * kVocab};
  }
  std::vector<float> go_on(int32_t n) { return go_on(*state, n); }

  std::unique_ptr<SequenceState> state;
};

// Of positions [begin, end).
std::vector<float> part(const std::vector<float>& logits, int32_t begin, int32_t end) {
  return {logits.begin() + begin * kVocab, logits.begin() + end * kVocab};
}

template <class F>
void for_each_model(F&& f) {
  const GgufBuilder files[] = {tiny_short_convolution(), tiny_delta_net(Rates::fused),
                               tiny_delta_net(Rates::split)};
  for (const GgufBuilder& file : files) {
    Bench fresh(file), bench(file);
    const std::vector<float> expected = fresh.go_on(24);
    CAPTURE((*bench.opened.model)->config().architecture);
    f(bench, expected);
  }
}

}  // namespace

TEST_CASE("carried states: a sequence goes back to the end of a call, and on to the same bits") {
  for_each_model([](Bench& bench, const std::vector<float>& expected) {
    CHECK(bench.go_on(9) == part(expected, 0, 9));
    for (int32_t i = 9; i < 14; ++i) CHECK(bench.go_on(1) == part(expected, i, i + 1));
    CHECK(bench.state->n_left_by_truncate(14) == 14);
    CHECK(bench.state->n_left_by_truncate(13) == 9);
    CHECK(bench.state->truncate(11) == 9);
    CHECK(bench.state->n_positions() == 9);
    CHECK(bench.go_on(7) == part(expected, 9, 16));
    CHECK(bench.state->truncate(12) == 9);
    CHECK(bench.go_on(1) == part(expected, 9, 10));
    CHECK(bench.state->truncate(8) == 0);
    CHECK(bench.go_on(24) == expected);
    CHECK(bench.state->truncate(0) == 0);
    CHECK(bench.go_on(1) == part(expected, 0, 1));
  });
}

TEST_CASE("carried states: a copy goes on by itself") {
  for_each_model([](Bench& bench, const std::vector<float>& expected) {
    bench.go_on(10);
    const std::unique_ptr<SequenceState> copy = bench.new_state();
    bench.go_on(*copy, 3);
    copy->copy_from(*bench.state);
    CHECK(bench.go_on(*copy, 6) == part(expected, 10, 16));
    CHECK(bench.go_on(2) == part(expected, 10, 12));
    CHECK(copy->truncate(15) == 10);
    CHECK(bench.go_on(*copy, 14) == part(expected, 10, 24));
    CHECK(copy->truncate(9) == 0);
  });
}

TEST_CASE("carried states: a pass that is cancelled in its middle changes nothing") {
  for_each_model([](Bench& bench, const std::vector<float>& expected) {
    bench.go_on(5);
    for (const int32_t n : {1, 6}) {
      Canceller canceller;
      CHECK(bench.run(*bench.state, n, &canceller, &canceller.cancel).cause() == Cause::cancelled);
      CHECK(bench.state->n_positions() == 5);
    }
    CHECK(bench.go_on(6) == part(expected, 5, 11));
    CHECK(bench.state->truncate(8) == 5);
    CHECK(bench.go_on(19) == part(expected, 5, 24));
  });
}

TEST_CASE("carried states: sequences without rows in a call stay where they are") {
  for_each_model([](Bench& bench, const std::vector<float>& expected) {
    const std::unique_ptr<SequenceState> idle = bench.new_state();
    bench.go_on(*idle, 4);
    bench.go_on(4);
    SequenceState* sequences[] = {idle.get(), bench.state.get()};
    const TokenRow row = {token_at(4), 4, 1, true};
    REQUIRE(bench.forward->run({&row, 1}, sequences).ok());
    CHECK(std::equal(expected.begin() + 4 * kVocab, expected.begin() + 5 * kVocab,
                     bench.forward->logits(0)));
    CHECK(bench.go_on(*idle, 3) == part(expected, 4, 7));
  });
}

TEST_CASE("carried states: checkpoints are few, and the nearer the end the closer together") {
  const OpenedModel opened = open_model(tiny_short_convolution());
  REQUIRE(opened.model.ok());
  const ModelConfig& config = (*opened.model)->config();
  auto state = SequenceState::create(config, 1 << 20, CacheType::f16);
  REQUIRE(state.ok());
  const auto restorable = [&](int32_t position) { return (*state)->n_left_by_truncate(position); };
  for (int32_t i = 0; i < 40; ++i) (*state)->advance(512);
  const int32_t prompt = 40 * 512;
  CHECK(restorable(prompt) == prompt);
  CHECK(restorable(prompt - 1) == prompt - 512);
  CHECK(restorable(prompt / 4 * 3) >= prompt / 2);
  // tokens of an answer push nothing out
  for (int32_t i = 0; i < 2000; ++i) (*state)->advance(1);
  CHECK(restorable(prompt + 1990) == prompt);
  CHECK(restorable(prompt - 1) == prompt - 512);
  CHECK((*state)->truncate(prompt + 1990) == prompt);
  CHECK(SequenceState::carried_bytes_for(config) > 0);
  CHECK(SequenceState::bytes_for(config, 100, CacheType::f16) >
        SequenceState::carried_bytes_for(config));
}

TEST_CASE("carried states: a session takes a conversation up as if it were fresh") {
  for (const GgufBuilder& file : {tiny_short_convolution(), tiny_delta_net(Rates::split)}) {
    const OpenedModel opened = open_model(file);
    REQUIRE(opened.model.ok());
    SessionOptions options;
    options.n_threads = 1;
    options.batch_size = 8;
    const auto open = [&] {
      auto session = Session::create(*opened.model, options);
      REQUIRE_MESSAGE(session.ok(), session.status().to_string());
      return std::move(*session);
    };
    const auto logits_of = [&](const std::vector<int32_t>& tokens) {
      const auto session = open();
      REQUIRE(session->append(tokens).ok());
      return std::vector<float>(session->logits().begin(), session->logits().end());
    };
    const auto session = open();
    std::vector<int32_t> tokens;
    for (int32_t turn = 0; turn < 4; ++turn) {
      for (int32_t i = 0; i < 11; ++i) tokens.push_back(token_at(7 * turn + i));
      // the prompt, once more as it was, and as if an answer had become other tokens
      for (const size_t n_changed : {size_t{0}, size_t{0}, size_t{3}}) {
        for (size_t i = 1; i <= n_changed; ++i) tokens[tokens.size() - i - 2] ^= 1;
        const int32_t n_kept = session->n_reusable(tokens);
        int32_t n_computed = 0;
        const auto count = [&](int32_t, int32_t total) {
          n_computed = total;
          return true;
        };
        REQUIRE(session->continue_as(tokens, count).ok());
        CHECK(n_kept + n_computed == static_cast<int32_t>(tokens.size()));
        CHECK(session->tokens() == tokens);
        const std::vector<float> expected = logits_of(tokens);
        CHECK(std::equal(expected.begin(), expected.end(), session->logits().begin()));
        for (int32_t i = 0; i < 4; ++i) {
          const int32_t answered = token_at(i + 50);
          REQUIRE(session->append(std::span(&answered, 1)).ok());
        }
      }
      for (int32_t i = 0; i < 4; ++i) tokens.push_back(token_at(i + 50));
      CHECK(session->n_reusable(tokens) > 0);
    }
    const int32_t n_left = session->truncate(20);
    CHECK(n_left <= 20);
    CHECK(static_cast<int32_t>(session->tokens().size()) == n_left);
  }
}

// Layers with a window hold the last positions only: the same bits as if they held all.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "runtime/session/session.h"
#include "runtime/session/window_ring.h"
#include "tests/sequence_bench.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

constexpr int32_t kCapacity = 6000, kTokens = 5000;  // rings of about 2,200 begin anew twice

uint64_t hash(uint64_t from, const float* x, int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, x + i, sizeof bits);
    from = (from ^ bits) * 0x100000001b3;  // Source: FNV-1a
  }
  return from;
}

struct Bench : SequenceBench {
  explicit Bench(const TinyShape& shape) : SequenceBench(tiny_model(shape), 100) {}
  std::unique_ptr<SequenceState> new_state(int32_t longest_pass, CacheType type = CacheType::f16,
                                           int32_t capacity = kCapacity) const {
    auto made = SequenceState::create(config(), capacity, type, longest_pass);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    CHECK((*made)->bytes() == SequenceState::bytes_for(config(), capacity, type, longest_pass));
    return std::move(*made);
  }
  // Goes on to `end` in pieces, and appends a number a position that stands for its logits.
  void go_to(SequenceState& on, int32_t end, int32_t piece, std::vector<uint64_t>& seen) {
    seen.resize(static_cast<size_t>(on.n_positions()));
    while (on.n_positions() < end) {
      const int32_t n = std::min(piece, end - on.n_positions());
      const Status status = run(on, n);
      REQUIRE_MESSAGE(status.ok(), status.to_string());
      for (int32_t i = 0; i < n; ++i)
        seen.push_back(hash(0xcbf29ce484222325, forward->logits(i), config().n_vocab));
    }
  }
};

TinyShape sliding(uint32_t width) {
  TinyShape shape = tiny_gpt_oss();
  shape.window = width;
  return shape;
}

TinyShape chunked(uint32_t width) {
  TinyShape shape = tiny_llama4();
  shape.window = width;
  return shape;
}

}  // namespace

TEST_CASE("window ring: the same bits as all positions, in pieces of any length") {
  for (const TinyShape& shape : {sliding(70), chunked(96)}) {
    Bench bench(shape);
    CAPTURE(shape.architecture);
    std::vector<uint64_t> expected, seen;
    const auto whole = bench.new_state(SequenceState::kAnyPass);
    bench.go_to(*whole, kTokens, 100, expected);
    for (const int32_t piece : {1, 7, 100}) {
      const auto ring = bench.new_state(piece);
      CHECK(ring->bytes() < whole->bytes());
      bench.go_to(*ring, kTokens, piece, seen);
      CHECK(seen == expected);
    }
  }
}

TEST_CASE("window ring: every type of keys and values") {
  TinyShape shape = sliding(130);
  shape.d_head = 32;
  Bench bench(shape);
  for (const CacheType type : {CacheType::f32, CacheType::q8_0}) {
    std::vector<uint64_t> expected, seen;
    bench.go_to(*bench.new_state(SequenceState::kAnyPass, type), 3000, 100, expected);
    bench.go_to(*bench.new_state(64, type), 3000, 64, seen);
    CHECK(seen == expected);
  }
}

TEST_CASE("window ring: a sequence goes back by an answer, or to the beginning") {
  for (const TinyShape& shape : {sliding(70), chunked(96)}) {
    Bench bench(shape);
    std::vector<uint64_t> expected, seen;
    bench.go_to(*bench.new_state(SequenceState::kAnyPass), kTokens, 100, expected);
    const auto ring = bench.new_state(50);
    bench.go_to(*ring, 4000, 50, seen);
    CHECK(ring->n_left_by_truncate(4000) == 4000);
    CHECK(ring->n_left_by_truncate(3999) == 3999);
    CHECK(ring->truncate(4000 - 2048) == 4000 - 2048);
    bench.go_to(*ring, 4500, 33, seen);
    CHECK(std::equal(seen.begin(), seen.end(), expected.begin()));
    CHECK(ring->n_left_by_truncate(4500 - 2048) == 4500 - 2048);
    CHECK(ring->n_left_by_truncate(4500 - 2048 - 400) == 0);
    // a sequence that went back still knows what was overwritten before
    CHECK(ring->truncate(3000) == 3000);
    CHECK(ring->truncate(2000) == 0);
    CHECK(ring->n_positions() == 0);
    bench.go_to(*ring, kTokens, 50, seen);
    CHECK(seen == expected);
  }
}

TEST_CASE("window ring: a pass that fails leaves what it held") {
  Bench bench(sliding(70));
  std::vector<uint64_t> expected, seen;
  bench.go_to(*bench.new_state(SequenceState::kAnyPass), 3000, 100, expected);
  const auto ring = bench.new_state(50);
  bench.go_to(*ring, 2900, 50, seen);
  CHECK(ring->n_left_by_truncate(800) == 800);
  for (int i = 0; i < 3; ++i) {
    Canceller canceller;
    CHECK(bench.run(*ring, 50, &canceller, &canceller.cancel).cause() == Cause::cancelled);
    CHECK(ring->n_positions() == 2900);
  }
  CHECK(ring->n_left_by_truncate(800) == 0);  // it took the place of what that sees
  bench.go_to(*ring, 3000, 50, seen);
  CHECK(seen == expected);
}

TEST_CASE("window ring: copies between rings of other lengths") {
  Bench bench(sliding(70));
  std::vector<uint64_t> expected, seen;
  const auto whole = bench.new_state(SequenceState::kAnyPass);
  bench.go_to(*whole, kTokens, 100, expected);
  whole->truncate(4000);
  const auto short_ring = bench.new_state(1), long_ring = bench.new_state(100);
  const auto go_on = [&](SequenceState& on, int32_t piece) {
    bench.go_to(on, 4300, piece, seen);
    CHECK(std::equal(seen.begin() + 4000, seen.end(), expected.begin() + 4000));
    CHECK(on.truncate(4000) == 4000);
  };
  short_ring->copy_from(*whole);
  go_on(*short_ring, 1);
  long_ring->copy_from(*short_ring);
  CHECK(long_ring->n_left_by_truncate(4000 - 2048) == 0);  // which the short one had lost
  go_on(*long_ring, 100);
  whole->copy_from(*long_ring);
  go_on(*whole, 77);
  short_ring->copy_from(*long_ring);
  go_on(*short_ring, 1);
}

TEST_CASE("window ring: a pass that is longer than promised is refused") {
  Bench bench(sliding(70));
  const auto ring = bench.new_state(8);
  const Status status = bench.run(*ring, 9);
  CHECK(status.cause() == Cause::invalid_argument);
  CHECK(status.to_string().find("more rows than the 8") != std::string::npos);
  CHECK(bench.run(*ring, 8).ok());
  CHECK(SequenceState::create(bench.config(), 10, CacheType::f16, 0).status().cause() ==
        Cause::invalid_argument);
}

TEST_CASE("window ring: how many positions there are") {
  const Window narrow{WindowKind::sliding, 128}, wide{WindowKind::chunked, 8192}, none;
  CHECK(WindowRing::places_for(narrow, 131072, 512) == 17024);  // 128 + 511 + 16384, blocks of 64
  CHECK(WindowRing::places_for(narrow, 8192, 512) == 2688);
  CHECK(WindowRing::places_for(narrow, 2000, 512) == 2000);
  CHECK(WindowRing::places_for(narrow, 131072, SequenceState::kAnyPass) == 131072);
  CHECK(WindowRing::places_for(wide, 8192, 512) == 8192);
  CHECK(WindowRing::places_for(wide, 65536, 512) == 16896);
  CHECK(WindowRing::places_for(none, 131072, 512) == 131072);
  CHECK(WindowRing::places_for({WindowKind::sliding, INT32_MAX}, INT32_MAX, INT32_MAX) ==
        INT32_MAX);
}

TEST_CASE("window ring: a session takes a conversation up, near and far") {
  const OpenedModel opened = open_model(tiny_model(sliding(64)));
  REQUIRE(opened.model.ok());
  SessionOptions options;
  options.n_threads = 1;
  options.n_ctx = kCapacity;
  options.batch_size = 64;
  const auto open = [&] {
    auto session = Session::create(*opened.model, options);
    REQUIRE_MESSAGE(session.ok(), session.status().to_string());
    return std::move(*session);
  };
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 4500; ++i) tokens.push_back(token_at(i));
  const auto session = open(), fresh = open();
  REQUIRE(session->append(tokens).ok());
  CHECK(session->ram().needs.cache_bytes ==
        SequenceState::bytes_for((*opened.model)->config(), kCapacity, CacheType::f16, 64));
  for (const auto& [n_kept, n_reused] : {std::pair{3000, 3000}, {700, 0}}) {
    tokens.resize(static_cast<size_t>(n_kept));
    for (int32_t i = 0; i < 500; ++i) tokens.push_back(token_at(i + 7));
    CHECK(session->n_reusable(tokens) == n_reused);
    REQUIRE(session->continue_as(tokens).ok());
    fresh->truncate(0);
    REQUIRE(fresh->append(tokens).ok());
    CHECK(std::equal(fresh->logits().begin(), fresh->logits().end(), session->logits().begin()));
  }
  CHECK(session->truncate(1100) == 1100);
  CHECK(session->tokens().size() == 1100);
}

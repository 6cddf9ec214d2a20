// Sessions that share a store of paged experts.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/experts/pass_turns.h"
#include "runtime/session/session.h"
#include "tests/paged_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

std::vector<formats::TokenId> tokens_of(int seed, int n) {
  std::vector<formats::TokenId> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + seed * 101) % 256);
  return tokens;
}

std::vector<float> say(Session& session, int seed) {
  session.truncate(0);
  std::vector<float> all;
  for (const formats::TokenId token : tokens_of(seed, 40)) {
    const Status status = session.append(std::span(&token, 1));
    REQUIRE_MESSAGE(status.ok(), status.to_string());
    all.insert(all.end(), session.logits().begin(), session.logits().end());
  }
  return all;
}

std::unique_ptr<Session> paged_session(const TinyFile& file) {
  SessionOptions options;
  options.n_ctx = 64;
  options.batch_size = 16;
  options.n_threads = 1;
  options.ram_bytes = Session::plan(*file.model, options)->floor_bytes;
  auto session = Session::create(file.model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().to_string());
  REQUIRE((*session)->expert_statistics());
  return std::move(*session);
}

void wait_for_waiting(PassTurns& turns, int n) {
  while (turns.n_waiting() < n) std::this_thread::yield();
}

}  // namespace

TEST_CASE("shared experts: a copy has the weights and the slab of the first, and what it read") {
  const TinyFile file(kManyExperts);
  const auto first = paged_session(file);
  const std::vector<float> expected = say(*first, 0);
  auto copy = first->copy();
  REQUIRE_MESSAGE(copy.ok(), copy.status().to_string());
  CHECK(&(*copy)->model() == &first->model());
  CHECK((*copy)->tokens() == first->tokens());
  const auto before = first->expert_statistics()->counters;
  CHECK(say(**copy, 0) == expected);
  const auto after = first->expert_statistics()->counters;
  CHECK(after.n_tokens == before.n_tokens + 40);
  CHECK((*copy)->expert_statistics()->counters.n_tokens == after.n_tokens);
}

TEST_CASE("shared experts: sessions at the same time get what each gets alone") {
  const TinyFile file(kManyExperts);
  constexpr int kSessions = 3, kRounds = 4;
  std::vector<std::unique_ptr<Session>> sessions;
  sessions.push_back(paged_session(file));
  std::vector<std::vector<float>> expected;
  for (int i = 0; i < kSessions; ++i) expected.push_back(say(*sessions[0], i));
  while (sessions.size() < kSessions) {
    auto copy = sessions[0]->copy();
    REQUIRE(copy.ok());
    sessions.push_back(std::move(*copy));
  }
  std::atomic<int> n_right{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round)
        n_right += say(*sessions[i], static_cast<int>(i)) == expected[i] ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(n_right == kSessions * kRounds);
  sessions.erase(sessions.begin());  // the first may go before the others
  CHECK(say(*sessions[0], 1) == expected[1]);
}

TEST_CASE("pass turns: one at a time, in the order they came") {
  PassTurns turns;
  std::vector<int> order;
  std::vector<std::thread> threads;
  {
    const PassTurns::Turn turn = turns.take();
    REQUIRE(static_cast<bool>(turn));
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const PassTurns::Turn own = turns.take();
        order.push_back(i);
      });
      wait_for_waiting(turns, i + 1);
    }
    CHECK(order.empty());
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(order == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("pass turns: who is cancelled waits no longer, and is passed over") {
  PassTurns turns;
  std::atomic<bool> cancel{false};
  std::atomic<bool> is_served{false};
  std::thread cancelled, patient;
  {
    const PassTurns::Turn turn = turns.take();
    cancelled = std::thread([&] { CHECK(!static_cast<bool>(turns.take(&cancel))); });
    wait_for_waiting(turns, 1);
    patient = std::thread([&] { is_served = static_cast<bool>(turns.take()); });
    wait_for_waiting(turns, 2);
    cancel = true;
    cancelled.join();
    CHECK(!is_served);
  }
  patient.join();
  CHECK(is_served);
  CHECK(static_cast<bool>(turns.take()));
}

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/forward/forward.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

std::vector<TokenRow> rows_of(int32_t first, int32_t n, int32_t sequence = 0) {
  std::vector<TokenRow> rows;
  for (int32_t i = 0; i < n; ++i)
    rows.push_back({(first + i) * 31 % 256, first + i, sequence, true});
  return rows;
}

// A model, a pass over it and one sequence.
struct Bench {
  explicit Bench(const GgufBuilder& builder,
                 ForwardOptions options = {.max_rows = 32, .max_logits = 32}, int32_t capacity = 64)
      : opened(open_model(builder)) {
    REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
    auto made = Forward::create(*opened.model, options);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    forward = std::move(*made);
    state = new_state(capacity);
  }
  std::unique_ptr<SequenceState> new_state(int32_t capacity) const {
    auto made = SequenceState::create((*opened.model)->config(), capacity, CacheType::f16);
    REQUIRE_MESSAGE(made.ok(), made.status().to_string());
    return std::move(*made);
  }
  Status run(const std::vector<TokenRow>& rows, ForwardObserver* observer = nullptr,
             const std::atomic<bool>* cancel = nullptr) {
    SequenceState* sequences[] = {state.get()};
    return forward->run(rows, sequences, cancel, observer);
  }
  std::vector<float> logits(int n) const {
    return {forward->logits(0), forward->logits(0) + n * (*opened.model)->config().n_vocab};
  }

  OpenedModel opened;
  std::unique_ptr<Forward> forward;
  std::unique_ptr<SequenceState> state;
};

std::vector<float> logits_of(const GgufBuilder& builder,
                             ForwardOptions options = {.max_rows = 32, .max_logits = 32}) {
  Bench bench(builder, options);
  const Status status = bench.run(rows_of(0, 9));
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return bench.logits(9);
}

// Lends one expert at a time out of memory that it spoils as soon as it gets it back.
class StingyStore final : public ExpertStore {
 public:
  explicit StingyStore(const ModelWeights& weights, int32_t most = 1)
      : inner_(make_mapped_expert_store(weights)), most_(most) {}

  int32_t max_pins(int) const noexcept override { return most_; }
  void observe(const LayerRoutes&) noexcept override {}
  bool has(int, int32_t expert) const noexcept override { return expert % 2 == 0; }
  size_t gather(std::span<ExpertPin> pins, bool) override { return pins.size(); }
  Status request(int layer, std::span<const int32_t> experts, std::span<ExpertPin> pins) override {
    REQUIRE(n_pinned == 0);
    REQUIRE(experts.size() <= static_cast<size_t>(most_));
    REQUIRE(std::set<int32_t>(experts.begin(), experts.end()).size() == experts.size());
    if (++n_requests == fails_at_request) return Status(Cause::io, "the disk is gone");
    for (size_t i = 0; i < experts.size(); ++i)
      pins[i] = {layer, experts[i], static_cast<int32_t>(i)};
    n_pinned = static_cast<int32_t>(experts.size());
    lent_.resize(static_cast<size_t>(most_) * 3);
    return {};
  }
  Status wait(const ExpertPin& pin, ExpertWeights& weights) override {
    if (++n_waits == fails_at_wait) return Status(Cause::io, "the disk is gone");
    REQUIRE(inner_->wait(pin, weights).ok());
    const auto slot = static_cast<size_t>(pin.slot) * 3;
    lend(weights.gate, lent_[slot]);
    lend(weights.up, lent_[slot + 1]);
    lend(weights.down, lent_[slot + 2]);
    return {};
  }
  void release(std::span<const ExpertPin> pins) noexcept override {
    n_pinned -= static_cast<int32_t>(pins.size());
    for (const ExpertPin& pin : pins)
      for (size_t i = 0; i < 3; ++i) {
        auto& bytes = lent_[static_cast<size_t>(pin.slot) * 3 + i];
        std::fill(bytes.begin(), bytes.end(), uint8_t{0xFF});  // NaN in every float format
      }
  }
  size_t bytes() const noexcept override { return 0; }

  int32_t n_pinned = 0, n_requests = 0, n_waits = 0, fails_at_request = 0, fails_at_wait = 0;

 private:
  static void lend(quant::Matrix& matrix, std::vector<uint8_t>& bytes) {
    bytes.assign(matrix.data, matrix.data + matrix.bytes());
    matrix.data = bytes.data();
  }
  std::unique_ptr<ExpertStore> inner_;
  std::vector<std::vector<uint8_t>> lent_;
  int32_t most_;
};

struct StingyBench {
  explicit StingyBench(int32_t most, int threads = 1)
      : lender(open_model(tiny_model())),
        store(std::make_shared<StingyStore>((*lender.model)->weights(), most)),
        bench(tiny_model(),
              {.n_threads = threads, .max_rows = 32, .max_logits = 32, .experts = store}) {}
  OpenedModel lender;
  std::shared_ptr<StingyStore> store;
  Bench bench;
};

}  // namespace

TEST_CASE("forward: experts lent one at a time give the same bits") {
  const std::vector<float> expected = logits_of(tiny_model());
  for (const int threads : {1, 2})
    for (const int32_t most : {1, 3, 4}) {
      StingyBench stingy(most, threads);
      REQUIRE(stingy.bench.run(rows_of(0, 9)).ok());
      CHECK(stingy.bench.logits(9) == expected);
      CHECK(stingy.store->n_pinned == 0);
    }
}

TEST_CASE("forward: an expert that cannot be had is an error, and everything is given back") {
  for (const bool is_request : {true, false})
    for (const int32_t at : {1, 2, 6}) {
      StingyBench stingy(1, 2);
      (is_request ? stingy.store->fails_at_request : stingy.store->fails_at_wait) = at;
      const Status status = stingy.bench.run(rows_of(0, 9));
      REQUIRE_FALSE(status.ok());
      CHECK(status.cause() == Cause::io);
      CHECK(stingy.store->n_pinned == 0);
      CHECK(stingy.bench.state->n_positions() == 0);
      CHECK(stingy.bench.run(rows_of(0, 9)).ok());
      CHECK(stingy.bench.logits(9) == logits_of(tiny_model()));
    }
}

TEST_CASE("forward: after an error every sequence holds what it held before") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  GgufBuilder builder = tiny_model();
  set_float(builder.tensor("token_embd.weight"), 77 * 32, nan);
  Bench bench(builder), sound(builder);
  REQUIRE(bench.run(rows_of(0, 5)).ok());
  REQUIRE(sound.run(rows_of(0, 5)).ok());
  std::vector<TokenRow> rows = rows_of(5, 3);
  rows[1].token = 77;
  const Status status = bench.run(rows);
  REQUIRE_FALSE(status.ok());
  CHECK(status.cause() == Cause::numeric);
  CHECK(status.to_string().find("position 6") != std::string::npos);
  CHECK(bench.state->n_positions() == 5);
  REQUIRE(bench.run(rows_of(5, 4)).ok());
  REQUIRE(sound.run(rows_of(5, 4)).ok());
  CHECK(bench.logits(4) == sound.logits(4));
}

TEST_CASE("forward: rows that do not fit are refused before anything is done") {
  Bench bench(tiny_model(), {.max_rows = 8, .max_logits = 2}, 6);
  const auto cause_of = [&](std::vector<TokenRow> rows, bool wants = false) {
    for (TokenRow& row : rows) row.wants_logits = wants;
    return bench.run(rows).cause();
  };
  CHECK(cause_of(rows_of(1, 1)) == Cause::invalid_argument);  // a gap
  CHECK(cause_of(rows_of(0, 9)) == Cause::invalid_argument);  // more than max_rows
  CHECK(cause_of(rows_of(0, 7)) == Cause::context_full);
  CHECK(cause_of(rows_of(0, 3), true) == Cause::invalid_argument);  // logits
  CHECK(cause_of(rows_of(0, 1, 1)) == Cause::invalid_argument);     // no such sequence
  CHECK(cause_of(rows_of(0, 1, -1)) == Cause::invalid_argument);
  for (const int32_t token : {-1, 260, INT32_MAX})
    CHECK(cause_of({{token, 0, 0, false}}) == Cause::invalid_argument);
  CHECK(bench.state->n_positions() == 0);
  CHECK(bench.run({}).ok());
  CHECK(cause_of(rows_of(0, 6)) == Cause::ok);
  CHECK(bench.state->n_positions() == 6);
  CHECK(cause_of(rows_of(6, 1)) == Cause::context_full);
}

TEST_CASE("forward: options that make no sense are refused") {
  const OpenedModel opened = open_model(tiny_model());
  for (const ForwardOptions& options :
       {ForwardOptions{.n_threads = 0}, ForwardOptions{.max_rows = 0},
        ForwardOptions{.max_rows = 2, .max_logits = 3}, ForwardOptions{.max_positions = -1}})
    CHECK(Forward::create(*opened.model, options).status().cause() == Cause::invalid_argument);
  CHECK(Forward::create(*opened.model, {.max_rows = INT32_MAX, .max_logits = INT32_MAX})
            .status()
            .cause() == Cause::out_of_memory);
}

TEST_CASE("forward: a cancelled run changes nothing") {
  Bench bench(tiny_model());
  const std::atomic<bool> cancel = true;
  CHECK(bench.run(rows_of(0, 5), nullptr, &cancel).cause() == Cause::cancelled);
  CHECK(bench.state->n_positions() == 0);
  REQUIRE(bench.run(rows_of(0, 9)).ok());
  CHECK(bench.logits(9) == logits_of(tiny_model()));
}

TEST_CASE("forward: a truncated and a copied sequence go on like the first") {
  Bench bench(tiny_model());
  REQUIRE(bench.run(rows_of(0, 9)).ok());
  const std::unique_ptr<SequenceState> copy = bench.new_state(16);
  copy->copy_from(*bench.state);
  bench.state->truncate(4);
  REQUIRE(bench.run(rows_of(4, 5)).ok());
  const std::vector<float> again = bench.logits(5);
  const std::vector<float> first = logits_of(tiny_model());
  CHECK(std::equal(again.begin(), again.end(), first.begin() + 4 * 260));

  REQUIRE(bench.run(rows_of(9, 3)).ok());
  const std::vector<float> own = bench.logits(3);
  SequenceState* sequences[] = {copy.get()};
  REQUIRE(bench.forward->run(rows_of(9, 3), sequences).ok());
  CHECK(bench.logits(3) == own);
}

TEST_CASE("forward: an observer sees routes and may replace them") {
  class Forcing final : public ForwardObserver {
   public:
    void routes(int, int32_t* experts, float* weights, int n_rows, int n_active) override {
      for (int i = 0; i < n_rows * n_active; ++i) {
        experts[i] = expert;
        weights[i] = 1.0F / static_cast<float>(n_active);
      }
    }
    int32_t expert = 3;
  } forcing;
  Bench bench(tiny_model());
  REQUIRE(bench.run(rows_of(0, 9), &forcing).ok());
  const std::vector<float> forced = bench.logits(9);
  CHECK(forced != logits_of(tiny_model()));

  // all tokens take expert 3 alone: a model that has only its weights says the same
  GgufBuilder alone = tiny_model();
  for (RawTensor& tensor : alone.tensors) {
    if (tensor.name.find("_exps") == std::string::npos) continue;
    const Bytes last = tensor.data.substr(tensor.data.size() / 4 * 3);
    tensor.data = last + last + last + last;
  }
  Bench same(alone);
  forcing.expert = 0;
  REQUIRE(same.run(rows_of(0, 9), &forcing).ok());
  CHECK(same.logits(9) == forced);

  forcing.expert = 4;
  CHECK(bench.run(rows_of(9, 1), &forcing).cause() == Cause::invalid_argument);
  CHECK(bench.state->n_positions() == 9);
}

TEST_CASE("forward: a fused tensor is its parts one behind another") {
  GgufBuilder fused = tiny_model();
  for (const std::string prefix : {"blk.0.", "blk.1."}) {
    RawTensor qkv{.name = prefix + "attn_qkv.weight", .dims = {32, 128}, .data = {}};
    for (const char* part : {"attn_q.weight", "attn_k.weight", "attn_v.weight"})
      qkv.data += fused.tensor(prefix + part).data;
    RawTensor experts{.name = prefix + "ffn_gate_up_exps.weight", .dims = {32, 64, 4}, .data = {}};
    const Bytes gate = fused.tensor(prefix + "ffn_gate_exps.weight").data;
    const Bytes up = fused.tensor(prefix + "ffn_up_exps.weight").data;
    const size_t one = gate.size() / 4;
    for (size_t e = 0; e < 4; ++e)
      experts.data += gate.substr(e * one, one) + up.substr(e * one, one);
    std::erase_if(fused.tensors, [&](const RawTensor& tensor) {
      return tensor.name == prefix + "attn_q.weight" || tensor.name == prefix + "attn_k.weight" ||
             tensor.name == prefix + "attn_v.weight" ||
             tensor.name == prefix + "ffn_gate_exps.weight" ||
             tensor.name == prefix + "ffn_up_exps.weight";
    });
    fused.tensors.push_back(std::move(qkv));
    fused.tensors.push_back(std::move(experts));
  }
  CHECK(logits_of(fused) == logits_of(tiny_model()));
}

TEST_CASE("forward: a dense layer is one expert that every token takes") {
  TinyShape one = tiny_dense();
  const GgufBuilder dense = tiny_model(one);
  TinyShape shape;
  shape.n_experts = shape.n_active = 1;
  GgufBuilder routed = tiny_model(shape);
  for (RawTensor& tensor : routed.tensors) {
    std::string name = tensor.name;
    if (const size_t at = name.find("_exps"); at != std::string::npos) name.erase(at, 5);
    for (const RawTensor& from : dense.tensors)
      if (from.name == name) tensor.data = from.data;
  }
  // a softmax over one expert is a weight of exactly one
  CHECK(logits_of(routed) == logits_of(dense));
}

TEST_CASE("forward: a shared expert beside routed ones, plain and behind its own gate") {
  GgufBuilder shared = tiny_model();
  for (const std::string prefix : {"blk.0.", "blk.1."})
    for (const auto& [part, dims] : std::vector<std::pair<std::string, std::vector<uint64_t>>>{
             {"gate", {32, 64}}, {"up", {32, 64}}, {"down", {64, 32}}})
      shared.tensors.push_back({.name = prefix + "ffn_" + part + "_shexp.weight",
                                .dims = dims,
                                .data = random_floats(32 * 64, 99, 0.3F)});
  const std::vector<float> plain = logits_of(shared);
  CHECK(plain != logits_of(tiny_model()));

  // a gate of weight zero is a sigmoid of one half: half of the down projection does the same
  GgufBuilder gated = shared, halved = shared;
  for (const std::string prefix : {"blk.0.", "blk.1."}) {
    gated.tensors.push_back({.name = prefix + "ffn_gate_inp_shexp.weight",
                             .dims = {32},
                             .data = random_floats(32, 1, 0)});
    halved.tensor(prefix + "ffn_down_shexp.weight").data = random_floats(32 * 64, 99, 0.15F);
  }
  CHECK(logits_of(gated) == logits_of(halved));
}

TEST_CASE("forward: biases of attention are added") {
  GgufBuilder biased = tiny_model();
  for (const std::string prefix : {"blk.0.", "blk.1."})
    for (const auto& [part, n] : std::vector<std::pair<std::string, uint64_t>>{
             {"q", 64}, {"k", 32}, {"v", 32}, {"output", 32}})
      biased.tensors.push_back(
          {.name = prefix + "attn_" + part + ".bias", .dims = {n}, .data = random_floats(n, 3, 0)});
  CHECK(logits_of(biased) == logits_of(tiny_model()));
  for (const char* part : {"q", "k", "v", "output"}) {
    GgufBuilder changed = biased;
    set_float(changed.tensor(std::string("blk.1.attn_") + part + ".bias"), 5, 1.5F);
    CHECK(logits_of(changed) != logits_of(tiny_model()));
  }
}

TEST_CASE("forward: what is allocated is what is accounted") {
  const OpenedModel opened = open_model(tiny_model());
  const ModelConfig& config = (*opened.model)->config();
  for (const CacheType type : {CacheType::f16, CacheType::f32}) {
    auto state = SequenceState::create(config, 100, type);
    REQUIRE(state.ok());
    CHECK((*state)->bytes() == SequenceState::bytes_for(config, 100, type));
    const size_t element = type == CacheType::f16 ? 2 : 4;
    CHECK((*state)->bytes() >= 2 * 2 * 100 * 32 * element);         // layers, k and v
    CHECK((*state)->bytes() <= 2 * 2 * (100 * 32 * element + 64));  // and alignment
  }
  CHECK(SequenceState::bytes_for(config, INT32_MAX, CacheType::f32) < SIZE_MAX);
  CHECK(SequenceState::create(config, 0, CacheType::f16).status().cause() ==
        Cause::invalid_argument);
  auto small = Forward::create(*opened.model, {.max_rows = 1});
  auto large = Forward::create(*opened.model, {.max_rows = 512});
  REQUIRE((small.ok() && large.ok()));
  CHECK((*small)->bytes() < (*large)->bytes());
}

// An encoder and a decoder over a tiny model: what a source is to its sequence, and the catalogue
// of what can be wrong with the keys and tensors of two stacks.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/forward/forward.h"
#include "runtime/forward/position_bias.h"
#include "runtime/session/session.h"
#include "tests/model_catalogue.h"

using namespace larder;
using namespace larder::tests;

namespace {

constexpr uint32_t kModel = 32, kHeads = 4, kHead = 16, kWidth = kHeads * kHead, kFf = 32,
                   kBuckets = 8;
const std::vector<int32_t> kSource = {3, 1, 4, 1, 5, 9, 2, 6}, kOther = {2, 7, 1, 8};
const std::vector<int32_t> kTokens = {0, 11, 12, 13, 14};

std::string key(const char* name) { return std::string("switch.") + name; }

// One layer as the tiny model has it, under the names of a stack: the first dense, all without
// gate.
void add_layer(GgufBuilder& file, const std::string& stack, uint32_t layer, uint32_t& seed) {
  const std::string prefix = stack + ".blk." + std::to_string(layer) + ".";
  const auto matrix = [&](const std::string& name, std::vector<uint64_t> dims) {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    file.tensors.push_back({.name = prefix + name + ".weight",
                            .dims = std::move(dims),
                            .data = random_floats(n, ++seed, 0.4F)});
  };
  const auto attention = [&](const std::string& kind) {
    file.tensors.push_back(tensor_f32(prefix + kind + "_norm.weight", {kModel}));
    for (const char* part : {"_q", "_k", "_v"}) matrix(kind + part, {kModel, kWidth});
    matrix(kind + "_o", {kWidth, kModel});
  };
  attention("attn");
  if (layer == 0) matrix("attn_rel_b", {kHeads, kBuckets});
  if (stack == "dec") attention("cross_attn");
  file.tensors.push_back(tensor_f32(prefix + "ffn_norm.weight", {kModel}));
  if (layer == 0) {
    matrix("ffn_up", {kModel, kFf});
    matrix("ffn_down", {kFf, kModel});
    return;
  }
  matrix("ffn_gate_inp", {kModel, 4});
  matrix("ffn_up_exps", {kModel, kFf, 4});
  matrix("ffn_down_exps", {kFf, kModel, 4});
}

GgufBuilder tiny_two_stacks() {
  GgufBuilder file = tiny_model({.architecture = "switch",
                                 .n_kv_heads = kHeads,
                                 .n_active = 1,
                                 .has_qk_norm = false,
                                 .has_head = false});
  std::erase_if(file.tensors,
                [](const RawTensor& tensor) { return tensor.name != "token_embd.weight"; });
  uint32_t seed = 300;
  for (const char* stack : {"enc", "dec"}) {
    for (uint32_t layer = 0; layer < 2; ++layer) add_layer(file, stack, layer, seed);
    file.tensors.push_back(tensor_f32(stack + std::string(".output_norm.weight"), {kModel}));
  }
  file.keys.push_back(key_u32(key("decoder_block_count"), 2));
  file.keys.push_back(key_u32(key("decoder_start_token_id"), 0));
  file.keys.push_back(key_u32(key("attention.relative_buckets_count"), kBuckets));
  file.keys.push_back(key_u32(key("attention.relative_max_distance"), 16));
  return file;
}

std::shared_ptr<const runtime::Model> sound_model() {
  static const OpenedModel opened = open_model(tiny_two_stacks());
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return *opened.model;
}

// A forward pass and one sequence of it.
struct Run {
  explicit Run(std::shared_ptr<const runtime::Model> model, int32_t capacity = 16)
      : forward(make_forward(model, capacity)) {
    auto made = runtime::SequenceState::create(model->config(), capacity, runtime::CacheType::f16);
    REQUIRE(made.ok());
    state = std::move(*made);
    n_vocab = model->config().n_vocab;
  }
  static std::unique_ptr<runtime::Forward> make_forward(
      const std::shared_ptr<const runtime::Model>& model, int32_t capacity) {
    auto made = runtime::Forward::create(
        model, {.max_rows = 8, .max_logits = 8, .max_positions = capacity});
    REQUIRE(made.ok());
    return std::move(*made);
  }
  Status encode(const std::vector<int32_t>& source) {
    std::vector<runtime::TokenRow> rows;
    for (const int32_t token : source)
      rows.push_back({token, static_cast<int32_t>(rows.size()), 0, false});
    runtime::SequenceState* sequences[] = {state.get()};
    return forward->encode(rows, sequences);
  }
  Status append(const std::vector<int32_t>& tokens, size_t from = 0) {
    std::vector<runtime::TokenRow> rows;
    for (size_t i = from; i < tokens.size(); ++i)
      rows.push_back({tokens[i], static_cast<int32_t>(i), 0, i + 1 == tokens.size()});
    runtime::SequenceState* sequences[] = {state.get()};
    return forward->run(rows, sequences);
  }
  std::vector<float> logits() const {
    const float* from = forward->logits(0);
    return {from, from + n_vocab};
  }
  std::unique_ptr<runtime::Forward> forward;
  std::unique_ptr<runtime::SequenceState> state;
  int32_t n_vocab = 0;
};

std::vector<float> answer_to(const std::vector<int32_t>& source) {
  Run run(sound_model());
  REQUIRE(run.encode(source).ok());
  REQUIRE(run.append(kTokens).ok());
  return run.logits();
}

ModelCase broken(std::string id, const std::function<void(GgufBuilder&)>& change,
                 std::vector<Cause> causes, std::string subject) {
  GgufBuilder file = tiny_two_stacks();
  change(file);
  return {std::move(id), std::move(file), std::move(causes), std::move(subject)};
}

void set_key(GgufBuilder& file, const char* name, uint32_t value) {
  file.key(key(name)) = key_u32(key(name), value);
}

}  // namespace

// Source: T5's formula in NumPy float32, 32 buckets, 128 places.
TEST_CASE("encoder-decoder: distances share buckets, on both sides or behind the query only") {
  const runtime::RelativePositions relative = {32, 128};
  struct Case {
    int32_t distance, both_sides, behind;
  };
  for (const auto& [distance, both_sides, behind] : std::vector<Case>{{0, 0, 0},
                                                                      {1, 17, 0},
                                                                      {-1, 1, 1},
                                                                      {7, 23, 0},
                                                                      {-7, 7, 7},
                                                                      {8, 24, 0},
                                                                      {-8, 8, 8},
                                                                      {15, 25, 0},
                                                                      {-16, 10, 16},
                                                                      {16, 26, 0},
                                                                      {-32, 12, 21},
                                                                      {64, 30, 0},
                                                                      {-64, 14, 26},
                                                                      {-127, 15, 31},
                                                                      {128, 31, 0},
                                                                      {-100000, 15, 31}}) {
    CAPTURE(distance);
    CHECK(runtime::relative_bucket(relative, distance, true) == both_sides);
    CHECK(runtime::relative_bucket(relative, distance, false) == behind);
  }
}

TEST_CASE("encoder-decoder: an answer depends on the source, to its last token") {
  const std::vector<float> whole = answer_to(kSource);
  std::vector<int32_t> changed = kSource;
  changed.back() = 7;
  CHECK(answer_to(changed) != whole);
  CHECK(answer_to(kSource) == whole);
}

TEST_CASE("encoder-decoder: a source stays while positions come and go, and goes with a copy") {
  const auto model = sound_model();
  const std::vector<float> whole = answer_to(kSource);
  Run run(model);
  REQUIRE(run.encode(kSource).ok());
  REQUIRE(run.append({0, 50, 51, 52}).ok());
  run.state->truncate(1);
  CHECK(run.state->n_source() == 8);
  REQUIRE(run.append(kTokens, 1).ok());
  CHECK(run.logits() == whole);

  Run other(model, 24);  // of another capacity
  REQUIRE(other.encode(kOther).ok());
  run.state->truncate(3);
  other.state->copy_from(*run.state);
  CHECK(other.state->n_source() == 8);
  CHECK(other.state->n_positions() == 3);
  REQUIRE(other.append(kTokens, 3).ok());
  CHECK(other.logits() == whole);

  REQUIRE(run.encode(kOther).ok());
  CHECK(run.state->n_positions() == 0);
  REQUIRE(run.append(kTokens).ok());
  CHECK(run.logits() == answer_to(kOther));
}

TEST_CASE("encoder-decoder: a sequence counts a source's keys and values") {
  const runtime::ModelConfig& config = sound_model()->config();
  // two layers, keys and values of itself and of the source, float16
  const size_t expected = size_t{2} * 2 * 2 * 16 * kWidth * 2;
  CHECK(runtime::SequenceState::bytes_for(config, 16, runtime::CacheType::f16) == expected);
}

TEST_CASE("encoder-decoder: what has no source, and what is none") {
  Run run(sound_model());
  CHECK(run.append(kTokens).cause() == Cause::invalid_argument);
  CHECK(run.encode(std::vector<int32_t>(17, 1)).cause() == Cause::invalid_argument);
  CHECK(run.encode({1, 2, 260}).cause() == Cause::invalid_argument);
  CHECK(run.state->n_source() == 0);

  Run small(sound_model(), 16);
  auto state = runtime::SequenceState::create(sound_model()->config(), 4, runtime::CacheType::f16);
  REQUIRE(state.ok());
  small.state = std::move(*state);
  CHECK(small.encode(kSource).cause() == Cause::context_full);

  // rows of two sources that alternate
  auto second = runtime::SequenceState::create(sound_model()->config(), 8, runtime::CacheType::f16);
  REQUIRE(second.ok());
  runtime::SequenceState* sequences[] = {run.state.get(), second->get()};
  const std::vector<runtime::TokenRow> rows = {{1, 0, 0}, {2, 0, 1}, {3, 1, 0}, {4, 1, 1}};
  CHECK(run.forward->encode(rows, sequences).cause() == Cause::invalid_argument);

  const OpenedModel decoder = open_model(tiny_model());
  REQUIRE(decoder.model.ok());
  Run alone(*decoder.model);
  CHECK(alone.encode(kSource).cause() == Cause::unsupported);
}

TEST_CASE("encoder-decoder: a trained context that no machine has room for is no need of memory") {
  GgufBuilder file = tiny_two_stacks();
  set_key(file, "context_length", 0x7fffffff);
  const OpenedModel endless = open_model(file);
  REQUIRE(endless.model.ok());
  const runtime::ForwardOptions options = {.max_rows = 8, .max_logits = 8};
  CHECK(runtime::Forward::bytes_for(**endless.model, options) < size_t{1} << 28);
  CHECK(runtime::Forward::create(*endless.model, options).ok());
  // Room that is asked for is another thing.
  CHECK(runtime::Forward::bytes_for(**endless.model, {.max_positions = 0x3fffffff}) > size_t{1}
                                                                                          << 32);
}

TEST_CASE("encoder-decoder: a sequence behind the context is named") {
  GgufBuilder file = tiny_two_stacks();
  set_key(file, "context_length", 3);
  const OpenedModel brief = open_model(file);
  REQUIRE(brief.model.ok());
  Run run(*brief.model);
  run.forward = *runtime::Forward::create(*brief.model, {.max_rows = 8, .max_logits = 8});
  const Status full = run.encode({1, 2, 3, 4});
  REQUIRE(full.cause() == Cause::context_full);
  CHECK(full.detail().subject == "sequence 0");
  REQUIRE(run.encode({1, 2, 3}).ok());
  CHECK(run.append({0, 1, 2, 3}).detail().subject == "sequence 0");
  CHECK(run.append({0, 1, 2}).ok());
}

TEST_CASE("encoder-decoder: a session reads a source, then answers; a bad source changes nothing") {
  runtime::SessionOptions options;
  options.n_ctx = 8;
  options.n_threads = 1;
  auto made = runtime::Session::create(sound_model(), options);
  REQUIRE_MESSAGE(made.ok(), made.status().to_string());
  runtime::Session& session = **made;
  CHECK(session.append(kTokens).cause() == Cause::invalid_argument);
  REQUIRE(session.encode(kSource).ok());
  CHECK(session.source() == kSource);
  REQUIRE(session.append(kTokens).ok());
  const std::vector<float> logits(session.logits().begin(), session.logits().end());

  const Status too_long = session.encode(std::vector<int32_t>(9, 1));
  CHECK(too_long.cause() == Cause::context_full);
  CHECK(too_long.to_string().find("source of 9 tokens does not fit the context of 8") !=
        std::string::npos);
  CHECK(session.encode(std::vector<int32_t>{}).cause() == Cause::invalid_argument);
  CHECK(session.source() == kSource);
  session.truncate(1);
  REQUIRE(session.append(std::span(kTokens).subspan(1)).ok());
  CHECK(std::equal(logits.begin(), logits.end(), session.logits().begin()));

  REQUIRE(session.encode(kOther).ok());
  CHECK(session.tokens().empty());
  CHECK(session.logits().empty());
}

TEST_CASE("encoder-decoder: every tensor of both stacks is asked for by its name") {
  for (const RawTensor& tensor : tiny_two_stacks().tensors) {
    // without its router a layer is dense, and then lacks what dense layers have
    const bool is_router = tensor.name.ends_with("ffn_gate_inp.weight");
    const bool is_output = tensor.name.ends_with(".attn_o.weight");
    const std::string stem = tensor.name.substr(0, tensor.name.rfind(".blk.") + 7);
    const std::string subject = is_router   ? stem + "ffn_up.weight"
                                : is_output ? stem + "attn_output.weight"
                                            : tensor.name;
    check(broken(
        "without " + tensor.name, [&](GgufBuilder& file) { drop_tensor(file, tensor.name); },
        kMissing, subject));
  }
}

TEST_CASE("encoder-decoder: keys and tensors that do not fit") {
  const auto with_key = [](const char* name, uint32_t value) {
    check(broken(
        name, [&](GgufBuilder& file) { set_key(file, name, value); }, kHparam, name));
  };
  with_key("decoder_start_token_id", 260);
  with_key("decoder_block_count", 0);
  with_key("attention.relative_buckets_count", 3);
  with_key("attention.relative_max_distance", kBuckets / 2);
  with_key("nextn_predict_layers", 1);
  for (const char* name : {"decoder_start_token_id", "attention.relative_buckets_count",
                           "attention.relative_max_distance"})
    check(broken(
        std::string("without ") + name, [&](GgufBuilder& file) { drop_key(file, key(name)); },
        kHparam, name));
  check(broken(
      "head counts that differ",
      [](GgufBuilder& file) {
        const std::string name = key("attention.head_count");
        file.key(name) = key_array(name, kU32, 4, le32(4) + le32(4) + le32(8) + le32(4));
        drop_key(file, key("attention.head_count_kv"));
      },
      kHparam, "attention.head_count"));

  for (const char* name : {"enc.blk.0.attn_rel_b.weight", "dec.blk.0.attn_rel_b.weight"})
    check(broken(
        "buckets of another number",
        [&](GgufBuilder& file) {
          file.tensor(name) = {.name = name,
                               .dims = {kHeads, kBuckets + 1},
                               .data = random_floats(kHeads * (kBuckets + 1), 7, 0.1F)};
        },
        kShape, name));
  const auto add = [](const char* name, std::vector<uint64_t> dims) {
    check(broken(
        name,
        [&](GgufBuilder& file) {
          uint64_t n = 1;
          for (const uint64_t dim : dims) n *= dim;
          file.tensors.push_back({.name = name, .dims = dims, .data = random_floats(n, 7, 0.1F)});
        },
        {Cause::unsupported}, name));
  };
  add("dec.blk.1.attn_rel_b.weight", {kHeads, kBuckets});
  add("enc.blk.0.cross_attn_q.weight", {kModel, kWidth});
  add("enc.blk.0.ffn_gate.weight", {kModel, kFf});
  add("dec.blk.1.ffn_gate_exps.weight", {kModel, kFf, 4});
  add("dec.blk.0.cross_attn_k.bias", {kWidth});
}

TEST_CASE("encoder-decoder: weights that are not finite are told, by their stack") {
  const auto status_of = [](const char* tensor, float value) {
    GgufBuilder file = tiny_two_stacks();
    set_float(file.tensor(tensor), 3, value);
    const OpenedModel opened = open_model(file);
    REQUIRE(opened.model.ok());
    Run run(*opened.model);
    const Status encoded = run.encode(kSource);
    CHECK((encoded.ok() || run.state->n_source() == 0));
    return encoded.ok() ? run.append(kTokens) : encoded;
  };
  for (const float value : {kNan, kInfinity}) {
    const Status norm = status_of("enc.output_norm.weight", value);
    CHECK(norm.cause() == Cause::numeric);
    CHECK(norm.detail().subject == "tensor enc.output_norm.weight");
    const Status router = status_of("enc.blk.1.ffn_gate_inp.weight", value);
    CHECK(router.cause() == Cause::numeric);
    CHECK(router.detail().subject == "tensor enc.blk.1.ffn_gate_inp.weight");
    CHECK(status_of("dec.blk.0.cross_attn_k.weight", value).cause() == Cause::numeric);
    CHECK(status_of("dec.blk.1.cross_attn_o.weight", value).cause() == Cause::numeric);
    CHECK(status_of("dec.output_norm.weight", value).cause() == Cause::numeric);
  }
  CHECK(status_of("enc.blk.0.attn_rel_b.weight", kNan).cause() == Cause::numeric);
}

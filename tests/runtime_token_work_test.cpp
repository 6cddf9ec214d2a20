#include <doctest/doctest.h>

#include <vector>

#include "runtime/model/token_work.h"

using namespace larder;
using namespace larder::runtime;

namespace {

constexpr int32_t kModel = 256, kHeads = 4, kKvHeads = 2, kHead = 64, kVocab = 1000;
const uint8_t kBytes[1] = {};
const float kFloats[1] = {};

quant::Matrix matrix(quant::Format format, int32_t n_rows, int32_t n_cols) {
  return {kBytes, format, n_rows, n_cols};
}

LayerConfig attention_config() {
  LayerConfig layer;
  layer.n_heads = kHeads;
  layer.n_kv_heads = kKvHeads;
  layer.d_key = layer.d_value = kHead;
  return layer;
}

LayerWeights attention_weights() {
  LayerWeights layer;
  layer.attn_norm.weight = layer.ffn_norm.weight = kFloats;
  layer.q.weight = matrix(quant::Format::q8_0, kHeads * kHead, kModel);
  layer.k.weight = layer.v.weight = matrix(quant::Format::q8_0, kKvHeads * kHead, kModel);
  layer.attn_output.weight = matrix(quant::Format::q8_0, kModel, kHeads * kHead);
  return layer;
}

ModelConfig model_config(const LayerConfig& layer) {
  ModelConfig config;
  config.d_model = kModel;
  config.n_vocab = kVocab;
  config.layers = {layer};
  return config;
}

ModelWeights model_weights(const LayerWeights& layer) {
  ModelWeights weights;
  weights.token_embd = matrix(quant::Format::q8_0, kVocab, kModel);
  weights.output_norm.weight = kFloats;
  weights.output.weight = weights.token_embd;
  weights.layers = {layer};
  return weights;
}

// Q8_0: 34 bytes per 32 weights.
constexpr uint64_t q8_bytes(uint64_t n_weights) { return n_weights / 32 * 34; }

constexpr uint64_t kAttentionWeights = 2 * 256 * 256 + 2 * 128 * 256;
constexpr uint64_t kNormBytes = 2 * 256 * 4;

}  // namespace

TEST_CASE("token work: of a layer's experts only the active ones count") {
  LayerConfig config = attention_config();
  config.router.n_experts = 8;
  config.router.n_active = 2;
  config.d_ff = 512;
  LayerWeights layer = attention_weights();
  layer.router = kFloats;
  const quant::Matrix wide = matrix(quant::Format::q4_k, 512, kModel);
  layer.gate = layer.up = ExpertStack{.first = wide, .places = std::vector<ExpertStack::Place>(8)};
  const quant::Matrix down = matrix(quant::Format::q6_k, kModel, 512);
  layer.down = ExpertStack{.first = down, .places = std::vector<ExpertStack::Place>(8)};

  const TokenWork work = token_work(model_config(config), model_weights(layer), {});
  // Q4_K: 144 bytes per 256 weights; Q6_K: 210.
  const uint64_t expert_bytes = 2 * 512 * 144 + 256 * 2 * 210;
  CHECK(work.body.bytes == q8_bytes(kModel) + q8_bytes(kAttentionWeights) + kNormBytes +
                               8 * 256 * 4 + 2 * expert_bytes);
  CHECK(work.body.ops == 2 * (kAttentionWeights + 8 * 256 + 2 * 3 * 512 * 256));
  CHECK(work.head.bytes == q8_bytes(kVocab * kModel) + 256 * 4);
  CHECK(work.head.ops == 2 * kVocab * kModel);
  CHECK(work.spared_ops == work.body.ops - 2 * 2 * 128 * 256);  // all but keys and values
}

TEST_CASE("token work: biases and sinks are read, of experts those of the active ones") {
  LayerConfig config = attention_config();
  config.router.n_experts = 8;
  config.router.n_active = 2;
  config.d_ff = 512;
  LayerWeights plain = attention_weights();
  plain.router = kFloats;
  const quant::Matrix wide = matrix(quant::Format::q8_0, 512, kModel);
  plain.gate = plain.up = ExpertStack{.first = wide, .places = std::vector<ExpertStack::Place>(8)};
  const quant::Matrix down = matrix(quant::Format::q8_0, kModel, 512);
  plain.down = ExpertStack{.first = down, .places = std::vector<ExpertStack::Place>(8)};
  LayerWeights biased = plain;
  biased.attn_norm.bias = biased.sinks = biased.router_bias = kFloats;
  biased.gate.bias = biased.up.bias = biased.down.bias = kFloats;

  const TokenWork without = token_work(model_config(config), model_weights(plain), {});
  const TokenWork with = token_work(model_config(config), model_weights(biased), {});
  CHECK(with.body.bytes - without.body.bytes ==
        sizeof(float) * (kModel + kHeads + 8 + 2 * (2 * 512 + kModel)));
  CHECK(with.body.ops == without.body.ops);
}

TEST_CASE("token work: a layer with a window reads no more positions than it shows") {
  LayerConfig windowed = attention_config();
  windowed.is_windowed = true;
  ModelConfig config = model_config(attention_config());
  config.layers.push_back(windowed);
  config.window = {WindowKind::sliding, 4};
  ModelWeights weights = model_weights(attention_weights());
  weights.layers.push_back(attention_weights());
  const TokenWork work = token_work(config, weights, {});
  CHECK(work.position.ops == 2 * 2 * 4 * 64);
  CHECK(work.windowed_position.ops == work.position.ops);

  const auto attended = [&](int64_t n) {
    return work.decode(n).ops - work.body.ops - work.head.ops;
  };
  CHECK(attended(3) == 6 * work.position.ops);
  CHECK(attended(4) == 8 * work.position.ops);
  CHECK(attended(100) == 104 * work.position.ops);
  // Positions 2, 3 and 4 see 3, 4 and 5, and 3, 4 and 4 in the window; this is the last layer,
  // where only position 4 asks.
  CHECK(work.spared_windowed_position_ops == work.position.ops);
  CHECK(work.prefill_ops(2, 3) ==
        3 * work.body.ops - 2 * work.spared_ops + (12 + 4) * work.position.ops + work.head.ops);
  CHECK(work.prefill_ops(99, 1) == work.decode(100).ops);
}

TEST_CASE("token work: a dense layer is its one expert") {
  LayerConfig config = attention_config();
  config.d_ff_shared = 512;
  LayerWeights layer = attention_weights();
  layer.shared_gate = layer.shared_up = matrix(quant::Format::q8_0, 512, kModel);
  layer.shared_down = matrix(quant::Format::q8_0, kModel, 512);
  layer.q.bias = kFloats;

  const TokenWork work = token_work(model_config(config), model_weights(layer), {});
  CHECK(work.body.bytes == q8_bytes(kModel) + q8_bytes(kAttentionWeights + 3 * 512 * 256) +
                               kNormBytes + kHeads * kHead * 4);
  CHECK(work.body.ops == 2 * (kAttentionWeights + 3 * 512 * 256));
}

TEST_CASE("token work: latent attention reads its latent's matrices and one key a position") {
  LayerConfig config = attention_config();
  config.mixer = Mixer::mla;
  config.n_kv_heads = 1;
  config.d_latent = 128;
  config.d_rotated = 32;
  config.d_query_latent = 96;
  LayerWeights layer;
  layer.q_a.weight = matrix(quant::Format::q8_0, 96, kModel);
  layer.q.weight = matrix(quant::Format::q8_0, kHeads * kHead, 96);
  layer.kv_a.weight = matrix(quant::Format::q8_0, 128 + 32, kModel);
  layer.attn_output.weight = matrix(quant::Format::q8_0, kModel, kHeads * kHead);
  layer.q_a_norm = layer.kv_a_norm = kFloats;
  layer.v_b.first = matrix(quant::Format::q8_0, kHead, 128);
  LayerWeights legacy = layer;
  layer.k_b.first = matrix(quant::Format::q8_0, 128, 32);
  legacy.k_b_transposed.first = matrix(quant::Format::q8_0, 32, 128);

  constexpr uint64_t kWeights =
      96 * 256 + 256 * 96 + 160 * 256 + 256 * 256 + 4 * (128 * 32 + 64 * 128);
  for (const LayerWeights& weights : {layer, legacy}) {
    const TokenWork work = token_work(model_config(config), model_weights(weights), {});
    CHECK(work.body.bytes == q8_bytes(kModel) + q8_bytes(kWeights) + (96 + 128) * 4);
    CHECK(work.body.ops == 2 * kWeights);
    CHECK(work.spared_ops == 2 * (kWeights - 160 * 256));  // all but what makes the latent
    // The value is the front of the key; four queries of 160 are multiplied, and 128 gathered.
    CHECK(work.position.bytes == (128 + 32) * 2);
    // A latent has the type of keys.
    CHECK(
        token_work(model_config(config), model_weights(weights), {CacheType::q8_0, CacheType::f32})
            .position.bytes == (128 + 32) / 32 * 34);
    CHECK(work.position.ops == 2 * 4 * (160 + 128));
  }
}

TEST_CASE("token work: a layer that carries a state reads and writes it, whatever came before") {
  LayerConfig config;
  config.mixer = Mixer::gated_delta_net;
  config.n_heads = 4;
  config.n_key_heads = 2;
  config.d_key = 32;
  config.d_value = 64;
  config.n_taps = 4;
  config.n_channels = 2 * 2 * 32 + 4 * 64;
  LayerWeights layer;
  layer.conv_input.weight = matrix(quant::Format::q8_0, 384, kModel);
  layer.mixed_gate.weight = layer.attn_output.weight = matrix(quant::Format::q8_0, 256, kModel);
  layer.rates.weight = layer.steps.weight = matrix(quant::Format::q8_0, 4, kModel);
  layer.conv_taps = layer.step_bias = layer.step_scale = layer.mixed_norm = kFloats;

  constexpr uint64_t kWeights = (384 + 256 + 256 + 4 + 4) * 256, kState = 4 * 32 * 64;
  const TokenWork work = token_work(model_config(config), model_weights(layer), {});
  // The state, twice; taps and the inputs that they meet; biases, scales and the norm.
  CHECK(work.body.bytes ==
        q8_bytes(kModel) + q8_bytes(kWeights) + 4 * (2 * kState + 2 * 4 * 384 + 2 * 4 + 64));
  CHECK(work.body.ops == 2 * kWeights + 7 * kState + 2 * 4 * 384);
  CHECK(work.spared_ops == 2 * 256 * 256);  // what its output is projected with
  CHECK(work.position.bytes == 0);
  CHECK(work.position.ops == 0);

  config.mixer = Mixer::short_convolution;
  LayerWeights convolution;
  convolution.conv_input.weight = matrix(quant::Format::q8_0, 3 * 384, kModel);
  convolution.conv_taps = kFloats;
  const TokenWork less = token_work(model_config(config), model_weights(convolution), {});
  CHECK(less.body.bytes == q8_bytes(kModel) + q8_bytes(3 * 384 * 256) + 4 * 2 * 4 * 384);
  CHECK(less.position.bytes == 0);
}

TEST_CASE("token work: keys and values are read as they are kept") {
  const auto position_bytes = [](CacheTypes types) {
    return token_work(model_config(attention_config()), model_weights(attention_weights()), types)
        .position.bytes;
  };
  // 2 heads of 64 each; Q8_0: 34 bytes per 32.
  CHECK(position_bytes(CacheType::f32) == 2 * 2 * 64 * 4);
  CHECK(position_bytes(CacheType::f16) == 2 * 2 * 64 * 2);
  CHECK(position_bytes(CacheType::q8_0) == 2 * 2 * 2 * 34);
  CHECK(position_bytes({CacheType::q8_0, CacheType::f32}) == 2 * 2 * 34 + 2 * 64 * 4);
  CHECK(position_bytes({CacheType::f16, CacheType::q8_0}) == 2 * 64 * 2 + 2 * 2 * 34);
}

TEST_CASE("token work: operations with float weights are none of 8 bits") {
  LayerWeights layer = attention_weights();
  const auto work_of = [&] {
    return token_work(model_config(attention_config()), model_weights(layer), {});
  };
  CHECK(work_of().body.int8_ops == work_of().body.ops);
  layer.q.weight = matrix(quant::Format::f16, kHeads * kHead, kModel);
  CHECK(work_of().body.int8_ops == work_of().body.ops - 2 * 256 * 256);
  CHECK(work_of().position.int8_ops == 0);
}

TEST_CASE("token work: attention grows with what is visible") {
  const TokenWork work =
      token_work(model_config(attention_config()), model_weights(attention_weights()), {});
  // K and V of 2 heads of 64 in two bytes; q.k and p.v of 4 heads.
  CHECK(work.position.bytes == 2 * 2 * 64 * 2);
  CHECK(work.position.ops == 2 * 2 * 4 * 64);

  CHECK(work.decode(10).ops == work.body.ops + work.head.ops + 10 * work.position.ops);
  // One token of three wants logits and sees 8 positions; of the others keys and values do.
  constexpr uint64_t kAsking = 2 * 2 * 256 * 256;
  CHECK(work.spared_ops == kAsking);
  CHECK(work.prefill_ops(5, 3) ==
        3 * work.body.ops - 2 * kAsking + 8 * work.position.ops + work.head.ops);
  CHECK(work.prefill_ops(5, 1) == work.decode(6).ops);
  CHECK(work.prefill_ops(0, 0) == 0);
}

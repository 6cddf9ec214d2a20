#include "tests/tiny_model.h"

#include <span>
#include <vector>

namespace larder::tests {
namespace {

// The printable spelling of each byte in byte-level BPE, as UTF-8. Source: GPT-2's encoder.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> out;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const uint32_t code = is_printable ? byte : next++;
    if (code < 128)
      out.push_back({static_cast<char>(code)});
    else
      out.push_back({static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))});
  }
  return out;
}

class Writer {
 public:
  Writer(GgufBuilder& builder, const TinyShape& shape) : builder_(builder), shape_(shape) {}

  void keys() {
    builder_.keys.push_back(key_string("general.architecture", shape_.architecture));
    number("block_count", shape_.n_layers);
    number("context_length", 128);
    number("embedding_length", shape_.d_model);
    number("feed_forward_length", shape_.d_ff);
    number("attention.head_count", shape_.n_heads);
    number("attention.head_count_kv", shape_.n_kv_heads);
    number("attention.key_length", shape_.d_head);
    number("attention.value_length", shape_.d_head);
    number("rope.dimension_count", shape_.d_head);
    real("rope.freq_base", 10000);
    real("attention.layer_norm_rms_epsilon", 1e-5F);
    number("vocab_size", shape_.n_vocab);
    if (shape_.window > 0) number("attention.sliding_window", shape_.window);
    if (shape_.n_experts == 0) return;
    number("expert_count", shape_.n_experts);
    number("expert_used_count", shape_.n_active);
    if (shape_.architecture != "llama") number("expert_feed_forward_length", shape_.d_ff);
  }

  void tokenizer() {
    std::vector<std::string> tokens = byte_spellings();
    while (tokens.size() < shape_.n_vocab)
      tokens.push_back("<extra" + std::to_string(tokens.size()) + ">");
    builder_.keys.push_back(key_string("tokenizer.ggml.model", "gpt2"));
    builder_.keys.push_back(key_string("tokenizer.ggml.pre", "qwen2"));
    builder_.keys.push_back(
        key_array("tokenizer.ggml.tokens", kString, tokens.size(), elements(tokens)));
    builder_.keys.push_back(key_array("tokenizer.ggml.merges", kString, 0, {}));
  }

  void tensors() {
    const uint64_t d = shape_.d_model, q = shape_.n_heads * shape_.d_head,
                   kv = shape_.n_kv_heads * shape_.d_head;
    matrix("token_embd.weight", {d, shape_.n_vocab}, 1.0F);
    stream_norm("output_norm");
    if (shape_.has_head) projection("output", d, shape_.n_vocab);
    for (uint32_t layer = 0; layer < shape_.n_layers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      stream_norm(prefix + "attn_norm");
      projection(prefix + "attn_q", d, q);
      projection(prefix + "attn_k", d, kv);
      projection(prefix + "attn_v", d, kv);
      projection(prefix + "attn_output", q, d);
      if (shape_.has_sinks) matrix(prefix + "attn_sinks.weight", {shape_.n_heads}, 1.0F);
      if (shape_.has_qk_norm) {
        norm(prefix + "attn_q_norm.weight", shape_.d_head);
        norm(prefix + "attn_k_norm.weight", shape_.d_head);
      }
      stream_norm(prefix + "ffn_norm");
      if (shape_.n_experts == 0) {
        feed_forward(prefix, "", {});
      } else {
        matrix(prefix + "ffn_gate_inp.weight", {d, shape_.n_experts}, 0.5F);
        feed_forward(prefix, "_exps", {shape_.n_experts});
      }
      if (shape_.has_expert_biases) expert_biases(prefix);
    }
  }

 private:
  static Bytes elements(const std::vector<std::string>& texts) {
    Bytes out;
    for (const std::string& text : texts) out += sized(text);
    return out;
  }
  std::string full(const std::string& key) const { return shape_.architecture + "." + key; }
  void number(const std::string& key, uint32_t value) {
    builder_.keys.push_back(key_u32(full(key), value));
  }
  void real(const std::string& key, float value) {
    builder_.keys.push_back(key_f32(full(key), value));
  }
  void matrix(const std::string& name, std::vector<uint64_t> dims, float scale) {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    builder_.tensors.push_back(
        {.name = name, .dims = std::move(dims), .data = random_floats(n, ++seed_, scale)});
  }
  void norm(const std::string& name, uint64_t n) {
    RawTensor tensor{.name = name, .dims = {n}, .data = {}};
    for (uint64_t i = 0; i < n; ++i)
      tensor.data += le_f32(0.8F + 0.05F * static_cast<float>((i * 7 + ++seed_) % 9));
    builder_.tensors.push_back(std::move(tensor));
  }
  void stream_norm(const std::string& stem) {
    norm(stem + ".weight", shape_.d_model);
    if (shape_.has_norm_biases) matrix(stem + ".bias", {shape_.d_model}, 0.1F);
  }
  void projection(const std::string& stem, uint64_t in, uint64_t out) {
    matrix(stem + ".weight", {in, out}, 0.3F);
    if (shape_.has_biases) matrix(stem + ".bias", {out}, 0.1F);
  }
  void expert_biases(const std::string& prefix) {
    matrix(prefix + "ffn_gate_inp.bias", {shape_.n_experts}, 0.1F);
    matrix(prefix + "ffn_gate_exps.bias", {shape_.d_ff, shape_.n_experts}, 0.1F);
    matrix(prefix + "ffn_up_exps.bias", {shape_.d_ff, shape_.n_experts}, 0.1F);
    matrix(prefix + "ffn_down_exps.bias", {shape_.d_model, shape_.n_experts}, 0.1F);
  }
  void feed_forward(const std::string& prefix, const std::string& ending,
                    const std::vector<uint64_t>& stack) {
    const auto dims = [&](uint64_t in, uint64_t out) {
      std::vector<uint64_t> all = {in, out};
      all.insert(all.end(), stack.begin(), stack.end());
      return all;
    };
    matrix(prefix + "ffn_gate" + ending + ".weight", dims(shape_.d_model, shape_.d_ff), 0.3F);
    matrix(prefix + "ffn_up" + ending + ".weight", dims(shape_.d_model, shape_.d_ff), 0.3F);
    matrix(prefix + "ffn_down" + ending + ".weight", dims(shape_.d_ff, shape_.d_model), 0.3F);
  }

  GgufBuilder& builder_;
  const TinyShape& shape_;
  uint32_t seed_ = 0;
};

}  // namespace

Bytes random_floats(uint64_t n, uint32_t seed, float scale) {
  Bytes out;
  uint64_t state = seed * uint64_t{0x9E3779B97F4A7C15} + 1;
  for (uint64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
    out += le_f32(scale * (static_cast<float>(state >> 40) / static_cast<float>(1 << 23) - 1));
  }
  return out;
}

void set_float(RawTensor& tensor, uint64_t index, float value) {
  tensor.data.replace(index * 4, 4, le_f32(value));
}

GgufBuilder tiny_model(const TinyShape& shape) {
  GgufBuilder builder;
  Writer writer(builder, shape);
  writer.keys();
  writer.tokenizer();
  writer.tensors();
  return builder;
}

TinyShape tiny_mixtral() { return {.architecture = "llama", .has_qk_norm = false}; }
TinyShape tiny_dense() { return {.architecture = "qwen3", .n_experts = 0}; }

TinyShape tiny_gpt_oss() {
  return {.architecture = "gpt-oss",
          .has_qk_norm = false,
          .has_biases = true,
          .has_sinks = true,
          .has_expert_biases = true,
          .window = 2};
}

TinyShape tiny_phimoe() {
  return {
      .architecture = "phimoe", .has_qk_norm = false, .has_biases = true, .has_norm_biases = true};
}

TinyShape tiny_llama4() { return {.architecture = "llama4", .has_qk_norm = false}; }

OpenedModel open_model(const GgufBuilder& builder) {
  auto bytes = std::make_unique<Bytes>(builder.build());
  auto file =
      formats::GgufFile::parse(std::as_bytes(std::span(bytes->data(), bytes->size())), "tiny.gguf");
  if (!file) return {std::move(bytes), file.status()};
  auto model = runtime::Model::create(*file);
  return {std::move(bytes), std::move(model)};
}

}  // namespace larder::tests

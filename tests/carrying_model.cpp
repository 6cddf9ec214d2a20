#include "tests/carrying_model.h"

#include <utility>
#include <vector>

namespace larder::tests {
namespace {

constexpr uint32_t kModel = 32;

void drop(GgufBuilder& file, const std::string& name) {
  std::erase_if(file.tensors, [&](const RawTensor& tensor) { return tensor.name == name; });
}

void add(GgufBuilder& file, const std::string& name, std::vector<uint64_t> dims, float scale) {
  drop(file, name);
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  const auto seed = static_cast<uint32_t>(name.size() * 7 + dims[0]);
  file.tensors.push_back(
      {.name = name, .dims = std::move(dims), .data = random_floats(n, seed, scale)});
}

GgufBuilder without_attention_in_first(const std::string& architecture) {
  GgufBuilder file = tiny_model({.architecture = architecture});
  for (const char* name :
       {"attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm", "attn_k_norm"})
    drop(file, std::string("blk.0.") + name + ".weight");
  return file;
}

}  // namespace

GgufBuilder tiny_short_convolution() {
  GgufBuilder file = without_attention_in_first("lfm2moe");
  file.key("lfm2moe.attention.head_count_kv") =
      key_array("lfm2moe.attention.head_count_kv", kU32, 2, le32(0) + le32(2));
  file.keys.push_back(key_u32("lfm2moe.shortconv.l_cache", 3));
  file.tensor("output_norm.weight").name = "token_embd_norm.weight";
  add(file, "blk.0.shortconv.in_proj.weight", {kModel, 3 * kModel}, 0.3F);
  add(file, "blk.0.shortconv.conv.weight", {3, kModel}, 0.5F);
  add(file, "blk.0.shortconv.out_proj.weight", {kModel, kModel}, 0.3F);
  for (const std::string layer : {"blk.0.", "blk.1."})
    add(file, layer + "exp_probs_b.bias", {file.tensor(layer + "ffn_gate_inp.weight").dims[1]},
        0.1F);
  return file;
}

GgufBuilder tiny_delta_net(Rates rates) {
  constexpr uint32_t kKey = 8, kKeyHeads = 2, kHeads = 4, kWidth = 32;
  constexpr uint32_t kChannels = 2 * kKey * kKeyHeads + kWidth;
  const std::string architecture = rates == Rates::fused ? "qwen3next" : "qwen35moe";
  GgufBuilder file = without_attention_in_first(architecture);
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, uint32_t>>{{"ssm.conv_kernel", 4},
                                                     {"ssm.state_size", kKey},
                                                     {"ssm.group_count", kKeyHeads},
                                                     {"ssm.time_step_rank", kHeads},
                                                     {"ssm.inner_size", kWidth},
                                                     {"full_attention_interval", 2}})
    file.keys.push_back(key_u32(architecture + "." + key, value));
  file.key(architecture + ".rope.dimension_count").value = le32(8);
  add(file, "blk.1.attn_q.weight", {kModel, 128}, 0.3F);
  const std::string layer = "blk.0.";
  add(file, layer + "attn_qkv.weight", {kModel, kChannels}, 0.3F);
  add(file, layer + "attn_gate.weight", {kModel, kWidth}, 0.3F);
  add(file, layer + "ssm_conv1d.weight", {4, kChannels}, 0.5F);
  if (rates == Rates::fused) {
    add(file, layer + "ssm_ba.weight", {kModel, 2 * kHeads}, 0.3F);
  } else {
    add(file, layer + "ssm_beta.weight", {kModel, kHeads}, 0.3F);
    add(file, layer + "ssm_alpha.weight", {kModel, kHeads}, 0.3F);
  }
  add(file, layer + "ssm_dt.bias", {kHeads}, 0.5F);
  add(file, layer + "ssm_a", {kHeads}, 0.0F);
  for (uint32_t i = 0; i < kHeads; ++i)
    set_float(file.tensor(layer + "ssm_a"), i, -0.1F * static_cast<float>(i + 1));
  add(file, layer + "ssm_norm.weight", {kWidth / kHeads}, 1.0F);
  add(file, layer + "ssm_out.weight", {kWidth, kModel}, 0.3F);
  return file;
}

}  // namespace larder::tests

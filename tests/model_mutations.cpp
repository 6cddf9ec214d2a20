#include "tests/model_mutations.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "formats/gguf/tensor_type.h"
#include "tests/file_copy.h"

namespace larder::tests {
namespace {

using formats::TensorType;

// Tensors without which a file is another sound model.
const std::set<std::string> kMayBeAbsent = {
    "output.weight",      // the head is the embedding
    "rope_freqs.weight",  // frequencies as they are
};

// The same, of architectures that have models of both kinds.
const std::set<std::pair<std::string, std::string>> kMayBeAbsentIn = {
    {"glm4moe", "blk.*.attn_q.bias"},           {"glm4moe", "blk.*.attn_k.bias"},
    {"glm4moe", "blk.*.attn_v.bias"},           {"glm4moe", "blk.*.attn_q_norm.weight"},
    {"bailingmoe2", "blk.*.exp_probs_b.bias"},  {"dots1", "blk.*.exp_probs_b.bias"},
    {"ernie4_5-moe", "blk.*.exp_probs_b.bias"}, {"deepseek2", "blk.*.exp_probs_b.bias"},
};

// Keys that change what a model is, and that most files do not have.
const std::array kOptionalKeys = {
    "attention.clamp_kqv",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_mla",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.q_lora_rank",
    "attention.recurrent_layers",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "attention.value_length_mla",
    "embedding_scale",
    "expert_count",
    "expert_feed_forward_length",
    "expert_gating_func",
    "expert_group_count",
    "expert_group_used_count",
    "expert_shared_count",
    "expert_shared_feed_forward_length",
    "expert_used_count",
    "expert_weights_norm",
    "expert_weights_scale",
    "full_attention_interval",
    "interleave_moe_layer_step",
    "leading_dense_block_count",
    "logit_scale",
    "nextn_predict_layers",
    "residual_scale",
    "rope.dimension_count",
    "rope.dimension_count_swa",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.group_count",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.time_step_rank",
    "vocab_size",
};

// "blk.3.ffn_down.2.weight" -> "blk.*.ffn_down.*.weight"
std::string kind_of(const std::string& name) {
  std::string kind;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool is_number = std::isdigit(static_cast<unsigned char>(name[i])) != 0 && i > 0 &&
                           (name[i - 1] == '.' || kind.ends_with('*'));
    if (!is_number)
      kind += name[i];
    else if (!kind.ends_with('*'))
      kind += '*';
  }
  return kind;
}

uint64_t elements(const RawTensor& tensor) {
  uint64_t n = 1;
  for (const uint64_t dim : tensor.dims) n *= dim;
  return n;
}

const TensorType& type_of(const RawTensor& tensor) {
  return *formats::find_tensor_type(static_cast<int32_t>(tensor.type));
}

// Gives the data the size that type and shape ask for, its bytes repeated.
void resize_data(RawTensor& tensor) {
  const TensorType& type = type_of(tensor);
  const uint64_t n_rows = elements(tensor) / std::max<uint64_t>(tensor.dims[0], 1);
  const uint64_t blocks = (tensor.dims[0] + type.block_elements - 1) / type.block_elements;
  const Bytes old = tensor.data.empty() ? Bytes(1, '\0') : tensor.data;
  tensor.data.resize(n_rows * blocks * type.block_bytes);
  for (size_t i = old.size(); i < tensor.data.size(); ++i) tensor.data[i] = old[i % old.size()];
}

// Changes one tensor, of the kind's last.
class TensorMutations {
 public:
  TensorMutations(std::vector<Mutation>& out, const RawTensor& tensor,
                  const std::string& architecture)
      : out_(out),
        tensor_(tensor),
        may_be_absent_(kMayBeAbsent.count(kind_of(tensor.name)) > 0 ||
                       kMayBeAbsentIn.count({architecture, kind_of(tensor.name)}) > 0) {}

  void add_all() {
    const std::string name = tensor_.name;
    out_.push_back({"without tensor " + name,
                    [name](GgufBuilder& file) { drop_tensor(file, name); }, !may_be_absent_});
    add_shapes();
    add_types();
    add_data();
    add_companions();
  }

 private:
  void add(const std::string& what, std::function<void(RawTensor&)> change,
           bool must_fail = false) {
    const std::string name = tensor_.name;
    out_.push_back({"tensor " + name + ": " + what,
                    [name, change = std::move(change)](GgufBuilder& file) {
                      RawTensor& tensor = file.tensor(name);
                      change(tensor);
                    },
                    must_fail});
  }
  void add_shape(const std::string& what, std::vector<uint64_t> dims) {
    if (dims == tensor_.dims) return;
    add(
        what,
        [dims](RawTensor& tensor) {
          tensor.dims = dims;
          resize_data(tensor);
        },
        true);
  }

  void add_shapes() {
    const std::vector<uint64_t>& dims = tensor_.dims;
    for (size_t i = 0; i < dims.size(); ++i) {
      std::vector<uint64_t> other = dims;
      const std::string at = "dim " + std::to_string(i);
      for (const uint64_t size : {uint64_t{1}, dims[i] - 1, dims[i] + 1, 2 * dims[i]}) {
        if (size == 0) continue;
        other[i] = size;
        add_shape(at + " is " + std::to_string(size), other);
      }
    }
    if (dims.size() > 1) {
      std::vector<uint64_t> other = dims;
      std::swap(other[0], other[1]);
      add_shape("transposed", other);
      if (elements(tensor_) != dims[0]) add_shape("flat", {elements(tensor_)});
    }
    if (dims.size() < 4) {
      std::vector<uint64_t> other = dims;
      other.resize(4, 1);
      other[3] = 2;
      add_shape("one dim more", other);
    }
  }

  void add_types() {
    for (const TensorType& type : formats::tensor_types()) {
      if (type.id == static_cast<int32_t>(tensor_.type)) continue;
      add("type " + std::string(type.name), [id = type.id](RawTensor& tensor) {
        tensor.type = static_cast<uint32_t>(id);
        resize_data(tensor);
      });
    }
  }

  void add_data() {
    add("zeros",
        [](RawTensor& tensor) { std::fill(tensor.data.begin(), tensor.data.end(), '\0'); });
    add("all bits set",
        [](RawTensor& tensor) { std::fill(tensor.data.begin(), tensor.data.end(), '\xff'); });
    add("random bytes", [](RawTensor& tensor) {
      std::minstd_rand random(7);
      for (char& byte : tensor.data) byte = static_cast<char>(random() >> 8);
    });
    const bool is_float = tensor_.type == 0;
    for (const double at : {0.0, 0.5, 1.0}) {
      const std::string where = " at " + std::to_string(static_cast<int>(100 * at)) + " %";
      if (!is_float) {
        add("64 bits set" + where, [at](RawTensor& tensor) {
          const auto from = static_cast<size_t>(at * static_cast<double>(tensor.data.size() - 8));
          std::fill_n(tensor.data.begin() + static_cast<long>(from), 8, '\xff');
        });
        continue;
      }
      constexpr float kMost = std::numeric_limits<float>::max();
      for (const float value : {NAN, INFINITY, -INFINITY, kMost, -kMost, -1.0F})
        add(std::to_string(value) + where, [at, value](RawTensor& tensor) {
          const size_t n = tensor.data.size() / 4;
          const auto index = static_cast<size_t>(at * static_cast<double>(n - 1));
          tensor.data.replace(4 * index, 4, le_f32(value));
        });
    }
  }

  // Tensors that would add to this one's results.
  void add_companions() {
    if (!tensor_.name.ends_with(".weight")) return;
    const std::string stem = tensor_.name.substr(0, tensor_.name.size() - 6);
    for (const char* ending : {"bias", "scale", "input_scale"})
      for (const uint64_t size : {uint64_t{1}, tensor_.dims[0], tensor_.dims.back()})
        out_.push_back({"tensor " + stem + ending + " of " + std::to_string(size),
                        [name = stem + ending, size](GgufBuilder& file) {
                          drop_tensor(file, name);
                          file.tensors.push_back(tensor_f32(name, {size}, 0.5F));
                        }});
  }

  std::vector<Mutation>& out_;
  const RawTensor& tensor_;
  bool may_be_absent_;
};

std::vector<RawKey> values_for(const std::string& key, uint32_t n_layers) {
  std::vector<RawKey> values;
  for (const uint32_t value : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 33U, 1000000U, 0x7fffffffU, 0xffffffffU})
    values.push_back(key_u32(key, value));
  values.push_back({key, kU64, le64(uint64_t{1} << 63)});
  values.push_back({key, kI64, le64(uint64_t{1} << 63)});
  values.push_back({key, kI32, le32(0xffffffffU)});
  for (const float value : {NAN, INFINITY, -INFINITY, -1.0F, 0.0F, 1e-45F, 0.5F, 1.0F, 3.0F, 1e30F})
    values.push_back(key_f32(key, value));
  values.push_back({key, kF64, le_f64(1e300)});
  for (const char* text : {"", "none", "linear", "yarn", "longrope", "%s%n"})
    values.push_back(key_string(key, text));
  values.push_back(key_string(key, std::string(size_t{1} << 20, 'x')));
  for (const bool value : {false, true}) values.push_back(key_bool(key, value));
  for (const uint32_t n : {0U, 1U, n_layers - 1, n_layers, n_layers + 1})
    for (const uint32_t value : {0U, 1U, 4U, 0x7fffffffU}) {
      Bytes numbers;
      for (uint32_t i = 0; i < n; ++i) numbers += le32(i == n / 2 ? value : 1);
      values.push_back(key_array(key, kU32, n, numbers));
    }
  values.push_back(key_array(key, kF32, 2, le_f32(1) + le_f32(NAN)));
  values.push_back(key_array(key, kBool, n_layers, Bytes(n_layers, '\1')));
  values.push_back(key_array(key, kString, 2, sized("a") + sized("")));
  return values;
}

void add_key_mutations(std::vector<Mutation>& out, const std::string& key, uint32_t n_layers) {
  out.push_back({"without key " + key, [key](GgufBuilder& file) { drop_key(file, key); }});
  size_t number = 0;
  for (RawKey& value : values_for(key, n_layers))
    out.push_back({"key " + key + ", value " + std::to_string(number++),
                   [value = std::move(value)](GgufBuilder& file) { file.key(value.key) = value; }});
}

std::string text_of(const RawKey& key) { return key.value.substr(8); }

uint32_t small_number(const GgufBuilder& file, const std::string& name) {
  for (const RawKey& key : file.keys)
    if (key.key == name) return static_cast<uint8_t>(key.value[0]);
  return 0;
}

std::string architecture_of(const GgufBuilder& file) {
  for (const RawKey& key : file.keys)
    if (key.key == "general.architecture") return text_of(key);
  return {};
}

void add_names(std::vector<Mutation>& out) {
  for (const char* key : {"general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"}) {
    out.push_back({std::string("without key ") + key,
                   [key](GgufBuilder& file) { drop_key(file, key); },
                   std::string(key) == "general.architecture"});
    for (const std::string& text :
         {std::string("nosuch"), std::string(), std::string("%s%n"), std::string(1 << 20, 'x'),
          std::string("gpt-oss"), std::string("llama"), std::string("t5"),
          std::string("\0\xff", 2)})
      out.push_back({std::string("key ") + key + " = " + text.substr(0, 8),
                     [key, text](GgufBuilder& file) { file.key(key) = key_string(key, text); }});
    out.push_back({std::string("key ") + key + " is a number",
                   [key](GgufBuilder& file) { file.key(key) = key_u32(key, 1); },
                   std::string(key) != "tokenizer.ggml.pre"});
  }
}

}  // namespace

std::vector<Mutation> mutations_of(const GgufBuilder& file) {
  const std::string architecture = architecture_of(file);
  const uint32_t n_layers = small_number(file, architecture + ".block_count");
  const uint32_t n_skipped = small_number(file, architecture + ".nextn_predict_layers");
  std::vector<Mutation> out;
  add_names(out);

  std::set<std::string> keys;
  for (const char* key : kOptionalKeys) keys.insert(architecture + "." + key);
  for (const RawKey& key : file.keys)
    if (key.key.starts_with(architecture + ".")) keys.insert(key.key);
  for (const std::string& key : keys) add_key_mutations(out, key, n_layers);

  std::set<std::string> kinds;
  for (auto tensor = file.tensors.rbegin(); tensor != file.tensors.rend(); ++tensor) {
    bool is_skipped = false;
    for (uint32_t i = n_layers - n_skipped; i < n_layers; ++i)
      is_skipped = is_skipped || tensor->name.starts_with("blk." + std::to_string(i) + ".");
    if (!is_skipped && kinds.insert(kind_of(tensor->name)).second)
      TensorMutations(out, *tensor, architecture).add_all();
  }
  return out;
}

}  // namespace larder::tests

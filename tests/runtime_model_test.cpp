#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "runtime/model/arch_table.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::runtime;
using namespace larder::tests;

namespace {

std::shared_ptr<const Model> open(const OpenedModel& opened) {
  REQUIRE_MESSAGE(opened.model.ok(), opened.model.status().to_string());
  return *opened.model;
}

}  // namespace

TEST_CASE("model: a mixture's configuration") {
  GgufBuilder builder = tiny_model();
  const OpenedModel opened = open_model(builder);
  const ModelConfig& config = open(opened)->config();
  CHECK(config.architecture == "qwen3moe");
  CHECK(config.n_layers() == 2);
  CHECK(config.d_model == 32);
  CHECK(config.n_vocab == 260);
  CHECK(config.context_length == 128);
  CHECK(config.norm_epsilon == 1e-5F);
  CHECK(config.rope.layout == RopeLayout::halves);
  CHECK(config.rope.n_rot == 16);
  CHECK_FALSE(config.is_tied);
  const LayerConfig& layer = config.layers[1];
  CHECK(layer.n_heads == 4);
  CHECK(layer.n_kv_heads == 2);
  CHECK(layer.d_key == 16);
  CHECK(layer.qk_norm == QkNorm::head_before_rope);
  CHECK(layer.attention_scale == 0.25F);
  CHECK(layer.router.n_experts == 4);
  CHECK(layer.router.n_active == 2);
  CHECK(layer.router.renormalises);
  CHECK(layer.d_ff == 32);
  CHECK(layer.shared == SharedExpert::none);
}

TEST_CASE("model: experts are optional where the architecture has dense and sparse models") {
  const OpenedModel sparse = open_model(tiny_model(tiny_mixtral()));
  CHECK(open(sparse)->config().layers[0].is_moe());
  CHECK(open(sparse)->config().rope.layout == RopeLayout::adjacent);
  TinyShape shape = tiny_mixtral();
  shape.n_experts = 0;
  const OpenedModel dense = open_model(tiny_model(shape));
  const LayerConfig& layer = open(dense)->config().layers[0];
  CHECK_FALSE(layer.is_moe());
  CHECK(layer.d_ff_shared == 32);
  CHECK(layer.shared == SharedExpert::plain);
}

TEST_CASE("model: widths come from the tensors where the metadata have none") {
  GgufBuilder builder = tiny_model();
  std::erase_if(builder.keys, [](const RawKey& key) {
    return key.key.find("feed_forward_length") != std::string::npos ||
           key.key.find("vocab_size") != std::string::npos;
  });
  const OpenedModel opened = open_model(builder);
  CHECK(open(opened)->config().layers[0].d_ff == 32);
  CHECK(open(opened)->config().n_vocab == 260);
}

TEST_CASE("model: a head that the file lacks is the embedding") {
  TinyShape shape;
  shape.has_head = false;
  const OpenedModel opened = open_model(tiny_model(shape));
  CHECK(open(opened)->config().is_tied);
  CHECK(open(opened)->weights().output.weight.data == open(opened)->weights().token_embd.data);
}

TEST_CASE("model: blocks that predict further tokens are left out without a warning") {
  TinyShape shape;
  shape.n_layers = 3;
  GgufBuilder builder = tiny_model(shape);
  builder.keys.push_back(key_u32("qwen3moe.nextn_predict_layers", 1));
  builder.tensors.push_back(tensor_f32("blk.2.nextn.eh_proj.weight", {64, 32}));
  const OpenedModel opened = open_model(builder);
  CHECK(open(opened)->config().n_layers() == 2);
  CHECK(open(opened)->warnings().empty());
}

TEST_CASE("model: vectors and routers may be half precision") {
  GgufBuilder builder = tiny_model();
  RawTensor& norm = builder.tensor("blk.0.attn_norm.weight");
  norm.type = 1;  // F16
  norm.data.clear();
  for (int i = 0; i < 32; ++i) norm.data += le16(0x3800);  // 0.5
  RawTensor& router = builder.tensor("blk.1.ffn_gate_inp.weight");
  router.type = 30;  // BF16
  router.data.clear();
  for (int i = 0; i < 32 * 4; ++i) router.data += le16(0xBFC0);  // -1.5
  const OpenedModel opened = open_model(builder);
  const ModelWeights& weights = open(opened)->weights();
  CHECK(weights.layers[0].attn_norm.weight[31] == 0.5F);
  CHECK(weights.layers[1].router[32 * 4 - 1] == -1.5F);
}

TEST_CASE("model: an addition to a matrix that would be ignored is refused") {
  for (const char* name : {"blk.0.attn_norm.bias", "blk.1.attn_q.scale"}) {
    GgufBuilder builder = tiny_model();
    builder.tensors.push_back(tensor_f32(name, {4}));
    const OpenedModel opened = open_model(builder);
    REQUIRE_FALSE(opened.model.ok());
    CHECK(opened.model.status().cause() == Cause::unsupported);
    CHECK(opened.model.status().detail().subject.find(name) != std::string::npos);
  }
}

TEST_CASE("model: a known step that the architecture does not have is refused") {
  GgufBuilder builder = tiny_model(tiny_mixtral());
  builder.tensors.push_back(tensor_f32("blk.0.attn_q_norm.weight", {16}));
  const OpenedModel opened = open_model(builder);
  REQUIRE_FALSE(opened.model.ok());
  CHECK(opened.model.status().cause() == Cause::unsupported);
}

TEST_CASE("model: a million unused tensors are a few warnings") {
  GgufBuilder builder = tiny_model();
  for (int i = 0; i < 1000; ++i)
    builder.tensors.push_back(tensor_f32("surprise." + std::to_string(i), {1}));
  const OpenedModel opened = open_model(builder);
  CHECK(open(opened)->warnings().size() == 17);
  CHECK(open(opened)->warnings().back() == "and 984 more tensors");
}

TEST_CASE("model: a file without a chat template says so when asked") {
  const OpenedModel opened = open_model(tiny_model());
  CHECK(open(opened)->chat_template() == nullptr);
  CHECK(open(opened)->chat_template_status().cause() == Cause::missing);
}

TEST_CASE("model: opening a file that is not there names it") {
  const auto model = Model::open("/nonexistent/model.gguf");
  REQUIRE_FALSE(model.ok());
  CHECK(model.status().cause() == Cause::io);
  CHECK(model.status().to_string().find("/nonexistent/model.gguf") != std::string::npos);
}

TEST_CASE("model: errors name the file") {
  GgufBuilder builder = tiny_model();
  builder.key("qwen3moe.block_count").value = le32(0);
  CHECK(open_model(builder).model.status().detail().file == "tiny.gguf");
}

TEST_CASE("architectures: each name has one row") {
  for (const ArchRow& row : arch_rows()) CHECK(find_arch(row.name) == &row);
  CHECK(find_arch("nosuch") == nullptr);
  CHECK(find_arch("") == nullptr);
}

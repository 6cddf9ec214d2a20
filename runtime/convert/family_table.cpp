#include "runtime/convert/family_table.h"

#include <array>

namespace larder::runtime {
namespace {

using enum Recipe;

// Source of all rows: files that Hugging Face's transformers 4 and 5 write, 2026-08.
constexpr NameRow kSharedNames[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"model.norm.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"lm_head.bias", "output.bias"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.input_layernorm.bias", "blk.#.attn_norm.bias"},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.post_attention_layernorm.bias", "blk.#.ffn_norm.bias"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight", rope_query},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight", rope_key},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias", rope_query},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias", rope_key},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias"},
    {"model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.self_attn.query_layernorm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.self_attn.key_layernorm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.self_attn.sinks", "blk.#.attn_sinks.weight"},
    // latent attention
    {"model.layers.#.self_attn.q_a_proj.weight", "blk.#.attn_q_a.weight"},
    {"model.layers.#.self_attn.q_a_layernorm.weight", "blk.#.attn_q_a_norm.weight"},
    {"model.layers.#.self_attn.q_b_proj.weight", "blk.#.attn_q_b.weight"},
    {"model.layers.#.self_attn.kv_a_proj_with_mqa.weight", "blk.#.attn_kv_a_mqa.weight"},
    {"model.layers.#.self_attn.kv_a_layernorm.weight", "blk.#.attn_kv_a_norm.weight"},
    {"model.layers.#.self_attn.kv_b_proj.weight", "blk.#.attn_k_b.weight", latent_keys},
    {"model.layers.#.self_attn.kv_b_proj.weight", "blk.#.attn_v_b.weight", latent_values},
    // dense layers
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    // experts
    {"model.layers.#.mlp.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.gate.e_score_correction_bias", "blk.#.exp_probs_b.bias"},
    {"model.layers.#.mlp.experts.*.gate_proj.weight", "blk.#.ffn_gate_exps.weight"},
    {"model.layers.#.mlp.experts.*.up_proj.weight", "blk.#.ffn_up_exps.weight"},
    {"model.layers.#.mlp.experts.*.down_proj.weight", "blk.#.ffn_down_exps.weight"},
    {"model.layers.#.mlp.shared_experts.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
    {"model.layers.#.mlp.shared_expert.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.mlp.shared_expert.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.mlp.shared_expert.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
    {"model.layers.#.mlp.shared_expert_gate.weight", "blk.#.ffn_gate_inp_shexp.weight"},
    {"model.layers.#.mlp.shared_mlp.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.mlp.shared_mlp.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.mlp.shared_mlp.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
    {"model.layers.#.mlp.gate.wg.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.moe_statics.e_score_correction_bias", "blk.#.exp_probs_b.bias", squeezed},
    {"model.layers.#.block_sparse_moe.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.block_sparse_moe.e_score_correction_bias", "blk.#.exp_probs_b.bias"},
    {"model.layers.#.block_sparse_moe.experts.*.w1.weight", "blk.#.ffn_gate_exps.weight"},
    {"model.layers.#.block_sparse_moe.experts.*.w3.weight", "blk.#.ffn_up_exps.weight"},
    {"model.layers.#.block_sparse_moe.experts.*.w2.weight", "blk.#.ffn_down_exps.weight"},
    // fused ones
    {"model.layers.#.block_sparse_moe.router.layer.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.block_sparse_moe.input_linear.weight", "blk.#.ffn_gate_exps.weight",
     first_half},
    {"model.layers.#.block_sparse_moe.input_linear.weight", "blk.#.ffn_up_exps.weight",
     second_half},
    {"model.layers.#.block_sparse_moe.output_linear.weight", "blk.#.ffn_down_exps.weight"},
    {"model.layers.#.shared_mlp.input_linear.weight", "blk.#.ffn_gate_shexp.weight", first_half},
    {"model.layers.#.shared_mlp.input_linear.weight", "blk.#.ffn_up_shexp.weight", second_half},
    {"model.layers.#.shared_mlp.output_linear.weight", "blk.#.ffn_down_shexp.weight"},
};

constexpr NameRow kGptOssNames[] = {
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"},
    {"model.layers.#.mlp.router.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.router.bias", "blk.#.ffn_gate_inp.bias"},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_exps.weight", even_columns},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_up_exps.weight", odd_columns},
    {"model.layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps.weight", turned},
    {"model.layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_gate_exps.bias", even_values},
    {"model.layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_up_exps.bias", odd_values},
    {"model.layers.#.mlp.experts.down_proj_bias", "blk.#.ffn_down_exps.bias"},
    {"model.layers.#.mlp.experts.gate_up_proj_blocks", "blk.#.ffn_gate_exps.weight", even_blocks},
    {"model.layers.#.mlp.experts.gate_up_proj_blocks", "blk.#.ffn_up_exps.weight", odd_blocks},
    {"model.layers.#.mlp.experts.down_proj_blocks", "blk.#.ffn_down_exps.weight", blocks},
};

constexpr NameRow kGlm4MoeNames[] = {
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"},
};

constexpr NameRow kBailingNames[] = {
    {"model.word_embeddings.weight", "token_embd.weight"},
    {"model.layers.#.attention.query_key_value.weight", "blk.#.attn_qkv.weight"},
    {"model.layers.#.attention.dense.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.attention.query_layernorm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.attention.key_layernorm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.mlp.gate.expert_bias", "blk.#.exp_probs_b.bias"},
};

constexpr NameRow kLlama4Names[] = {
    {"model.layers.#.feed_forward.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.feed_forward.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.feed_forward.down_proj.weight", "blk.#.ffn_down.weight"},
    {"model.layers.#.feed_forward.router.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.feed_forward.experts.gate_up_proj", "blk.#.ffn_gate_exps.weight",
     first_columns},
    {"model.layers.#.feed_forward.experts.gate_up_proj", "blk.#.ffn_up_exps.weight",
     second_columns},
    {"model.layers.#.feed_forward.experts.down_proj", "blk.#.ffn_down_exps.weight", turned},
    {"model.layers.#.feed_forward.shared_expert.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.feed_forward.shared_expert.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.feed_forward.shared_expert.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
};

constexpr NameRow kDbrxNames[] = {
    {"transformer.wte.weight", "token_embd.weight"},
    {"transformer.norm_f.weight", "output_norm.weight"},
    {"transformer.blocks.#.norm_attn_norm.norm_1.weight", "blk.#.attn_norm.weight"},
    {"transformer.blocks.#.norm_attn_norm.norm_2.weight", "blk.#.attn_output_norm.weight"},
    {"transformer.blocks.#.norm_attn_norm.attn.Wqkv.weight", "blk.#.attn_qkv.weight"},
    {"transformer.blocks.#.norm_attn_norm.attn.out_proj.weight", "blk.#.attn_output.weight"},
    {"transformer.blocks.#.ffn.router.layer.weight", "blk.#.ffn_gate_inp.weight"},
    {"transformer.blocks.#.ffn.experts.mlp.w1", "blk.#.ffn_gate_exps.weight", expert_rows},
    {"transformer.blocks.#.ffn.experts.mlp.v1", "blk.#.ffn_up_exps.weight", expert_rows},
    {"transformer.blocks.#.ffn.experts.mlp.w2", "blk.#.ffn_down_exps.weight", expert_rows_turned},
};

constexpr NameRow kLfm2MoeNames[] = {
    {"model.embedding_norm.weight", "token_embd_norm.weight"},
    {"model.layers.#.operator_norm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.ffn_norm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.conv.in_proj.weight", "blk.#.shortconv.in_proj.weight"},
    {"model.layers.#.conv.conv.weight", "blk.#.shortconv.conv.weight", squeezed},
    {"model.layers.#.conv.out_proj.weight", "blk.#.shortconv.out_proj.weight"},
    {"model.layers.#.self_attn.out_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.q_layernorm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.self_attn.k_layernorm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.feed_forward.w1.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.feed_forward.w3.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.feed_forward.w2.weight", "blk.#.ffn_down.weight"},
    {"model.layers.#.feed_forward.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.feed_forward.expert_bias", "blk.#.exp_probs_b.bias"},
    {"model.layers.#.feed_forward.experts.*.w1.weight", "blk.#.ffn_gate_exps.weight"},
    {"model.layers.#.feed_forward.experts.*.w3.weight", "blk.#.ffn_up_exps.weight"},
    {"model.layers.#.feed_forward.experts.*.w2.weight", "blk.#.ffn_down_exps.weight"},
};

constexpr NameRow kQwen3NextNames[] = {
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"},
    {"model.layers.#.linear_attn.in_proj_qkvz.weight", "blk.#.attn_qkv.weight", grouped_mix},
    {"model.layers.#.linear_attn.in_proj_qkvz.weight", "blk.#.attn_gate.weight", grouped_gate},
    {"model.layers.#.linear_attn.in_proj_ba.weight", "blk.#.ssm_ba.weight"},
    {"model.layers.#.linear_attn.conv1d.weight", "blk.#.ssm_conv1d.weight", squeezed},
    {"model.layers.#.linear_attn.dt_bias", "blk.#.ssm_dt.bias"},
    {"model.layers.#.linear_attn.A_log", "blk.#.ssm_a", plain, ValueChange::negative_exponential},
    {"model.layers.#.linear_attn.norm.weight", "blk.#.ssm_norm.weight"},
    {"model.layers.#.linear_attn.out_proj.weight", "blk.#.ssm_out.weight"},
};

constexpr NameRow kQwen35MoeNames[] = {
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.post_attention_norm.weight"},
    {"model.layers.#.linear_attn.in_proj_qkv.weight", "blk.#.attn_qkv.weight", tiled_mix},
    {"model.layers.#.linear_attn.in_proj_z.weight", "blk.#.attn_gate.weight", tiled_heads},
    {"model.layers.#.linear_attn.in_proj_a.weight", "blk.#.ssm_alpha.weight", tiled_heads},
    {"model.layers.#.linear_attn.in_proj_b.weight", "blk.#.ssm_beta.weight", tiled_heads},
    {"model.layers.#.linear_attn.conv1d.weight", "blk.#.ssm_conv1d.weight", tiled_mix},
    {"model.layers.#.linear_attn.dt_bias", "blk.#.ssm_dt.bias", tiled_heads},
    {"model.layers.#.linear_attn.A_log", "blk.#.ssm_a", tiled_heads,
     ValueChange::negative_exponential},
    {"model.layers.#.linear_attn.norm.weight", "blk.#.ssm_norm.weight"},
    {"model.layers.#.linear_attn.out_proj.weight", "blk.#.ssm_out.weight", tiled_columns},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_exps.weight", first_half},
    {"model.layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_up_exps.weight", second_half},
    {"model.layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps.weight"},
};

// Layers of a decoder have attention to the source between their two parts.
constexpr NameRow kSwitchNames[] = {
    {"shared.weight", "token_embd.weight"},
    {"lm_head.weight", "output.weight"},
    {"encoder.final_layer_norm.weight", "enc.output_norm.weight"},
    {"decoder.final_layer_norm.weight", "dec.output_norm.weight"},
    {"encoder.block.#.layer.0.layer_norm.weight", "enc.blk.#.attn_norm.weight"},
    {"encoder.block.#.layer.0.SelfAttention.q.weight", "enc.blk.#.attn_q.weight"},
    {"encoder.block.#.layer.0.SelfAttention.k.weight", "enc.blk.#.attn_k.weight"},
    {"encoder.block.#.layer.0.SelfAttention.v.weight", "enc.blk.#.attn_v.weight"},
    {"encoder.block.#.layer.0.SelfAttention.o.weight", "enc.blk.#.attn_o.weight"},
    {"encoder.block.#.layer.0.SelfAttention.relative_attention_bias.weight",
     "enc.blk.#.attn_rel_b.weight"},
    {"encoder.block.#.layer.1.layer_norm.weight", "enc.blk.#.ffn_norm.weight"},
    {"encoder.block.#.layer.1.mlp.wi.weight", "enc.blk.#.ffn_up.weight"},
    {"encoder.block.#.layer.1.mlp.wo.weight", "enc.blk.#.ffn_down.weight"},
    {"encoder.block.#.layer.1.mlp.router.classifier.weight", "enc.blk.#.ffn_gate_inp.weight"},
    {"encoder.block.#.layer.1.mlp.experts.expert_*.wi.weight", "enc.blk.#.ffn_up_exps.weight"},
    {"encoder.block.#.layer.1.mlp.experts.expert_*.wo.weight", "enc.blk.#.ffn_down_exps.weight"},
    {"decoder.block.#.layer.0.layer_norm.weight", "dec.blk.#.attn_norm.weight"},
    {"decoder.block.#.layer.0.SelfAttention.q.weight", "dec.blk.#.attn_q.weight"},
    {"decoder.block.#.layer.0.SelfAttention.k.weight", "dec.blk.#.attn_k.weight"},
    {"decoder.block.#.layer.0.SelfAttention.v.weight", "dec.blk.#.attn_v.weight"},
    {"decoder.block.#.layer.0.SelfAttention.o.weight", "dec.blk.#.attn_o.weight"},
    {"decoder.block.#.layer.0.SelfAttention.relative_attention_bias.weight",
     "dec.blk.#.attn_rel_b.weight"},
    {"decoder.block.#.layer.1.layer_norm.weight", "dec.blk.#.cross_attn_norm.weight"},
    {"decoder.block.#.layer.1.EncDecAttention.q.weight", "dec.blk.#.cross_attn_q.weight"},
    {"decoder.block.#.layer.1.EncDecAttention.k.weight", "dec.blk.#.cross_attn_k.weight"},
    {"decoder.block.#.layer.1.EncDecAttention.v.weight", "dec.blk.#.cross_attn_v.weight"},
    {"decoder.block.#.layer.1.EncDecAttention.o.weight", "dec.blk.#.cross_attn_o.weight"},
    {"decoder.block.#.layer.2.layer_norm.weight", "dec.blk.#.ffn_norm.weight"},
    {"decoder.block.#.layer.2.mlp.wi.weight", "dec.blk.#.ffn_up.weight"},
    {"decoder.block.#.layer.2.mlp.wo.weight", "dec.blk.#.ffn_down.weight"},
    {"decoder.block.#.layer.2.mlp.router.classifier.weight", "dec.blk.#.ffn_gate_inp.weight"},
    {"decoder.block.#.layer.2.mlp.experts.expert_*.wi.weight", "dec.blk.#.ffn_up_exps.weight"},
    {"decoder.block.#.layer.2.mlp.experts.expert_*.wo.weight", "dec.blk.#.ffn_down_exps.weight"},
};

constexpr KeyRow kLlama4Keys[] = {
    {"intermediate_size_mlp", "feed_forward_length"},
    {"intermediate_size", "expert_feed_forward_length"},
    {"intermediate_size", "expert_shared_feed_forward_length"},
};

constexpr KeyRow kSwitchKeys[] = {
    {"num_decoder_layers", "decoder_block_count"},
    {"d_kv", "attention.key_length"},
    {"d_kv", "attention.value_length"},
    {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon", KeyKind::real},
    {"relative_attention_num_buckets", "attention.relative_buckets_count"},
    {"relative_attention_max_distance", "attention.relative_max_distance"},
    {"decoder_start_token_id|pad_token_id", "decoder_start_token_id"},
    {"expert_capacity", "expert_capacity"},
};

constexpr KeyTask kLatent[] = {KeyTask::latent_widths, KeyTask::expert_groups};
constexpr KeyTask kLatentSigmoid[] = {KeyTask::latent_widths, KeyTask::expert_groups,
                                      KeyTask::sigmoid_router};
constexpr KeyTask kSigmoid[] = {KeyTask::sigmoid_router};
constexpr KeyTask kSigmoidMixed[] = {KeyTask::sigmoid_router, KeyTask::mixed_layers};
constexpr KeyTask kPeriodic[] = {KeyTask::periodic_layers};
constexpr KeyTask kChunked[] = {KeyTask::chunked_layers};
constexpr KeyTask kWindowed[] = {KeyTask::windowed_layers, KeyTask::clamped_activation};
constexpr KeyTask kSparseMixer[] = {KeyTask::sparse_mixer};
constexpr KeyTask kMergedShared[] = {KeyTask::merged_shared_width};
constexpr KeyTask kSigmoidPlainShared[] = {KeyTask::sigmoid_router, KeyTask::expert_groups,
                                           KeyTask::plain_shared_width};
constexpr KeyTask kHunyuan[] = {KeyTask::merged_shared_width, KeyTask::scaled_base};
constexpr KeyTask kLayerNorm[] = {KeyTask::layer_norm};
constexpr KeyTask kEncoder[] = {KeyTask::encoder};

constexpr FamilyRow kFamilies[] = {
    {.model_type = "llama", .architecture = "llama", .permutes_rope = true},
    {.model_type = "mixtral", .architecture = "llama", .permutes_rope = true},
    {.model_type = "qwen2", .architecture = "qwen2"},
    {.model_type = "qwen3", .architecture = "qwen3"},
    {.model_type = "qwen2_moe", .architecture = "qwen2moe"},
    {.model_type = "qwen3_moe", .architecture = "qwen3moe"},
    {.model_type = "olmoe", .architecture = "olmoe"},
    {.model_type = "granitemoe",
     .architecture = "granitemoe",
     .permutes_rope = true,
     .pre = "refact"},
    {.model_type = "granitemoeshared",
     .architecture = "granitemoe",
     .permutes_rope = true,
     .pre = "refact"},
    {.model_type = "glm4_moe",
     .architecture = "glm4moe",
     .names = kGlm4MoeNames,
     .tasks = kSigmoid,
     .pre = "glm4"},
    {.model_type = "dots1", .architecture = "dots1", .tasks = kSigmoid},
    {.model_type = "bailing_moe_v2",
     .architecture = "bailingmoe2",
     .names = kBailingNames,
     .tasks = kSigmoidPlainShared,
     .pre = "bailingmoe2"},
    {.model_type = "ernie4_5_moe", .architecture = "ernie4_5-moe", .tasks = kMergedShared},
    {.model_type = "hunyuan_v1_moe",
     .architecture = "hunyuan-moe",
     .tasks = kHunyuan,
     .pre = "hunyuan"},
    {.model_type = "minimax_m2",
     .architecture = "minimax-m2",
     .tasks = kSigmoid,
     .pre = "minimax-m2"},
    {.model_type = "gpt_oss",
     .architecture = "gpt-oss",
     .names = kGptOssNames,
     .tasks = kWindowed,
     .pre = "gpt-4o"},
    {.model_type = "phimoe", .architecture = "phimoe", .tasks = kSparseMixer},
    {.model_type = "llama4_text",
     .architecture = "llama4",
     .names = kLlama4Names,
     .keys = kLlama4Keys,
     .tasks = kChunked,
     .pre = "llama4"},
    {.model_type = "dbrx",
     .architecture = "dbrx",
     .names = kDbrxNames,
     .tasks = kLayerNorm,
     .pre = "dbrx"},
    {.model_type = "lfm2_moe",
     .architecture = "lfm2moe",
     .names = kLfm2MoeNames,
     .tasks = kSigmoidMixed,
     .pre = "lfm2"},
    {.model_type = "qwen3_next",
     .architecture = "qwen3next",
     .names = kQwen3NextNames,
     .tasks = kPeriodic,
     .shifts_norms = true},
    {.model_type = "qwen3_5_moe_text",
     .architecture = "qwen35moe",
     .names = kQwen35MoeNames,
     .tasks = kPeriodic,
     .shifts_norms = true},
    {.model_type = "switch_transformers",
     .architecture = "switch",
     .names = kSwitchNames,
     .keys = kSwitchKeys,
     .tasks = kEncoder},
    {.model_type = "deepseek_v2", .architecture = "deepseek2", .tasks = kLatent},
    {.model_type = "deepseek_v3", .architecture = "deepseek2", .tasks = kLatentSigmoid},
};

constexpr std::string_view kSkipped[] = {".rotary_emb.inv_freq", ".self_attn.inv_freq",
                                         "encoder.embed_tokens.", "decoder.embed_tokens."};

}  // namespace

std::span<const FamilyRow> families() noexcept { return kFamilies; }
std::span<const NameRow> shared_names() noexcept { return kSharedNames; }
std::span<const std::string_view> skipped_tensors() noexcept { return kSkipped; }

const FamilyRow* find_family(std::string_view model_type) noexcept {
  for (const FamilyRow& row : kFamilies)
    if (row.model_type == model_type) return &row;
  return nullptr;
}

}  // namespace larder::runtime

#!/usr/bin/env python3
"""data/goldens/deepseek: DeepSeekMoE (the first generation, arXiv 2401.06066). Hugging Face has no
class for it; its layers are Llama's attention with DeepSeek-V2's ungrouped experts behind."""
import copy

import torch
from transformers import DeepseekV2Config, LlamaConfig, LlamaForCausalLM
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

import golden

ARCH, SEED = "deepseek", 3
D_MODEL, N_LAYERS, N_HEADS, N_KV_HEADS, D_FF = 32, 3, 4, 2, 64
N_DENSE, N_EXPERTS, N_ACTIVE, N_SHARED, D_EXPERT = 1, 8, 3, 2, 16
BASE, EPSILON, CONTEXT = 10000.0, 1e-6, 256


def make_model():
    config = LlamaConfig(
        vocab_size=golden.N_VOCAB, hidden_size=D_MODEL, intermediate_size=D_FF,
        num_hidden_layers=N_LAYERS, num_attention_heads=N_HEADS, num_key_value_heads=N_KV_HEADS,
        rms_norm_eps=EPSILON, rope_theta=BASE, max_position_embeddings=CONTEXT,
        tie_word_embeddings=False, attn_implementation="eager")
    experts = DeepseekV2Config(
        hidden_size=D_MODEL, moe_intermediate_size=D_EXPERT, n_routed_experts=N_EXPERTS,
        num_experts_per_tok=N_ACTIVE, n_shared_experts=N_SHARED, topk_method="greedy",
        routed_scaling_factor=1.0, norm_topk_prob=False)
    model = LlamaForCausalLM(config)
    for layer in model.model.layers[N_DENSE:]:
        layer.mlp = DeepseekV2Moe(experts)
    golden.randomise(model, SEED)
    for layer in model.model.layers[N_DENSE:]:
        layer.mlp.gate.register_forward_hook(
            lambda gate, _, out: setattr(gate, "last", out))
    return model


def route(layer):
    gate = getattr(layer.mlp, "gate", None)
    return None if gate is None else golden.sorted_route(*gate.last)


def write_model(model):
    file = golden.Model("deepseek", ARCH)
    for name, value in {
            "block_count": N_LAYERS, "context_length": CONTEXT, "embedding_length": D_MODEL,
            "feed_forward_length": D_FF, "attention.head_count": N_HEADS,
            "attention.head_count_kv": N_KV_HEADS, "attention.layer_norm_rms_epsilon": EPSILON,
            "rope.freq_base": BASE, "rope.dimension_count": D_MODEL // N_HEADS,
            "leading_dense_block_count": N_DENSE, "expert_count": N_EXPERTS,
            "expert_used_count": N_ACTIVE, "expert_shared_count": N_SHARED,
            "expert_feed_forward_length": D_EXPERT, "expert_weights_scale": 1.0,
            "vocab_size": golden.N_VOCAB}.items():
        file.key(name, value)
    file.tensor("token_embd.weight", model.model.embed_tokens.weight)
    file.tensor("output_norm.weight", model.model.norm.weight)
    file.tensor("output.weight", model.lm_head.weight)
    for i, layer in enumerate(model.model.layers):
        add = lambda name, weight: file.tensor(f"blk.{i}.{name}.weight", weight)
        attention = layer.self_attn
        add("attn_norm", layer.input_layernorm.weight)
        add("attn_q", golden.adjacent_rows(attention.q_proj.weight, N_HEADS))
        add("attn_k", golden.adjacent_rows(attention.k_proj.weight, N_KV_HEADS))
        add("attn_v", attention.v_proj.weight)
        add("attn_output", attention.o_proj.weight)
        add("ffn_norm", layer.post_attention_layernorm.weight)
        if i < N_DENSE:
            for part in ("gate", "up", "down"):
                add(f"ffn_{part}", getattr(layer.mlp, f"{part}_proj").weight)
            continue
        gate, up = layer.mlp.experts.gate_up_proj.chunk(2, dim=1)
        add("ffn_gate_inp", layer.mlp.gate.weight)
        add("ffn_gate_exps", gate)
        add("ffn_up_exps", up)
        add("ffn_down_exps", layer.mlp.experts.down_proj)
        for part in ("gate", "up", "down"):
            add(f"ffn_{part}_shexp", getattr(layer.mlp.shared_experts, f"{part}_proj").weight)
    file.close()


def main():
    model = make_model()
    write_model(model)
    golden.write_golden("deepseek", ARCH, f"LlamaForCausalLM with DeepseekV2Moe, seed {SEED}", model,
                        copy.deepcopy(model).double(), route)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

#!/usr/bin/env python3
"""Hugging Face folders of the goldens' weights: a golden's GGUF file, turned back into the names, the
layouts and the configuration of transformers, so that what larder converts from them can be compared
with the same golden's logits.

    make_checkpoints.py GOLDENS OUT [CASE ...]

Needs: pip install numpy gguf. Weights of one kind only are turned back by rules that are written here
once more, and not taken from the converter that they test.
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy as np

TYPES = {np.dtype("float32"): "F32", np.dtype("float16"): "F16", np.dtype("uint16"): "BF16",
         np.dtype("uint8"): "U8"}


def save(path, tensors):
    header, at, parts = {}, 0, []
    for name, array in tensors.items():
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": TYPES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [at, at + len(data)]}
        at += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def array_of(tensor):
    """As stored, outermost dimension first."""
    shape = [int(n) for n in reversed(tensor.shape)]
    if tensor.tensor_type == gguf.GGMLQuantizationType.BF16:
        return np.frombuffer(tensor.data.tobytes(), np.uint16).reshape(shape)
    if tensor.tensor_type == gguf.GGMLQuantizationType.MXFP4:
        return np.frombuffer(tensor.data.tobytes(), np.uint8).reshape(shape[:-1] + [-1, 17])
    return np.array(tensor.data).reshape(shape)


def from_pairs(rows, n_heads):
    """Rows of heads from adjacent pairs to halves."""
    width = rows.shape[0] // n_heads
    paired = rows.reshape(n_heads, width // 2, 2, -1)
    return paired.swapaxes(1, 2).reshape(rows.shape)


def blocks_of(array):
    """MXFP4 as the checkpoints have it: 16 bytes of neighbours, and a scale."""
    low, high = array[..., 1:] & 15, array[..., 1:] >> 4
    values = np.concatenate([low, high], -1)
    return (values[..., 0::2] | values[..., 1::2] << 4).astype(np.uint8), array[..., 0].copy()


class Golden:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.keys = {k: f.contents() for k, f in reader.fields.items()}
        self.arch = self.keys["general.architecture"]
        self.tensors = {t.name: array_of(t) for t in reader.tensors}
        self.out = {}

    def key(self, name, default=None):
        return self.keys.get(f"{self.arch}.{name}", default)

    def put(self, ours, theirs, change=lambda a: a):
        if ours in self.tensors:
            self.out[theirs] = change(self.tensors.pop(ours))

    def layers(self):
        return range(self.key("block_count") - self.key("nextn_predict_layers", 0))

    def experts(self, layer, block, names):
        for ours, theirs in names.items():
            stack = self.tensors.pop(f"blk.{layer}.{ours}_exps.weight", None)
            for e in range(0 if stack is None else len(stack)):
                self.out[f"{block}.{e}.{theirs}.weight"] = stack[e]


# What most families call their tensors, behind "model.layers.N.".
COMMON = {
    "attn_norm.weight": "input_layernorm.weight", "attn_norm.bias": "input_layernorm.bias",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.bias": "post_attention_layernorm.bias",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "attn_v.weight": "self_attn.v_proj.weight", "attn_v.bias": "self_attn.v_proj.bias",
    "attn_output.weight": "self_attn.o_proj.weight", "attn_output.bias": "self_attn.o_proj.bias",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "attn_sinks.weight": "self_attn.sinks",
    "attn_q_a.weight": "self_attn.q_a_proj.weight",
    "attn_q_a_norm.weight": "self_attn.q_a_layernorm.weight",
    "attn_q_b.weight": "self_attn.q_b_proj.weight",
    "attn_kv_a_mqa.weight": "self_attn.kv_a_proj_with_mqa.weight",
    "attn_kv_a_norm.weight": "self_attn.kv_a_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight", "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
}


def common(g, permutes=False, router="mlp.gate", experts="mlp.experts",
           names=("gate_proj", "up_proj", "down_proj"), shared="mlp.shared_experts", own=()):
    g.put("token_embd.weight", "model.embed_tokens.weight")
    g.put("output.weight", "lm_head.weight")
    for part in ("weight", "bias"):
        g.put(f"output_norm.{part}", f"model.norm.{part}")
    g.put("output.bias", "lm_head.bias")
    heads = {"q": g.key("attention.head_count"), "k": g.key("attention.head_count_kv")}
    for layer in g.layers():
        ours, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        for a, b in dict(COMMON, **dict(own)).items():
            g.put(ours + a, theirs + b)
        for which, n in heads.items():
            for part in ("weight", "bias"):
                change = (lambda a, n=n: from_pairs(a, n)) if permutes else (lambda a: a)
                g.put(f"{ours}attn_{which}.{part}", f"{theirs}self_attn.{which}_proj.{part}", change)
        for part in ("weight", "bias"):
            g.put(f"{ours}ffn_gate_inp.{part}", f"{theirs}{router}.{part}")
        g.experts(layer, theirs + experts, dict(zip(("ffn_gate", "ffn_up", "ffn_down"), names)))
        for a, b in zip(("gate", "up", "down"), ("gate_proj", "up_proj", "down_proj")):
            g.put(f"{ours}ffn_{a}_shexp.weight", f"{theirs}{shared}.{b}.weight")


def base_config(g, model_type, **more):
    config = {
        "model_type": model_type, "hidden_act": "silu",
        "hidden_size": g.key("embedding_length"),
        "num_hidden_layers": len(g.layers()), "num_attention_heads": g.key("attention.head_count"),
        "max_position_embeddings": g.key("context_length"),
        "rms_norm_eps": float(g.key("attention.layer_norm_rms_epsilon", 1e-5)),
        "rope_theta": float(g.key("rope.freq_base", 10000.0)),
        "tie_word_embeddings": "lm_head.weight" not in g.out,
        "vocab_size": len(g.keys["tokenizer.ggml.tokens"]),
    }
    for name, key in {"intermediate_size": "feed_forward_length",
                      "num_key_value_heads": "attention.head_count_kv",
                      "head_dim": "attention.key_length",
                      "num_experts_per_tok": "expert_used_count",
                      "moe_intermediate_size": "expert_feed_forward_length",
                      "norm_topk_prob": "expert_weights_norm",
                      "routed_scaling_factor": "expert_weights_scale",
                      "first_k_dense_replace": "leading_dense_block_count",
                      "n_group": "expert_group_count",
                      "topk_group": "expert_group_used_count"}.items():
        if g.key(key) is not None:
            config[name] = g.key(key)
    config.update(more)
    return config


def mixtral(g):
    common(g, True, "block_sparse_moe.gate", "block_sparse_moe.experts", ("w1", "w3", "w2"))
    return base_config(g, "mixtral", num_local_experts=g.key("expert_count"), sliding_window=None)


def qwen3_moe(g):
    common(g)
    return base_config(g, "qwen3_moe", num_experts=g.key("expert_count"), norm_topk_prob=True,
                       decoder_sparse_step=1, mlp_only_layers=[])


def qwen2_moe(g):
    common(g, shared="mlp.shared_expert",
           own={"ffn_gate_inp_shexp.weight": "mlp.shared_expert_gate.weight"})
    return base_config(g, "qwen2_moe", num_experts=g.key("expert_count"), norm_topk_prob=False,
                       shared_expert_intermediate_size=g.key("expert_shared_feed_forward_length"))


def olmoe(g):
    common(g)
    return base_config(g, "olmoe", num_experts=g.key("expert_count"), norm_topk_prob=False)


def dense(model_type, permutes):
    def of(g):
        common(g, permutes)
        more = {}
        if "rope_freqs.weight" in g.tensors:
            g.tensors.pop("rope_freqs.weight")
            more["rope_scaling"] = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                        high_freq_factor=4.0,
                                        original_max_position_embeddings=64)
        return base_config(g, model_type, **more)
    return of


def deepseek(model_type):
    def of(g):
        heads = g.key("attention.head_count")
        for layer in g.layers():
            keys = g.tensors.pop(f"blk.{layer}.attn_k_b.weight")
            values = g.tensors.pop(f"blk.{layer}.attn_v_b.weight")
            g.out[f"model.layers.{layer}.self_attn.kv_b_proj.weight"] = np.concatenate(
                [keys.swapaxes(1, 2), values], 1).reshape(-1, keys.shape[1])
        common(g)
        rotated = g.key("rope.dimension_count")
        all_dim = 10 * g.key("rope.scaling.yarn_log_multiplier")
        grouped = g.key("expert_group_count", 1) > 1
        config = base_config(
            g, model_type, n_routed_experts=g.key("expert_count"), num_key_value_heads=heads,
            n_shared_experts=g.key("expert_shared_count"), head_dim=rotated,
            kv_lora_rank=g.key("attention.kv_lora_rank"),
            q_lora_rank=g.key("attention.q_lora_rank"),
            qk_nope_head_dim=g.key("attention.key_length_mla") - rotated, qk_rope_head_dim=rotated,
            v_head_dim=g.key("attention.value_length_mla"), norm_topk_prob=bool(
                g.key("expert_weights_norm", False)),
            rope_scaling=dict(type="yarn", factor=g.key("rope.scaling.factor"), mscale=all_dim,
                              mscale_all_dim=all_dim, beta_fast=32, beta_slow=1,
                              original_max_position_embeddings=g.key(
                                  "rope.scaling.original_context_length")))
        if model_type == "deepseek_v2":
            config["topk_method"] = "group_limited_greedy" if grouped else "greedy"
        return config
    return of


def phimoe(g):
    common(g, False, "block_sparse_moe.gate", "block_sparse_moe.experts", ("w1", "w3", "w2"))
    factors = {f"{n}_factor": g.tensors.pop(f"rope_factors_{n}.weight").tolist()
               for n in ("long", "short")}
    mscale = 1.243163121016122
    return base_config(
        g, "phimoe", num_local_experts=g.key("expert_count"), router_jitter_noise=0.01,
        original_max_position_embeddings=g.key("rope.scaling.original_context_length"),
        rope_scaling=dict(type="longrope", short_mscale=mscale, long_mscale=mscale, **factors))


def gpt_oss(g):
    for layer in g.layers():
        ours, theirs = f"blk.{layer}.ffn_", f"model.layers.{layer}.mlp.experts."
        gate, up, down = (g.tensors.pop(f"{ours}{n}_exps.weight") for n in ("gate", "up", "down"))
        both = np.stack([gate, up], 2).reshape(gate.shape[0], -1, *gate.shape[2:])
        for name, array in (("gate_up_proj", both), ("down_proj", down)):
            if array.dtype == np.uint8:
                g.out[f"{theirs}{name}_blocks"], g.out[f"{theirs}{name}_scales"] = blocks_of(array)
            else:
                g.out[theirs + name] = array.swapaxes(1, 2)
        gate, up = (g.tensors.pop(f"{ours}{n}_exps.bias") for n in ("gate", "up"))
        g.out[theirs + "gate_up_proj_bias"] = np.stack([gate, up], 2).reshape(gate.shape[0], -1)
        g.put(f"{ours}down_exps.bias", theirs + "down_proj_bias")
    common(g, router="mlp.router")
    types = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in g.layers()]
    return base_config(
        g, "gpt_oss", num_local_experts=g.key("expert_count"), layer_types=types,
        sliding_window=g.key("attention.sliding_window"), swiglu_limit=7.0,
        rope_scaling=dict(rope_type="yarn", factor=g.key("rope.scaling.factor"), beta_fast=32.0,
                          beta_slow=1.0, truncate=False, original_max_position_embeddings=g.key(
                              "rope.scaling.original_context_length")))


def granitemoe(g):
    common(g, True, "block_sparse_moe.router.layer")
    shared = f"blk.0.ffn_gate_shexp.weight" in g.tensors or any(
        "shared_experts" in name for name in g.out)
    for layer in g.layers():
        theirs = f"model.layers.{layer}."
        stacks = {n: np.stack([g.out.pop(f"{theirs}mlp.experts.{e}.{n}_proj.weight")
                               for e in range(g.key("expert_count"))]) for n in
                  ("gate", "up", "down")}
        g.out[theirs + "block_sparse_moe.input_linear.weight"] = np.concatenate(
            [stacks["gate"], stacks["up"]], 1)
        g.out[theirs + "block_sparse_moe.output_linear.weight"] = stacks["down"]
        if shared:
            one = {n: g.out.pop(f"{theirs}mlp.shared_experts.{n}_proj.weight") for n in
                   ("gate", "up", "down")}
            g.out[theirs + "shared_mlp.input_linear.weight"] = np.concatenate(
                [one["gate"], one["up"]])
            g.out[theirs + "shared_mlp.output_linear.weight"] = one["down"]
    config = base_config(
        g, "granitemoeshared" if shared else "granitemoe",
        num_local_experts=g.key("expert_count"), attention_multiplier=g.key("attention.scale"),
        embedding_multiplier=g.key("embedding_scale"), residual_multiplier=g.key("residual_scale"),
        logits_scaling=g.key("logit_scale"))
    if shared:
        config["shared_intermediate_size"] = g.key("expert_shared_feed_forward_length")
    return config


def sigmoid(model_type, **more):
    def of(g):
        common(g)
        config = base_config(g, model_type, n_routed_experts=g.key("expert_count"),
                             n_shared_experts=g.key("expert_shared_count"), **more)
        if g.key("rope.dimension_count") and g.key("rope.dimension_count") != config["head_dim"]:
            config["partial_rotary_factor"] = g.key("rope.dimension_count") / config["head_dim"]
        return config
    return of


def ernie(g):
    common(g, own={"exp_probs_b.bias": "mlp.moe_statics.e_score_correction_bias"})
    for name in [n for n in g.out if n.endswith("e_score_correction_bias")]:
        g.out[name] = g.out[name].reshape(1, -1)
    config = base_config(g, "ernie4_5_moe", moe_num_experts=g.key("expert_count"),
                         moe_k=g.key("expert_used_count"), use_bias=False,
                         moe_num_shared_experts=g.key("expert_shared_count"),
                         moe_layer_start_index=g.key("leading_dense_block_count"),
                         moe_layer_end_index=-1, moe_layer_interval=1)
    for name in ("num_experts_per_tok", "first_k_dense_replace"):
        config.pop(name, None)
    return config


def hunyuan(g):
    common(g, router="mlp.gate.wg", shared="mlp.shared_mlp",
           own={"attn_q_norm.weight": "self_attn.query_layernorm.weight",
                "attn_k_norm.weight": "self_attn.key_layernorm.weight"})
    config = base_config(g, "hunyuan_v1_moe", num_experts=g.key("expert_count"),
                         moe_topk=g.key("expert_used_count"))
    for name in ("num_experts_per_tok", "moe_intermediate_size"):
        config.pop(name, None)
    return config


def minimax(g):
    common(g, False, "block_sparse_moe.gate", "block_sparse_moe.experts", ("w1", "w3", "w2"),
           own={"exp_probs_b.bias": "block_sparse_moe.e_score_correction_bias"})
    return base_config(g, "minimax_m2", num_local_experts=g.key("expert_count"),
                       rotary_dim=g.key("rope.dimension_count"), scoring_func="sigmoid")


def llama4(g):
    for layer in g.layers():
        ours, theirs = f"blk.{layer}.ffn_", f"model.layers.{layer}.feed_forward.experts."
        if f"{ours}gate_exps.weight" not in g.tensors:
            continue
        gate, up, down = (g.tensors.pop(f"{ours}{n}_exps.weight") for n in ("gate", "up", "down"))
        g.out[theirs + "gate_up_proj"] = np.concatenate([gate, up], 1).swapaxes(1, 2)
        g.out[theirs + "down_proj"] = down.swapaxes(1, 2)
    common(g, router="feed_forward.router", shared="feed_forward.shared_expert",
           own={f"ffn_{n}.weight": f"feed_forward.{n}_proj.weight" for n in ("gate", "up", "down")})
    freqs = g.tensors.pop("rope_freqs.weight", None)
    config = base_config(
        g, "llama4_text", num_local_experts=g.key("expert_count"), use_qk_norm=True,
        intermediate_size=g.key("expert_feed_forward_length"),
        intermediate_size_mlp=g.key("feed_forward_length"),
        interleave_moe_layer_step=g.key("interleave_moe_layer_step"),
        no_rope_layers=[int((i + 1) % 4 != 0) for i in g.layers()], attention_chunk_size=8192)
    config.pop("moe_intermediate_size", None)
    if freqs is not None:
        config["rope_scaling"] = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                      high_freq_factor=4.0, original_max_position_embeddings=64)
    return config


def dbrx(g):
    n = g.key("expert_count")
    rename = {"attn_norm": "norm_attn_norm.norm_1", "attn_output_norm": "norm_attn_norm.norm_2",
              "attn_qkv": "norm_attn_norm.attn.Wqkv", "attn_output": "norm_attn_norm.attn.out_proj",
              "ffn_gate_inp": "ffn.router.layer"}
    g.put("token_embd.weight", "transformer.wte.weight")
    g.put("output_norm.weight", "transformer.norm_f.weight")
    g.put("output.weight", "lm_head.weight")
    for layer in g.layers():
        ours, theirs = f"blk.{layer}.", f"transformer.blocks.{layer}."
        for a, b in rename.items():
            g.put(f"{ours}{a}.weight", f"{theirs}{b}.weight")
        for a, b in (("gate", "w1"), ("up", "v1"), ("down", "w2")):
            stack = g.tensors.pop(f"{ours}ffn_{a}_exps.weight")
            stack = stack.swapaxes(1, 2) if a == "down" else stack
            g.out[f"{theirs}ffn.experts.mlp.{b}"] = stack.reshape(-1, stack.shape[2])
    return {"model_type": "dbrx", "d_model": g.key("embedding_length"),
            "n_layers": len(g.layers()), "n_heads": g.key("attention.head_count"),
            "max_seq_len": g.key("context_length"), "tie_word_embeddings": False,
            "attn_config": {"kv_n_heads": g.key("attention.head_count_kv"),
                            "clip_qkv": g.key("attention.clamp_kqv"),
                            "rope_theta": g.key("rope.freq_base")},
            "ffn_config": {"ffn_hidden_size": g.key("feed_forward_length"), "moe_num_experts": n,
                           "moe_top_k": g.key("expert_used_count"),
                           "moe_normalize_expert_weights": 1.0}}


def lfm2(g):
    g.put("token_embd_norm.weight", "model.embedding_norm.weight")
    kinds = g.key("attention.head_count_kv")
    for layer in g.layers():
        ours, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        g.put(ours + "shortconv.conv.weight", theirs + "conv.conv.weight",
              lambda a: a.reshape(a.shape[0], 1, -1))
        for part in ("in_proj", "out_proj"):
            g.put(f"{ours}shortconv.{part}.weight", f"{theirs}conv.{part}.weight")
    common(g, False, "feed_forward.gate", "feed_forward.experts", ("w1", "w3", "w2"), own={
        "attn_norm.weight": "operator_norm.weight", "ffn_norm.weight": "ffn_norm.weight",
        "attn_output.weight": "self_attn.out_proj.weight",
        "attn_q_norm.weight": "self_attn.q_layernorm.weight",
        "attn_k_norm.weight": "self_attn.k_layernorm.weight",
        "exp_probs_b.bias": "feed_forward.expert_bias", "ffn_gate.weight": "feed_forward.w1.weight",
        "ffn_up.weight": "feed_forward.w3.weight", "ffn_down.weight": "feed_forward.w2.weight"})
    config = base_config(g, "lfm2_moe", num_experts=g.key("expert_count"),
                         num_key_value_heads=max(kinds), norm_topk_prob=True,
                         norm_eps=float(g.key("attention.layer_norm_rms_epsilon")),
                         conv_L_cache=g.key("shortconv.l_cache"), use_expert_bias=True,
                         num_dense_layers=g.key("leading_dense_block_count"),
                         layer_types=["full_attention" if n else "conv" for n in kinds])
    for name in ("rms_norm_eps", "first_k_dense_replace"):
        config.pop(name, None)
    return config


def delta(model_type):
    def of(g):
        n_keys, n_values = g.key("ssm.group_count"), g.key("ssm.time_step_rank")
        d_key = g.key("ssm.state_size")
        d_value, shared = g.key("ssm.inner_size") // n_values, n_values // n_keys

        def ungrouped(rows, first=0):
            """Value heads from turns back to groups of a key head."""
            if model_type == "qwen3_next":
                return rows
            tail = rows[first:].reshape(shared, n_keys, -1, *rows.shape[1:])
            return np.concatenate([rows[:first], tail.swapaxes(0, 1).reshape(rows[first:].shape)])

        for layer in g.layers():
            ours, theirs = f"blk.{layer}.", f"model.layers.{layer}.linear_attn."
            if f"{ours}ssm_a" not in g.tensors:
                continue
            qkv, z = (g.tensors.pop(f"{ours}{n}.weight") for n in ("attn_qkv", "attn_gate"))
            keys = n_keys * d_key
            if model_type == "qwen3_next":
                parts = [qkv[:keys], qkv[keys:2 * keys], qkv[2 * keys:], z]
                g.out[theirs + "in_proj_qkvz.weight"] = np.concatenate(
                    [p.reshape(n_keys, -1, p.shape[1]) for p in parts], 1).reshape(-1, z.shape[1])
                g.put(ours + "ssm_ba.weight", theirs + "in_proj_ba.weight")
            else:
                g.out[theirs + "in_proj_qkv.weight"] = ungrouped(qkv, 2 * keys)
                g.out[theirs + "in_proj_z.weight"] = ungrouped(z)
                g.put(ours + "ssm_alpha.weight", theirs + "in_proj_a.weight", ungrouped)
                g.put(ours + "ssm_beta.weight", theirs + "in_proj_b.weight", ungrouped)
            g.put(ours + "ssm_conv1d.weight", theirs + "conv1d.weight",
                  lambda a: ungrouped(a, 2 * keys).reshape(a.shape[0], 1, -1))
            g.put(ours + "ssm_dt.bias", theirs + "dt_bias", ungrouped)
            g.put(ours + "ssm_a", theirs + "A_log", lambda a: ungrouped(np.log(-a)))
            g.put(ours + "ssm_norm.weight", theirs + "norm.weight")
            g.put(ours + "ssm_out.weight", theirs + "out_proj.weight",
                  lambda a: np.ascontiguousarray(ungrouped(np.ascontiguousarray(a.T)).T))
        for layer in g.layers():
            fused = g.tensors.pop(f"blk.{layer}.ffn_gate_up_exps.weight", None)
            if fused is not None:
                half = fused.shape[1] // 2
                g.tensors[f"blk.{layer}.ffn_gate_exps.weight"] = fused[:, :half]
                g.tensors[f"blk.{layer}.ffn_up_exps.weight"] = fused[:, half:]
        common(g, shared="mlp.shared_expert",
               own={"ffn_gate_inp_shexp.weight": "mlp.shared_expert_gate.weight"})
        for name in g.out:
            if name.endswith("norm.weight") and "linear_attn" not in name:
                g.out[name] = g.out[name] - np.float32(1)
        interval = g.key("full_attention_interval")
        head = g.key("attention.key_length")
        return base_config(
            g, model_type, num_experts=g.key("expert_count"),
            layer_types=["linear_attention" if (i + 1) % interval else "full_attention"
                         for i in g.layers()],
            linear_conv_kernel_dim=g.key("ssm.conv_kernel"), linear_key_head_dim=d_key,
            linear_value_head_dim=d_value, linear_num_key_heads=n_keys,
            linear_num_value_heads=n_values,
            partial_rotary_factor=g.key("rope.dimension_count") / head,
            shared_expert_intermediate_size=g.key("expert_shared_feed_forward_length"))
    return of


def bailing(g):
    common(g, own={"attn_qkv.weight": "attention.query_key_value.weight",
                   "attn_output.weight": "attention.dense.weight",
                   "attn_q_norm.weight": "attention.query_layernorm.weight",
                   "attn_k_norm.weight": "attention.key_layernorm.weight",
                   "exp_probs_b.bias": "mlp.gate.expert_bias"})
    g.out["model.word_embeddings.weight"] = g.out.pop("model.embed_tokens.weight")
    return base_config(g, "bailing_moe_v2", num_experts=g.key("expert_count"),
                       num_shared_experts=g.key("expert_shared_count"), score_function="sigmoid",
                       partial_rotary_factor=0.5)


def switch(g):
    g.put("token_embd.weight", "shared.weight")
    ffn = {"enc": 1, "dec": 2}
    for stack, side in (("enc", "encoder"), ("dec", "decoder")):
        g.put(f"{stack}.output_norm.weight", f"{side}.final_layer_norm.weight")
        for layer in range(g.key("block_count")):
            ours, theirs = f"{stack}.blk.{layer}.", f"{side}.block.{layer}.layer."
            g.put(ours + "attn_norm.weight", theirs + "0.layer_norm.weight")
            g.put(ours + "attn_rel_b.weight",
                  theirs + "0.SelfAttention.relative_attention_bias.weight")
            g.put(ours + "cross_attn_norm.weight", theirs + "1.layer_norm.weight")
            for n in "qkvo":
                g.put(f"{ours}attn_{n}.weight", f"{theirs}0.SelfAttention.{n}.weight")
                g.put(f"{ours}cross_attn_{n}.weight", f"{theirs}1.EncDecAttention.{n}.weight")
            mlp = f"{theirs}{ffn[stack]}."
            g.put(ours + "ffn_norm.weight", mlp + "layer_norm.weight")
            g.put(ours + "ffn_gate_inp.weight", mlp + "mlp.router.classifier.weight")
            for a, b in (("up", "wi"), ("down", "wo")):
                g.put(f"{ours}ffn_{a}.weight", f"{mlp}mlp.{b}.weight")
                experts = g.tensors.pop(f"{ours}ffn_{a}_exps.weight", None)
                for e in range(0 if experts is None else len(experts)):
                    g.out[f"{mlp}mlp.experts.expert_{e}.{b}.weight"] = experts[e]
    return {"model_type": "switch_transformers", "d_model": g.key("embedding_length"),
            "d_ff": g.key("feed_forward_length"), "d_kv": g.key("attention.key_length"),
            "num_heads": g.key("attention.head_count"), "num_layers": g.key("block_count"),
            "num_decoder_layers": g.key("decoder_block_count"), "dense_act_fn": "relu",
            "num_experts": g.key("expert_count"), "expert_capacity": g.key("expert_capacity"),
            "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128, "tie_word_embeddings": True,
            "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}


CASES = {
    "mixtral": mixtral, "mixtral-256": mixtral, "qwen3moe": qwen3_moe, "qwen3moe-256": qwen3_moe,
    "deepseek-v3": deepseek("deepseek_v3"), "deepseek-v3-256": deepseek("deepseek_v3"),
    "deepseek-v2": deepseek("deepseek_v2"), "deepseek-v2-lite": deepseek("deepseek_v2"),
    "phimoe": phimoe, "phimoe-256": phimoe, "gpt-oss": gpt_oss, "gpt-oss-mxfp4": gpt_oss,
    "switch": switch, "qwen2moe": qwen2_moe, "olmoe": olmoe, "granitemoe": granitemoe,
    "granitemoeshared": granitemoe, "glm4moe": sigmoid("glm4_moe"), "dots1": sigmoid("dots1"),
    "bailingmoe2": bailing, "ernie4_5-moe": ernie, "hunyuan-moe": hunyuan, "minimax-m2": minimax,
    "llama4": llama4, "dbrx": dbrx, "lfm2moe": lfm2, "qwen3next": delta("qwen3_next"),
    "qwen35moe": delta("qwen3_5_moe_text"), "llama-dense": dense("llama", True),
    "qwen3-dense": dense("qwen3", False),
}

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def tokenizer_json(keys):
    tokens, kind = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.model"]
    types = keys.get("tokenizer.ggml.token_type", [1] * len(tokens))
    added = [dict(id=i, content=t, special=types[i] == 3, normalized=False, single_word=False,
                  lstrip=False, rstrip=False) for i, t in enumerate(tokens) if types[i] in (3, 4)]
    result = {"version": "1.0", "added_tokens": added, "post_processor": None}
    if kind == "gpt2":
        result["normalizer"] = {"type": "NFC"}
        result["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
             "use_regex": False}]}
        result["model"] = {"type": "BPE", "byte_fallback": False, "ignore_merges": False,
                           "vocab": {t: i for i, t in enumerate(tokens)
                                     if types[i] not in (3, 4, 5)},
                           "merges": [m.split(" ", 1) for m in keys["tokenizer.ggml.merges"]]}
    elif kind == "llama":
        result["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
        scores = keys["tokenizer.ggml.scores"]
        merges = []
        for piece in sorted((t for i, t in enumerate(tokens) if types[i] == 1 and len(t) > 1),
                            key=lambda t: -scores[tokens.index(t)]):
            merges += [f"{piece[:n]} {piece[n:]}" for n in range(1, len(piece))
                       if piece[:n] in tokens and piece[n:] in tokens]
        result["model"] = {"type": "BPE", "byte_fallback": True, "unk_token": tokens[0],
                           "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}
    else:
        result["model"] = {"type": "Unigram", "unk_id": 2,
                           "vocab": [[t, float(s)] for t, s in
                                     zip(tokens, keys["tokenizer.ggml.scores"])]}
    return result


def main():
    goldens, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for case in sys.argv[3:] or CASES:
        g = Golden(goldens / case / "model.gguf")
        config = CASES[case](g)
        left = [n for n in g.tensors if not n.startswith(
            f"blk.{len(g.layers()) if g.arch != 'switch' else 0}.") or g.arch == "switch"]
        if left:
            sys.exit(f"{case}: nothing is made of {left[:4]}")
        folder = out / case
        folder.mkdir(parents=True, exist_ok=True)
        names = list(g.out)
        if case in ("mixtral", "deepseek-v3"):  # in shards
            half = len(names) // 2
            files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
            for file, part in zip(files, (names[:half], names[half:])):
                save(folder / file, {n: g.out[n] for n in part})
            index = {n: files[i >= half] for i, n in enumerate(names)}
            (folder / "model.safetensors.index.json").write_text(
                json.dumps({"metadata": {}, "weight_map": index}))
        else:
            save(folder / "model.safetensors", g.out)
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
            token = g.keys.get(f"tokenizer.ggml.{key}_token_id")
            if token is not None:
                config.setdefault(f"{name}_token_id", int(token))
        (folder / "config.json").write_text(json.dumps(
            {k: v for k, v in config.items() if v is not None}, default=float, indent=1))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(g.keys)))
        tokenizer = {"add_bos_token": bool(g.keys.get("tokenizer.ggml.add_bos_token", False)),
                     "add_eos_token": bool(g.keys.get("tokenizer.ggml.add_eos_token", False))}
        if "tokenizer.chat_template" in g.keys:
            tokenizer["chat_template"] = g.keys["tokenizer.chat_template"]
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


if __name__ == "__main__":
    main()

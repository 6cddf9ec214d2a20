#!/usr/bin/env python3
"""Makes importance.json: squares of activations that meet the storyteller's weights, by torch from
Hugging Face's implementation in float64. Usage: make_importance.py FOLDER > importance.json, where
FOLDER holds the storyteller's config.json and model.safetensors.
For each matrix: the rows that met it, the sum of all its squares, and those of its first columns."""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

N_COLUMNS = 6
IDS = [2] + [(37 * i * i + 11 * i) % 4096 for i in range(1, 40)]


def figures(rows):
    squares = (rows.double() ** 2).sum(0)
    return {"count": len(rows), "total": float(squares.sum()),
            "first": [float(x) for x in squares[:N_COLUMNS]]}


def watch_linear(seen, module, names):
    def hook(_, args):
        rows = args[0].reshape(-1, args[0].shape[-1])
        for name in names:
            seen[name] = [figures(rows)]
    module.register_forward_pre_hook(hook)


def watch_experts(seen, experts, prefix):
    def hook(module, args):
        hidden, chosen = args[0].reshape(-1, args[0].shape[-1]), args[1]
        inputs, products = [], []
        for expert in range(len(module.gate_up_proj)):
            rows = hidden[(chosen == expert).any(-1)]
            gate, up = (rows @ module.gate_up_proj[expert].T).chunk(2, -1)
            inputs.append(figures(rows))
            products.append(figures(torch.nn.functional.silu(gate) * up))
        seen[prefix + "ffn_gate_exps.weight"] = seen[prefix + "ffn_up_exps.weight"] = inputs
        seen[prefix + "ffn_down_exps.weight"] = products
    experts.register_forward_pre_hook(hook)


def main():
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float64,
                                                 experts_implementation="eager")
    model.eval()
    seen = {}
    for i in (0, 3, 5):
        layer, prefix = model.model.layers[i], f"blk.{i}."
        watch_linear(seen, layer.self_attn.q_proj,
                     [prefix + f"attn_{which}.weight" for which in "qkv"])
        watch_linear(seen, layer.self_attn.o_proj, [prefix + "attn_output.weight"])
        watch_experts(seen, layer.mlp.experts, prefix)
    watch_linear(seen, model.lm_head, ["token_embd.weight"])  # tied
    with torch.no_grad():
        model(torch.tensor([IDS]))
    json.dump({"ids": IDS, "tensors": seen}, sys.stdout, separators=(",", ":"))


main()

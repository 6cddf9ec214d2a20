#!/usr/bin/env python3
"""Hugging Face folders as transformers itself writes them: config.json with all of its keys, weights and
tokenizer files by save_pretrained.

    make_saved_checkpoints.py goldens GOLDENS OUT [CASE ...]   the goldens' weights, from folders of
        make_checkpoints.py: loaded, compared with the goldens' logits, and saved
    make_saved_checkpoints.py tiny OUT [FAMILY ...]            random weights, some 100 KB a folder,
        beside expected.json: token ids, texts with their ids, and the logits that transformers
        computes in float32 from the weights as saved

Needs: pip install torch transformers tokenizers safetensors gguf; the goldens are of transformers
5.23.0. transformers does not write MXFP4 blocks without a GPU: where they are wanted, the configuration
is what it writes and the blocks are put in their place here.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM,
                          PreTrainedTokenizerFast)

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT_4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_V3 = (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
               "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
               "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
TEXTS = ["the other one", "A 12345 of them;  and\nthere.", "na\u00efve \u4e2d\u6587 \U0001f98a's"]
N_VOCAB = 288


def class_of(config):
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def load(folder, **more):
    config = AutoConfig.from_pretrained(folder)
    model, info = class_of(config).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **more)
    left = {kind: names for kind, names in info.items() if names}
    if left:
        sys.exit(f"{folder}: transformers does not take these weights for {type(model).__name__}: {left}")
    return model.eval()


def logits_of(model, ids, source=None):
    inputs = {"input_ids": torch.tensor([ids])}
    if source is not None:
        inputs = {"input_ids": torch.tensor([source]), "decoder_input_ids": torch.tensor([ids])}
    with torch.no_grad():
        return model(**inputs).logits[0].float().numpy()


# ------------------------------------------------------------------ the goldens' weights

# What transformers needs to be told beside what make_checkpoints.py says.
MORE = {
    "deepseek-v2-lite": {"q_lora_rank": None},
    "glm4moe": {"attention_bias": True, "use_qk_norm": True},
    "phimoe": {"attention_bias": True, "lm_head_bias": True},
    "phimoe-256": {"attention_bias": True, "lm_head_bias": True},
    "dbrx": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "gpt-oss-mxfp4": {"quantization_config": {"quant_method": "mxfp4", "dequantize": True}},
}
# transformers 5.23.0 computes prompts longer than the original context with the short factors.
LONG_PROMPTS_DIFFER = ("phimoe", "phimoe-256")


def golden(case):
    import gguf
    reader = gguf.GGUFReader(case / "golden.gguf")
    keys = {name: field.contents() for name, field in reader.fields.items()}
    return keys, {t.name: np.array(t.data) for t in reader.tensors}


def check(case, model, keys, tensors):
    name = case.name
    for p in range(2 if name in LONG_PROMPTS_DIFFER else int(keys["golden.n_prompts"])):
        source = tensors.get(f"prompt.{p}.encoder_tokens")
        got = logits_of(model, tensors[f"prompt.{p}.tokens"].tolist(),
                        None if source is None else source.tolist())
        expected = tensors[f"prompt.{p}.logits"]
        off = np.abs(got[-len(expected):] - expected).max()
        if not off <= keys["golden.logits_tolerance"]:
            sys.exit(f"{name}: transformers' logits are {off} off the golden's")


def save_golden(case, written, out):
    folder = written / case.name
    config = json.loads((folder / "config.json").read_text())
    config.update(MORE.get(case.name, {}))
    config.setdefault("vocab_size", len(golden_vocabulary(case)))
    if config["model_type"] == "phimoe":  # in both places, as the release has it
        original = config["original_max_position_embeddings"]
        config["rope_scaling"]["original_max_position_embeddings"] = original
    if case.name == "switch":  # every other layer has experts
        config["num_sparse_encoder_layers"] = config["num_layers"] // 2
        config["num_sparse_decoder_layers"] = config["num_decoder_layers"] // 2
    (folder / "config.json").write_text(json.dumps(config))
    model = load(folder)
    check(case, model, *golden(case))
    if "quantization_config" in config:
        model.config.save_pretrained(out / case.name)
        shutil.copy(folder / "model.safetensors", out / case.name)
    else:
        model.save_pretrained(out / case.name)
    PreTrainedTokenizerFast.from_pretrained(folder).save_pretrained(out / case.name)


def golden_vocabulary(case):
    import gguf
    return gguf.GGUFReader(case / "model.gguf").fields["tokenizer.ggml.tokens"].data


def save_goldens(goldens, out, cases):
    maker = pathlib.Path(__file__).with_name("make_checkpoints.py")
    with tempfile.TemporaryDirectory() as written:
        subprocess.run([sys.executable, maker, goldens, written, *cases], check=True)
        for folder in sorted(pathlib.Path(written).iterdir()):
            if folder.name == "bailingmoe2":  # transformers has no such model
                continue
            save_golden(goldens / folder.name, pathlib.Path(written), out)


# ------------------------------------------------------------------ tiny models

def byte_level(patterns, specials, normalizer=None, bos=None):
    """All bytes, a few merges, and special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("e", "r"), ("a", "n"), ("an", "d")]
    pieces = alphabet + [a + b for a, b in merges]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(pieces)}, merges))
    tokenizer.normalizer = normalizer
    splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        splits + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    if bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def byte_fallback(specials, bos):
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("e", "r")]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + ["\u2581"]
    pieces += sorted(set("".join(a + b for a, b in merges)) - {"\u2581"})
    pieces += [a + b for a, b in merges]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(pieces)}, merges, unk_token="<unk>",
                                     byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"),
                                                 normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"] + specials)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def unigram():
    letters = list("abcdefghijklmnopqrstuvwxyzA.;'12345")
    words = ["\u2581the", "\u2581other", "\u2581one", "\u2581of", "\u2581and", "them", "ing", "re"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -3.0)]
    pieces += [(w, -4.0 - i / 8) for i, w in enumerate(words)]
    pieces += [(c, -6.0 - i / 16) for i, c in enumerate(letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer


COMMON = dict(vocab_size=N_VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128)
LATENT = dict(COMMON, num_key_value_heads=4, moe_intermediate_size=16, intermediate_size=32,
              kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8,
              first_k_dense_replace=1)
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 32, "beta_slow": 1,
        "original_max_position_embeddings": 32}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
QWEN_ENDS = dict(eos_token="<|im_end|>", pad_token="<|endoftext|>")
DEEPSEEK_ENDS = dict(bos_token="<s_begin>", eos_token="<s_end>", pad_token="<s_end>")


def qwen_tokenizer():
    return byte_level([QWEN2], ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], normalizers.NFC())


def deepseek_tokenizer():
    return byte_level(DEEPSEEK_V3, ["<s_begin>", "<s_end>"], bos="<s_begin>")


def harmony_tokenizer():
    return byte_level([GPT_4O], ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|start|>"])


# transformers 5.23 leaves the mscales aside and multiplies by sqrt(1 + ln(context / original) /
# ln(original)), which for these lengths is the same number.
LONG_CONTEXT, LONG_ORIGINAL = 131072, 2048


def longrope():
    factors = [1.0 + i / 4 for i in range(4)]
    return {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": factors,
            "long_factor": [2 * f for f in factors], "short_mscale": 1.243163121016122,
            "long_mscale": 1.243163121016122,
            "original_max_position_embeddings": LONG_ORIGINAL}


# model_type -> (configuration, tokenizer, its special tokens)
TINY = {
    "mixtral": (dict(COMMON, intermediate_size=16, num_local_experts=4, num_experts_per_tok=2),
                lambda: byte_fallback([], True),
                dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")),
    "qwen3_moe": (dict(COMMON, intermediate_size=32, moe_intermediate_size=16, num_experts=4,
                       num_experts_per_tok=2, head_dim=16, norm_topk_prob=True),
                  qwen_tokenizer, QWEN_ENDS),
    "deepseek_v2": (dict(LATENT, n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1,
                         q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1,
                         norm_topk_prob=False, routed_scaling_factor=1.0,
                         rope_parameters=dict(YARN, mscale=0.707, mscale_all_dim=0.707)),
                    deepseek_tokenizer, DEEPSEEK_ENDS),
    "deepseek_v3": (dict(LATENT, n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=1,
                         q_lora_rank=16, n_group=4, topk_group=2, routed_scaling_factor=2.5,
                         rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
                    deepseek_tokenizer, DEEPSEEK_ENDS),
    "phimoe": (dict(COMMON, max_position_embeddings=LONG_CONTEXT, intermediate_size=16,
                    num_local_experts=4, num_experts_per_tok=2, attention_bias=True,
                    lm_head_bias=True, rope_parameters=longrope()),
               lambda: byte_fallback(["<|endoftext|>"], False),
               dict(bos_token="<s>", eos_token="<|endoftext|>", unk_token="<unk>")),
    "gpt_oss": (dict(COMMON, intermediate_size=32, num_local_experts=4, num_experts_per_tok=2,
                     head_dim=16, sliding_window=16, rope_parameters=dict(YARN, truncate=False)),
                harmony_tokenizer,
                dict(bos_token="<|startoftext|>", eos_token="<|return|>", pad_token="<|endoftext|>")),
    "switch_transformers": (dict(vocab_size=96, d_model=32, d_kv=8, d_ff=16, num_heads=4,
                                 num_layers=2, num_decoder_layers=2, num_sparse_encoder_layers=1,
                                 num_sparse_decoder_layers=1, num_experts=4, expert_capacity=64),
                            unigram, dict(eos_token="</s>", pad_token="<pad>", unk_token="<unk>")),
}
TINY["gpt_oss_mxfp4"] = TINY["gpt_oss"]
# Rows and columns of more than a block of 128, and blocks that are cut.
TINY["deepseek_v3_fp8"] = (dict(TINY["deepseek_v3"][0], intermediate_size=160, v_head_dim=40),
                           *TINY["deepseek_v3"][1:])
TINY["qwen3_moe_fp8"] = (dict(TINY["qwen3_moe"][0], head_dim=40), *TINY["qwen3_moe"][1:])
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def draw(model, seed):
    """Weights and biases of a size that lets every part matter."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim == 1 and ("norm" in name and name.endswith("weight")):
            p.data = 1 + 0.2 * noise
        elif p.ndim == 1:
            p.data = 0.3 * noise
        else:
            p.data = noise * (2.0 if "gate.weight" in name or "router" in name else 1.0) * (
                p.shape[-1] ** -0.5)
        p.data = p.data.bfloat16().float()
    for name, b in model.named_buffers():
        if "correction" in name:
            b.data = 0.1 * torch.randn(b.shape, generator=generator)


def set_quantization(folder, quantization):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def to_fp8(folder, scale_type):
    """Matrices of layers, but for routers, as E4M3 with a scale for every 128 by 128; what is returned
    has the numbers that they stand for."""
    path = folder / "model.safetensors"
    tensors, meant = load_file(path), {}
    for name in list(tensors):
        w = meant[name] = tensors[name].float()
        if w.ndim != 2 or "layers." not in name or name.endswith("mlp.gate.weight"):
            continue
        rows, columns = ((n + 127) // 128 for n in w.shape)
        scales = torch.stack([torch.stack([
            w[128 * i:128 * i + 128, 128 * j:128 * j + 128].abs().max() / 448
            for j in range(columns)]) for i in range(rows)]).to(scale_type)
        wide = scales.float().repeat_interleave(128, 0).repeat_interleave(128, 1)
        wide = wide[:w.shape[0], :w.shape[1]]
        tensors[name] = (w / wide).clamp(-448, 448).to(torch.float8_e4m3fn)
        tensors[name + "_scale_inv"] = scales
        meant[name] = tensors[name].float() * wide
    save_file(tensors, path, metadata={"format": "pt"})
    set_quantization(folder, {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                              "weight_block_size": [128, 128]})
    return meant


def to_mxfp4(folder):
    """[experts, in, out] of the folder's gpt-oss experts as blocks and scales; the rest as it is."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in [n for n in tensors if n.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        turned = tensors.pop(name).float().numpy().swapaxes(1, 2)
        groups = turned.reshape(*turned.shape[:2], -1, 32)
        most = np.abs(groups).max(-1, keepdims=True)
        exponent = np.floor(np.log2(np.maximum(most, 2.0**-100))) - 2  # FP4's largest is 6
        scaled = groups / 2.0**exponent
        codes = np.abs(scaled[..., None] - FP4).argmin(-1).astype(np.uint8)
        tensors[name + "_blocks"] = torch.tensor(codes[..., 0::2] | codes[..., 1::2] << 4)
        tensors[name + "_scales"] = torch.tensor((exponent[..., 0] + 127).astype(np.uint8))
    save_file(tensors, path, metadata={"format": "pt"})
    set_quantization(folder, {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router",
                                   "model.embed_tokens", "lm_head"]})


def quantized(family, folder):
    """The model that the folder means, in float32."""
    if family.endswith("_mxfp4"):
        to_mxfp4(folder)
        return load(folder, quantization_config=transformers.Mxfp4Config(dequantize=True))
    if not family.endswith("_fp8"):
        return load(folder)
    with tempfile.TemporaryDirectory() as plain:
        shutil.copy(folder / "config.json", plain)
        # DeepSeek's scales are float32, Qwen's bfloat16
        meant = to_fp8(folder, torch.float32 if "deepseek" in family else torch.bfloat16)
        save_file(meant, pathlib.Path(plain) / "model.safetensors", metadata={"format": "pt"})
        return load(plain)


def save_tiny(family, out):
    settings, make_tokenizer, special = TINY[family]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=make_tokenizer(), **special)
    settings = dict(settings, **{f"{name}_id": tokenizer.convert_tokens_to_ids(token)
                                 for name, token in special.items() if name != "unk_token"})
    config = AutoConfig.for_model(family.removesuffix("_mxfp4").removesuffix("_fp8"), **settings)
    folder = out / family
    model = class_of(config).from_config(config)
    draw(model, seed=len(family))
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = quantized(family, folder)
    generator = np.random.default_rng(7)
    ids = generator.integers(0, config.vocab_size, 24).tolist()
    source = None
    if config.is_encoder_decoder:
        source, ids = ids, [0] + generator.integers(3, config.vocab_size, 11).tolist()
    logits = logits_of(model, ids, source)[-2:]
    # no rule of a Unigram tokenizer.json without a character map makes a newline a space
    texts = [t.replace("\n", " ") if config.is_encoder_decoder else t for t in TEXTS]
    expected = {"transformers": transformers.__version__, "source": source, "ids": ids,
                "logits": [[float(f"{x:.7g}") for x in row] for row in logits],
                "texts": [{"text": t, "ids": tokenizer(t)["input_ids"]} for t in texts]}
    text = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in expected.items())
    (folder / "expected.json").write_text("{" + text + "}\n")


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    if sys.argv[1] == "goldens":
        save_goldens(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4:])
    else:
        for family in sys.argv[3:] or TINY:
            save_tiny(family, pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()

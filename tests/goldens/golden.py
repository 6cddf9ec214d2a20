"""What every make_<architecture>.py shares: a byte-level vocabulary, the forward passes of a Hugging
Face model with its layers watched, and golden.gguf (the keys and tensors that golden_case.cpp reads).

Needs: pip install torch transformers gguf
"""
import pathlib

import gguf
import numpy as np
import torch
import transformers

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "goldens"
PROMPT_LENGTHS = (7, 24)
GREEDY_PROMPT, GREEDY_TOKENS = 1, 32
LEAST_MARGIN = 1e-3  # by which a chosen expert leads the first that is not, and a best logit the next


def byte_vocabulary():
    """256 bytes in the spelling of byte-level BPE, what MERGES make of them, three control tokens."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    spelling = {byte: chr(byte) for byte in own}
    spelling.update({byte: chr(0x100 + i) for i, byte in enumerate(others)})
    merged = [merge.replace(" ", "") for merge in MERGES]
    return [spelling[byte] for byte in range(256)] + merged + CONTROL


MERGES, CONTROL = ["t h", "i n"], ["<bos>", "<eos>", "<pad>"]
N_VOCAB = len(byte_vocabulary())


def randomise(model, seed, norms_around=1.0):
    """Weights that float16 holds exactly, so that the file's are the model's."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                values = norms_around + 0.2 * torch.randn(weight.shape, generator=generator)
            else:
                scale = 1.0 if "embed" in name else 1.5 / weight.shape[-1] ** 0.5
                values = scale * torch.randn(weight.shape, generator=generator)
            weight.copy_(values.half().float())
    return model.eval()


class Model:
    """model.gguf, opened for keys and tensors of one architecture."""

    def __init__(self, case, arch):
        (DATA / case).mkdir(parents=True, exist_ok=True)
        self.writer = gguf.GGUFWriter(DATA / case / "model.gguf", arch)
        self.arch = arch
        self.writer.add_tokenizer_model("gpt2")
        self.writer.add_tokenizer_pre("qwen2")
        self.writer.add_token_list(byte_vocabulary())
        self.writer.add_token_types([1] * (N_VOCAB - len(CONTROL)) + [3] * len(CONTROL))
        self.writer.add_token_merges(MERGES)
        self.writer.add_bos_token_id(N_VOCAB - 3)
        self.writer.add_eos_token_id(N_VOCAB - 2)

    def key(self, name, value):
        add = {bool: self.writer.add_bool, int: self.writer.add_uint32,
               float: self.writer.add_float32, str: self.writer.add_string,
               list: self.writer.add_array}[type(value)]
        add(f"{self.arch}.{name}", value)

    def tensor(self, name, weight):
        values = weight.detach().numpy()
        is_matrix = values.ndim > 1 and "gate_inp" not in name
        self.writer.add_tensor(name, values.astype(np.float16 if is_matrix else np.float32))

    def close(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def adjacent_rows(weight, n_heads):
    """Rows of q or k for rotations of neighbours, from rows for rotations of halves."""
    rows, width = weight.shape
    return weight.reshape(n_heads, 2, rows // n_heads // 2, width).swapaxes(1, 2).reshape(rows, width)


class Run:
    """One forward pass. `route(layer)` gives a layer's (logits, weights, experts), each [n, ...]."""

    def __init__(self, model, tokens, route):
        outputs = {}
        layers = model.model.layers
        hooks = [layer.register_forward_hook(
            lambda _, __, out, i=i: outputs.update({i: out[0] if isinstance(out, tuple) else out}))
            for i, layer in enumerate(layers)]
        with torch.no_grad():
            self.logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
        for hook in hooks:
            hook.remove()
        self.outputs = [outputs[i].reshape(len(tokens), -1) for i in range(len(layers))]
        self.routes = [route(layer) for layer in layers]


def sorted_route(logits, weights, experts):
    """Best first; raises where a choice is close."""
    order = weights.argsort(dim=-1, descending=True)
    k = experts.shape[-1]
    best = logits.sort(dim=-1, descending=True).values
    if (best[:, k - 1] - best[:, k]).min() < LEAST_MARGIN:
        raise ValueError("a close choice of experts: take another seed")
    return weights.gather(-1, order), experts.gather(-1, order)


def difference(a, b):
    return max(float((x.double() - y.double()).abs().max()) for x, y in zip(a, b))


def write_golden(case, arch, source, model, exact, route):
    """`exact` is the same model in float64: its distance sets the tolerances."""
    writer = gguf.GGUFWriter(DATA / case / "golden.gguf", "golden")
    generator = np.random.default_rng(len(case))
    prompts = [generator.integers(0, 256, n).tolist() for n in PROMPT_LENGTHS]
    apart = {"logits": 0.0, "out": 0.0, "weights": 0.0}
    for p, tokens in enumerate(prompts):
        run, ideal = Run(model, tokens, route), Run(exact, tokens, route)
        writer.add_uint32(f"prompt.{p}.n_tokens", len(tokens))
        writer.add_uint32(f"prompt.{p}.logits_from", 0)
        add = lambda name, values, kind: writer.add_tensor(
            f"prompt.{p}.{name}", np.asarray(values, dtype=kind))
        add("tokens", tokens, np.int32)
        add("logits", run.logits, np.float32)
        apart["logits"] = max(apart["logits"], difference([run.logits], [ideal.logits]))
        apart["out"] = max(apart["out"], difference(run.outputs, ideal.outputs))
        for i, out in enumerate(run.outputs):
            add(f"layer.{i}.out", out, np.float32)
            if run.routes[i] is None:
                continue
            weights, experts = run.routes[i]
            apart["weights"] = max(apart["weights"], difference([weights], [ideal.routes[i][0]]))
            add(f"layer.{i}.router", experts, np.int32)
            add(f"layer.{i}.weights", weights, np.float32)
    tokens = list(prompts[GREEDY_PROMPT])
    for _ in range(GREEDY_TOKENS):
        best = Run(model, tokens, route).logits[-1].sort(descending=True)
        if best.values[0] - best.values[1] < LEAST_MARGIN:
            raise ValueError("a close choice of a token: take another seed")
        tokens.append(int(best.indices[0]))
    writer.add_tensor("greedy.tokens", np.asarray(tokens[-GREEDY_TOKENS:], dtype=np.int32))
    writer.add_string("golden.case", case)
    writer.add_string("golden.arch", arch)
    writer.add_string("golden.source", f"{source}, transformers {transformers.__version__}, torch "
                      f"{torch.__version__.split('+')[0]}, float32, eager")
    writer.add_uint32("golden.n_prompts", len(prompts))
    writer.add_uint32("golden.greedy_prompt", GREEDY_PROMPT)
    for kind, measured in apart.items():
        writer.add_float32(f"golden.{kind}_tolerance", max(1e-5, 10 * measured))
        print(f"{case}: {kind} float32 against float64 {measured:.1e}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

#!/usr/bin/env python3
"""Makes perplexity.json: figures of the bundled model for a text, by NumPy from every position's
logits. Usage: make_perplexity.py path/to/larder path/to/storyteller-q4.gguf > perplexity.json
The base is the model with float32 activations and cache (--exact), the other the same model with
integer arithmetic and a q8_0 cache."""
import json
import subprocess
import sys
import tempfile

import numpy as np

LARDER, MODEL = sys.argv[1:3]
N_CTX, N_TOP, PREFIX = 48, 12, 2  # PREFIX: the model's EOS; its texts begin with no BOS
BASE, OTHER = ["--exact"], ["-ctk", "q8_0", "-ctv", "q8_0"]
TEXT = """Once upon a time a small fox lived behind the old mill. Every morning she counted the
ducks on the pond, and every morning there were seven. One day there were only six. "Where is the
seventh?" she asked the heron. The heron did not know. So the fox walked around the pond, looked
under the bridge, and asked the frogs. "She sleeps in the reeds," said the smallest frog, "and she
has nine eggs." The fox was glad, and went home very quietly. When spring came there were sixteen
ducks on the pond, and the fox could not count so far. The heron laughed, and helped her.
"""


def encode(*flags):
    out = subprocess.run([LARDER, "tokenize", "-m", MODEL, *flags], input=TEXT.encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    return [int(token) for token in out.decode().split(",")]


def log_softmax(ids, flags):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        subprocess.run([LARDER, "logits", "-m", MODEL, "-q", "-o", file.name, "--ids",
                        ",".join(map(str, ids)), *flags], stdin=subprocess.DEVNULL, check=True)
        x = np.load(file.name).astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def rolling(ids, flags):
    """At every place (log-probabilities, token), in lm-evaluation-harness's windows."""
    rows, done = [], 0
    while done < len(ids):
        end = min(len(ids), done + N_CTX)
        before = [PREFIX] if done == 0 else ids[end - N_CTX - 1:done]
        logprobs = log_softmax((before + ids[done:end])[:-1], flags)
        n = end - done
        rows += [(logprobs[i - n], ids[done + i]) for i in range(n)]
        done = end
    return rows


def chunks(ids, flags):
    """llama-perplexity's: the second half of each whole chunk."""
    rows = []
    for begin in range(0, len(ids) - N_CTX + 1, N_CTX):
        chunk = ids[begin:begin + N_CTX]
        logprobs = log_softmax(chunk, flags)
        rows += [(logprobs[j], chunk[j + 1]) for j in range(N_CTX // 2, N_CTX - 1)]
    return rows


def mean(values):
    values = np.asarray(values, np.float64)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def perplexity(rows):
    value, error = mean([-logprobs[token] for logprobs, token in rows])
    return {"n_tokens": len(rows), "perplexity": np.exp(value),
            "standard_error": np.exp(value) * error}


def compare(base, other):
    divergences, same, change = [], [], []
    for (p, token), (q, _) in zip(base, other):
        top = np.argsort(-p, kind="stable")[:N_TOP]
        rest_p, rest_q = 1 - np.exp(p[top]).sum(), 1 - np.exp(q[top]).sum()
        divergences.append((np.exp(p[top]) * (p[top] - q[top])).sum()
                           + rest_p * np.log(rest_p / rest_q))
        same.append(p.argmax() == q.argmax())
        change.append(p[token] - q[token])
    names = ["mean", "mean_error", "median", "q90", "q99", "max", "same_top", "same_top_error",
             "change", "change_error"]
    values = [*mean(divergences), *np.quantile(divergences, [0.5, 0.9, 0.99, 1]), *mean(same),
              *mean(change)]
    return dict(zip(names, map(float, values)))


base = rolling(encode("--special"), BASE)
golden = {"text": TEXT, "n_ctx": N_CTX, "n_top": N_TOP, "base": BASE, "other": OTHER,
          "rolling": perplexity(base), "chunks": perplexity(chunks(encode(), BASE)),
          "comparison": compare(base, rolling(encode("--special"), OTHER))}
json.dump(golden, sys.stdout, indent=1)
print()

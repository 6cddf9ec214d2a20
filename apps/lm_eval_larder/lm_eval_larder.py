"""larder as a model of lm-evaluation-harness, through the command's JSONL.

All requests of a kind go to one run of `larder score` or `larder batch`, which fills its passes from
all of them. What contexts, windows and the first token mean is larder's to know: see `larder score`.
"""

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

# Exit codes of jobs: all done; all done, and some items failed.
DONE, SOME_FAILED = 0, 5


@register_model("larder")
class Larder(LM):
    """Arguments, as in --model_args model=FILE,exact=true,threads=8:

    model      GGUF file; the bundled model without it
    program    larder's own place, where it is not on PATH
    exact      float32 activations: what references are compared with
    threads, ram, ctx_size  as the command's -t, --ram, -c
    options    any more, as one text: options="--isa avx2"
    work       a folder that keeps requests and results: what was interrupted is continued, what is
               there is not computed again
    """

    def __init__(
        self,
        model=None,
        program="larder",
        exact=False,
        threads=None,
        ram=None,
        ctx_size=None,
        options="",
        work=None,
        batch_size=None,  # the harness gives these two; larder chooses for itself
        device=None,
        **unknown,
    ):
        super().__init__()
        for name in unknown:
            if name not in ("max_batch_size", "trust_remote_code"):
                raise ValueError(f"larder has no model argument '{name}'")
        self._program = program
        self._flags = ["-m", str(model)] if model else []
        for flag, value in (("-t", threads), ("--ram", ram), ("-c", ctx_size)):
            if value is not None:
                self._flags += [flag, str(value)]
        if exact:
            self._flags.append("--exact")
        self._flags += shlex.split(options)
        self._work = Path(work) if work else None

    @property
    def tokenizer_name(self) -> str:
        return "larder"

    def loglikelihood(self, requests, disable_tqdm=False):
        items = [
            {"id": i, "context": r.args[0], "continuation": r.args[1]}
            for i, r in enumerate(requests)
        ]
        found = [(r["logprob"], r["is_greedy"]) for r in self._run("score", items)]
        for request, answer in zip(requests, found):
            self.cache_hook.add_partial("loglikelihood", request.args, answer)
        return found

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        items = [{"id": i, "text": r.args[0]} for i, r in enumerate(requests)]
        found = [r["logprob"] for r in self._run("score", items)]
        for request, answer in zip(requests, found):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return found

    def generate_until(self, requests, disable_tqdm=False):
        items = [
            {
                "custom_id": str(i),
                "url": "/v1/completions",
                "body": {"prompt": r.args[0], **generation_body(r.args[1])},
            }
            for i, r in enumerate(requests)
        ]
        # Control tokens of a prompt count, as they do for the harness's own tokenizers.
        records = self._run("batch", items, ["--special"])
        found = [r["response"]["body"]["choices"][0]["text"] for r in records]
        for request, answer in zip(requests, found):
            self.cache_hook.add_partial("generate_until", request.args, answer)
        return found

    def _run(self, command, items, flags=()):
        """The records of a job over the items, in their order."""
        if not items:
            return []
        lines = "".join(json.dumps(item) + "\n" for item in items)
        if self._work is None:
            with tempfile.TemporaryDirectory(prefix="larder-") as folder:
                return self._run_in(Path(folder), command, lines, flags)
        what = "\0".join([command, *self._flags, *flags, lines])
        folder = self._work / hashlib.sha256(what.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return self._run_in(folder, command, lines, flags)

    def _run_in(self, folder, command, lines, flags):
        source, target = folder / "requests.jsonl", folder / "results.jsonl"
        journal = folder / "results.jsonl.journal"
        if not target.exists() or journal.exists():
            partial = folder / "requests.partial"
            partial.write_text(lines, encoding="utf-8")
            os.replace(partial, source)
            words = [self._program, command, *self._flags, *flags]
            words += ["-i", str(source), "-o", str(target)]
            code = subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
            if code not in (DONE, SOME_FAILED):
                raise RuntimeError(f"larder {command} ended with {code}: {shlex.join(words)}")
        with open(target, encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        for number, record in enumerate(records, 1):
            # A figure over what is left would compare with nobody's.
            if record.get("error"):
                raise RuntimeError(f"request {number}: {record['error']['message']}")
        return records


def generation_body(options):
    """The harness's generation options as those of a completion."""
    options = dict(options)
    until = options.pop("until", None) or []
    body = {"stop": [until] if isinstance(until, str) else [text for text in until if text]}
    body["max_tokens"] = int(options.pop("max_gen_toks", options.pop("max_tokens", 256)))
    # As the harness's own backends: greedy, unless sampling is asked for.
    samples = options.pop("do_sample", None)
    temperature = options.pop("temperature", None)
    if samples is False or (samples is None and not temperature):
        temperature = 0.0
    body["temperature"] = 1.0 if temperature is None else temperature
    if body["temperature"] > 0:
        body.update({"top_k": 0, "top_p": 1.0, "min_p": 0.0})  # unless they are given
    for name in ("top_k", "top_p", "min_p", "seed", "repetition_penalty"):
        if name in options:
            body[name] = options.pop(name)
    if options:
        raise NotImplementedError(f"larder has no generation option {sorted(options)}")
    return body


def main():
    """lm_eval's own command line: importing this module has registered the model."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    # Run as a program this file is another module than the one that is imported by name.
    import lm_eval_larder

    lm_eval_larder.main()

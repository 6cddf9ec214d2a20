#!/usr/bin/env python3
"""Writes pretokenizer_pieces.tsv: what the published regular expressions make of tricky texts.

usage: make_pretokenizer_pieces.py unicode_ranges.tsv > pretokenizer_pieces.tsv

Each line: pre-tokenizer name, UTF-8 text in hex, byte lengths of its pieces. Python's backtracking
`re` is the oracle; character classes are spelt out from the table of Unicode 16 categories.
"""
import random
import re
import sys

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?{L}+| ?{N}+| ?[^{s}{l}{n}]+|{S}+(?![^{s}])|{S}+"
TAIL = r"{S}*[\r\n]+|{S}+(?![^{s}])|{S}+"
UPPER, LOWER = "[{lu}{lt}{lm}{lo}{m}]", "[{ll}{lm}{lo}{m}]"
DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\uff21-\uff3a"
    "\uff41-\uff5a")
PATTERNS = {
    "llama-bpe": [CONTRACTIONS + r"|[^\r\n{l}{n}]?{L}+|{N}{{1,3}}| ?[^{s}{l}{n}]+[\r\n]*|" + TAIL],
    "qwen2": [CONTRACTIONS + r"|[^\r\n{l}{n}]?{L}+|{N}| ?[^{s}{l}{n}]+[\r\n]*|" + TAIL],
    "qwen35": [CONTRACTIONS + r"|[^\r\n{l}{n}]?[{l}{m}]+|{N}| ?[^{s}{l}{m}{n}]+[\r\n]*|" + TAIL],
    "bailingmoe2": ["'(?:[sSdDmMtT\u017f]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n{l}{n}]?{L}+|{N}|"
                    r" ?[^{s}{l}{n}]+[\r\n]*|{S}*[\r\n]|{S}+(?![^{s}])|{S}+"],
    "gpt-4o": [r"[^\r\n{l}{n}]?" + UPPER + "*" + LOWER + "+" + CONTRACTIONS + "?|"
               r"[^\r\n{l}{n}]?" + UPPER + "+" + LOWER + "*" + CONTRACTIONS + "?|"
               r"{N}{{1,3}}| ?[^{s}{l}{n}]+[\r\n/]*|" + TAIL],
    "gpt-2": [GPT2],
    "starcoder": ["{N}", GPT2],
    "deepseek-v3": ["{N}{{1,3}}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"[!-/:-@\[-`{{-~][A-Za-z]+|[^\r\n{l}{p}{y}]?[{l}{m}]+| ?[{p}{y}]+[\r\n]*|" + TAIL],
    "deepseek-llm": [r"[\r\n]", "{S}?[" + DEEPSEEK_LETTERS + "]+",
                     "{S}?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
                     r"{S}+\Z", "[\u0800-\u9fa5\uac00-\ud7ff]+", "{N}+"],
}
# Characters on which wrong rules differ. None of them is in the letters that DEEPSEEK_LETTERS
# leaves out.
ALPHABET = list("aAbZst'\"'.,/!-_ \t\n\r  \n0159") + [
    "\u00a0", "\u3000", "\u0085", "\u200b", "\u001c", "\u0301", "\u0300", "\u0963", "\u01c5",
    "\u02b0", "\u00aa", "\u00e9", "\u00c9", "\u0436", "\u0416", "\u4e2d", "\u9fa6", "\u3042",
    "\u30fc", "\uac00", "\u017f", "\u00bd", "\u0664", "\u2160", "\U0001f600", "\u20ac", "\uff01",
    "\u2018", "\u0001", "\ue000", "\u05d0", "\u0e01", "'s", "'RE", "'ll", "don't", "ABCdef", "  ",
    "123456", "\r\n", " \n "]


def classes(path):
    names = {"L": "l", "Lu": "lu", "Ll": "ll", "Lt": "lt", "Lm": "lm", "Lo": "lo", "M": "m",
             "N": "n", "P": "p", "S": "y", "space": "s"}
    out = {v: "" for v in names.values()}
    for line in open(path):
        name, first, last = line.split()
        if name in names:
            a, b = (f"\\U{int(x, 16):08x}" for x in (first, last))
            out[names[name]] += a if a == b else f"{a}-{b}"
    return out


def split(pattern, text):
    pieces, at = [], 0
    for match in pattern.finditer(text):
        if match.start() > at:
            pieces.append(text[at:match.start()])
        if match.end() > match.start():
            pieces.append(match.group())
        at = match.end()
    return pieces + ([text[at:]] if at < len(text) else [])


def main():
    c = classes(sys.argv[1])
    c.update(S=f"[{c['s']}]", L=f"[{c['l']}]", N=f"[{c['n']}]")
    rng = random.Random(3)
    texts = ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 24))) for _ in range(150)]
    for name, passes in PATTERNS.items():
        compiled = [re.compile(p.format(**c)) for p in passes]
        for text in texts:
            pieces = [text]
            for pattern in compiled:
                pieces = [part for piece in pieces for part in split(pattern, piece)]
            assert "".join(pieces) == text
            lengths = ",".join(str(len(p.encode())) for p in pieces)
            print(name, text.encode().hex(), lengths, sep="\t")


main()

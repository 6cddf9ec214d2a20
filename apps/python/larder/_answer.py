"""What a model answered."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from typing import List, Optional

from ._library import borrowed_text, call, plain, values_at

PARTS = ("answer", "thinking", "call")
_REASONS = ("end", "stop", "length", "context_full", "cancelled")


@dataclass(frozen=True)
class Piece:
    """Text as it comes; part is "answer", "thinking" or "call"."""

    part: str
    text: str


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: str  # as the model wrote them, mostly JSON


@dataclass(frozen=True)
class Answer:
    text: str
    thinking: str
    calls: List[ToolCall]
    tokens: List[int]
    logprobs: List[float]  # of each token, under the model's own distribution
    reason: str  # "end", "stop", "length", "context_full", "cancelled"
    n_prompt: int  # tokens,
    n_reused: int  # of which the session held so many
    prompt_seconds: float
    seconds: float


@dataclass(frozen=True)
class Score:
    logprobs: List[float]  # of each token of the continuation
    is_greedy: bool

    @property
    def logprob(self) -> float:
        return sum(self.logprobs)


def _number(pointer: c_void_p, which: int) -> int:
    value = c_int64()
    call("answer_number", pointer, which, byref(value))
    return value.value


def _call_of(pointer: c_void_p, index: int) -> ToolCall:
    name, arguments = c_char_p(), c_char_p()
    call("answer_call", pointer, index, byref(name), byref(arguments))
    return ToolCall((name.value or b"").decode("utf-8", "replace"),
                    (arguments.value or b"").decode("utf-8", "replace"))


def take_answer(pointer: c_void_p) -> Answer:
    """Copies what a larder_answer holds, and frees it."""
    try:
        ids, logprobs, n = c_void_p(), c_void_p(), c_size_t()
        call("answer_tokens", pointer, byref(ids), byref(logprobs), byref(n))
        count = n.value
        return Answer(
            text=borrowed_text("answer_text", pointer, 0),
            thinking=borrowed_text("answer_text", pointer, 1),
            calls=[_call_of(pointer, i) for i in range(_number(pointer, 3))],
            tokens=values_at(c_int32, ids, count),
            logprobs=values_at(c_float, logprobs, count),
            reason=_REASONS[_number(pointer, 1)],
            n_prompt=_number(pointer, 4),
            n_reused=_number(pointer, 5),
            prompt_seconds=_number(pointer, 6) / 1e6,
            seconds=_number(pointer, 7) / 1e6,
        )
    finally:
        plain("answer_free", pointer)


def scores_of(pointer: c_void_p) -> Optional[Score]:
    """None where the answer was generated."""
    logprobs, n, is_greedy = c_void_p(), c_size_t(), c_int32()
    call("answer_scores", pointer, byref(logprobs), byref(n), byref(is_greedy))
    if not n.value:
        return None
    return Score(values_at(c_double, logprobs, n.value), bool(is_greedy.value))


def piece_of(part: int, text: int, n_bytes: int) -> Piece:
    return Piece(PARTS[part], ctypes.string_at(text, n_bytes).decode("utf-8", "replace"))

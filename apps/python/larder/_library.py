"""liblarder.so.1, its functions' types, and what every call does with errors and text."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from array import array
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_float, c_int32, c_int64
from ctypes import c_size_t, c_uint64, c_void_p
from typing import Any, Dict, List, Sequence, Tuple

from ._errors import error_of

OK, CANCELLED = 0, 4
CONTINUE, STOP, CANCEL = 0, 1, 2

TextCallback = ctypes.CFUNCTYPE(c_int32, c_void_p, c_int32, c_void_p, c_size_t)
ProgressCallback = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint64, c_uint64)
LogCallback = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_size_t)

_ABI = 1


def _load() -> ctypes.CDLL:
    """LARDER_LIBRARY names a file; else the system's loader finds the library."""
    named = os.environ.get("LARDER_LIBRARY")
    return ctypes.CDLL(named if named else "liblarder.so.%d" % _ABI)


_library = _load()

_text: List[Any] = [c_char_p, c_size_t]
_ids: List[Any] = [POINTER(c_int32), c_size_t]
_out = POINTER(c_void_p)
_size = POINTER(c_size_t)
# Arguments but the last, which is always the error's.
_FALLIBLE: Dict[str, List[Any]] = {
    "options_new": [_out],
    "options_set_integer": [c_void_p, c_int32, c_int64],
    "options_set_real": [c_void_p, c_int32, c_double],
    "options_set_text": [c_void_p, c_int32, *_text],
    "options_set_progress": [c_void_p, ProgressCallback, c_void_p],
    "options_set_log": [c_void_p, LogCallback, c_void_p],
    "model_open": [*_text, c_void_p, _out],
    "model_number": [c_void_p, c_int32, POINTER(c_int64)],
    "model_text": [c_void_p, c_int32, _out, _size],
    "model_is_end": [c_void_p, c_int32, POINTER(c_int32)],
    "model_estimate": [c_void_p, c_void_p, POINTER(c_int64), c_size_t],
    "model_tokenize": [c_void_p, *_text, c_int32, _out, _size],
    "model_detokenize": [c_void_p, *_ids, c_int32, _out, _size],
    "model_apply_template": [c_void_p, c_void_p, c_void_p, _out, _size],
    "model_prompt": [c_void_p, c_void_p, c_void_p, _out, _size],
    "messages_new": [_out],
    "messages_add_json": [c_void_p, *_text],
    "session_open": [c_void_p, c_void_p, _out],
    "session_prefill": [c_void_p, *_ids],
    "session_step": [c_void_p, c_int32],
    "session_continue_as": [c_void_p, *_ids, _size],
    "session_encode": [c_void_p, *_ids],
    "session_rewind": [c_void_p, c_size_t, _size],
    "session_tokens": [c_void_p, _out, _size],
    "session_logits": [c_void_p, _out, _size],
    "session_logprobs": [c_void_p, POINTER(c_float), c_size_t],
    "session_score": [c_void_p, *_ids, *_ids, POINTER(c_double), POINTER(c_int32)],
    "session_saved_bytes": [c_void_p, _size],
    "session_save": [c_void_p, POINTER(c_char), c_size_t, _size],
    "session_restore": [c_void_p, *_text],
    "session_save_file": [c_void_p, *_text],
    "session_restore_file": [c_void_p, *_text],
    "session_copy": [c_void_p, _out],
    "session_generate": [c_void_p, c_void_p, TextCallback, c_void_p, _out],
    "session_chat": [c_void_p, c_void_p, c_void_p, TextCallback, c_void_p, _out],
    "session_statistics": [c_void_p, POINTER(c_int64), c_size_t],
    "batch_open": [c_void_p, c_void_p, _out],
    "batch_generate": [c_void_p, c_uint64, *_ids, c_void_p],
    "batch_score": [c_void_p, c_uint64, *_ids, *_ids],
    "batch_step": [c_void_p, _size],
    "batch_take": [c_void_p, POINTER(c_uint64), _out],
    "answer_scores": [c_void_p, _out, _size, POINTER(c_int32)],
    "answer_number": [c_void_p, c_int32, POINTER(c_int64)],
    "answer_text": [c_void_p, c_int32, _out, _size],
    "answer_tokens": [c_void_p, _out, _out, _size],
    "answer_call": [c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p)],
}
_PLAIN: Dict[str, Tuple[List[Any], Any]] = {
    "version": ([], c_char_p),
    "abi_version": ([], c_int32),
    "free": ([c_void_p], None),
    "error_message": ([c_void_p], c_char_p),
    "error_cause": ([c_void_p], c_char_p),
    "error_free": ([c_void_p], None),
    "options_free": ([c_void_p], None),
    "messages_free": ([c_void_p], None),
    "answer_free": ([c_void_p], None),
    "model_close": ([c_void_p], c_int32),
    "session_close": ([c_void_p], c_int32),
    "session_cancel": ([c_void_p], None),
    "session_forget_cancel": ([c_void_p], None),
    "batch_close": ([c_void_p], c_int32),
    "batch_cancel": ([c_void_p], None),
    "batch_forget_cancel": ([c_void_p], None),
}
for _name, _arguments in _FALLIBLE.items():
    _function = getattr(_library, "larder_" + _name)
    _function.argtypes, _function.restype = [*_arguments, _out], c_int32
for _name, (_arguments, _result) in _PLAIN.items():
    _function = getattr(_library, "larder_" + _name)
    _function.argtypes, _function.restype = _arguments, _result
if _library.larder_abi_version() != _ABI:
    raise ImportError("liblarder has ABI %d, this package needs %d"
                      % (_library.larder_abi_version(), _ABI))


def plain(name: str, *arguments: Any) -> Any:
    """A function that cannot fail."""
    return getattr(_library, "larder_" + name)(*arguments)


def call(name: str, *arguments: Any) -> None:
    """A function that can fail; then its error is raised."""
    error = c_void_p()
    status = getattr(_library, "larder_" + name)(*arguments, byref(error))
    if status == OK:
        return
    message = plain("error_message", error).decode("utf-8", "replace")
    cause = plain("error_cause", error).decode("ascii", "replace")
    plain("error_free", error)
    raise error_of(status, message, cause)


def made(name: str, *arguments: Any) -> c_void_p:
    """What a function puts through its last pointer."""
    out = c_void_p()
    call(name, *arguments, byref(out))
    return out


def text_arguments(text: str) -> Tuple[bytes, int]:
    encoded = text.encode("utf-8", "surrogateescape")
    return encoded, len(encoded)


def fitting(value: int, n_bits: int) -> int:
    """The value; ctypes would cut it off without a word."""
    if not -(1 << (n_bits - 1)) <= value < 1 << (n_bits - 1):
        raise OverflowError("%d does not fit %d bits" % (value, n_bits))
    return value


def id_arguments(ids: Sequence[int]) -> Tuple[Any, int]:
    return (c_int32 * len(ids)).from_buffer(array("i", ids)), len(ids)


def values_at(kind: Any, pointer: c_void_p, n: int) -> List[Any]:
    """A copy of n numbers of that type."""
    return list((kind * n).from_address(pointer.value)) if n and pointer.value else []


def borrowed_text(name: str, *arguments: Any) -> str:
    text, n = c_void_p(), c_size_t()
    call(name, *arguments, byref(text), byref(n))
    return ctypes.string_at(text.value or 0, n.value).decode("utf-8", "replace")


def owned_bytes(name: str, *arguments: Any) -> bytes:
    text, n = c_void_p(), c_size_t()
    call(name, *arguments, byref(text), byref(n))
    try:
        return ctypes.string_at(text.value or 0, n.value)
    finally:
        plain("free", text)


def owned_ids(name: str, *arguments: Any) -> List[int]:
    ids, n = c_void_p(), c_size_t()
    call(name, *arguments, byref(ids), byref(n))
    try:
        return values_at(c_int32, ids, n.value)
    finally:
        plain("free", ids)


def version() -> str:
    """Of the C library, such as "0.1.0"."""
    return str(plain("version").decode())


def abi_version() -> int:
    return int(plain("abi_version"))

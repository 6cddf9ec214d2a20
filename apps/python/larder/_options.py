"""Options by the names of the command line."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import sys
import threading
from typing import Any, Callable, List, Mapping, Optional

from ._library import CANCEL, CONTINUE, LogCallback, ProgressCallback, call, made, plain
from ._library import fitting, text_arguments

# done, total -> False cancels
Progress = Callable[[int, int], Optional[bool]]
Log = Callable[[str], None]

_INTEGERS = {
    "context_size": 1, "exact": 2, "threads": 3, "batch_size": 4, "ram_bytes": 5,
    "seed": 40, "top_k": 41, "repeat_last_n": 42, "max_tokens": 43, "ignore_end": 44,
    "show_control": 45,
}
_REALS = {
    "temperature": 60, "top_p": 61, "min_p": 62, "typical_p": 63, "repeat_penalty": 64,
    "presence_penalty": 65, "frequency_penalty": 66,
}
_TEXTS = {
    "cache_type_k": 20, "cache_type_v": 21, "isa": 22, "profile_folder": 23,
    "thinking": 81, "template": 82,
}
_JSON = {"tools": 83, "variables": 84}
_STOP = 80


class Options:
    """A larder_options for the time of a call, or of the session that keeps its callbacks."""

    def __init__(self, values: Mapping[str, Any], progress: Optional[Progress] = None,
                 log: Optional[Log] = None) -> None:
        self.pointer: Any = made("options_new")
        self._raised = threading.local()  # callbacks run on the thread of the call
        self._kept: List[Any] = []
        try:
            for name, value in values.items():
                if value is not None:
                    self._set(name, value)
            self._set_callbacks(progress, log)
        except BaseException:
            self.close()
            raise

    def _set(self, name: str, value: Any) -> None:
        if name in _INTEGERS:
            call("options_set_integer", self.pointer, _INTEGERS[name],
                 fitting(operator.index(value), 64))
        elif name in _REALS:
            call("options_set_real", self.pointer, _REALS[name], float(value))
        elif name in _TEXTS:
            text = value if isinstance(value, str) else os.fspath(value)
            call("options_set_text", self.pointer, _TEXTS[name], *text_arguments(text))
        elif name in _JSON:
            call("options_set_text", self.pointer, _JSON[name], *text_arguments(json.dumps(value)))
        elif name == "stop":
            for text in [value] if isinstance(value, str) else value:
                call("options_set_text", self.pointer, _STOP, *text_arguments(text))
        else:
            raise TypeError("unknown option %r" % name)

    def _set_callbacks(self, progress: Optional[Progress], log: Optional[Log]) -> None:
        if progress is not None:
            def on_progress(_user: Any, done: int, total: int) -> int:
                try:
                    return CANCEL if progress(done, total) is False else CONTINUE
                except BaseException as error:  # comes out of the call that called it
                    self._raised.error = error
                    return CANCEL

            self._kept.append(ProgressCallback(on_progress))
            call("options_set_progress", self.pointer, self._kept[-1], None)
        if log is not None:
            def on_log(_user: Any, _level: int, text: int, n_bytes: int) -> None:
                try:
                    log(ctypes.string_at(text, n_bytes).decode("utf-8", "replace"))
                except BaseException as error:
                    self._raised.error = error

            self._kept.append(LogCallback(on_log))
            call("options_set_log", self.pointer, self._kept[-1], None)

    def raise_what_was_raised(self) -> None:
        error = getattr(self._raised, "error", None)
        if error is not None:
            self._raised.error = None
            raise error

    def close(self) -> None:
        """Frees the options; callbacks live as long as this object."""
        pointer, self.pointer = self.pointer, None
        if pointer:
            plain("options_free", pointer)

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

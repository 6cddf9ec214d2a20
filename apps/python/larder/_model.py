"""Models, their vocabulary and their templates."""

from __future__ import annotations

import json
import os
from ctypes import byref, c_char_p, c_int32, c_int64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Type, Union

from ._library import borrowed_text, call, fitting, id_arguments, made, owned_bytes
from ._library import owned_ids, plain, text_arguments
from ._options import Log, Options, Progress

if TYPE_CHECKING:
    from types import TracebackType

    from ._batch import Batch
    from ._session import Session

Message = Mapping[str, Any]  # {"role": ..., "content": ...}, as in OpenAI's API


@dataclass(frozen=True)
class Memory:
    """Bytes that a session would take."""

    total: int
    program: int
    dense: int
    cache: int
    buffers: int
    experts: int
    all_experts: int
    least: int
    is_paged: bool


class Messages:
    """A larder_messages for the time of a call."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.pointer: Any = made("messages_new")
        try:
            call("messages_add_json", self.pointer,
                 *text_arguments(json.dumps([dict(message) for message in messages])))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        pointer, self.pointer = self.pointer, None
        plain("messages_free", pointer)

    def __enter__(self) -> "Messages":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Model:
    """A GGUF file, open. Immutable: any number of threads and sessions may use one."""

    def __init__(self, path: Union[str, "os.PathLike[str]"], *,
                 progress: Optional[Progress] = None, log: Optional[Log] = None) -> None:
        self._pointer: Any = None
        options = Options({}, progress, log)
        try:
            encoded = os.fsencode(path)
            self._pointer = made("model_open", c_char_p(encoded), len(encoded), options.pointer)
        finally:
            options.close()
            options.raise_what_was_raised()

    @property
    def pointer(self) -> Any:
        if not self._pointer:
            raise ValueError("the model is closed")
        return self._pointer

    def close(self) -> None:
        """Sessions of this model stay open."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            plain("model_close", pointer)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: "Optional[TracebackType]") -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _number(self, which: int) -> int:
        value = c_int64()
        call("model_number", self.pointer, which, byref(value))
        return value.value

    @property
    def n_vocab(self) -> int:
        return self._number(1)

    @property
    def context_length(self) -> int:
        return self._number(2)

    @property
    def n_layers(self) -> int:
        return self._number(3)

    @property
    def n_experts(self) -> int:
        return self._number(4)

    @property
    def bos(self) -> Optional[int]:
        token = self._number(7)
        return None if token < 0 else token

    @property
    def eos(self) -> Optional[int]:
        token = self._number(8)
        return None if token < 0 else token

    @property
    def has_encoder(self) -> bool:
        return bool(self._number(9))

    @property
    def has_template(self) -> bool:
        return bool(self._number(10))

    @property
    def architecture(self) -> str:
        return borrowed_text("model_text", self.pointer, 1)

    @property
    def name(self) -> str:
        return borrowed_text("model_text", self.pointer, 2)

    def is_end(self, token: int) -> bool:
        value = c_int32()
        call("model_is_end", self.pointer, fitting(token, 32), byref(value))
        return bool(value.value)

    def tokenize(self, text: str, *, special: bool = False, begin: bool = False) -> List[int]:
        flags = (1 if special else 0) | (2 if begin else 0)
        return owned_ids("model_tokenize", self.pointer, *text_arguments(text), flags)

    def detokenize_bytes(self, tokens: Sequence[int], *, shows_control: bool = False) -> bytes:
        return owned_bytes("model_detokenize", self.pointer, *id_arguments(tokens),
                           1 if shows_control else 0)

    def detokenize(self, tokens: Sequence[int], *, shows_control: bool = False) -> str:
        text = self.detokenize_bytes(tokens, shows_control=shows_control)
        return text.decode("utf-8", "replace")

    def apply_template(self, messages: Sequence[Message], **options: Any) -> str:
        with_options = Options(options)
        with Messages(messages) as made_messages:
            return owned_bytes("model_apply_template", self.pointer, made_messages.pointer,
                               with_options.pointer).decode("utf-8", "replace")

    def prompt(self, messages: Sequence[Message], **options: Any) -> List[int]:
        """The conversation's tokens; users' words never become control tokens."""
        with_options = Options(options)
        with Messages(messages) as made_messages:
            return owned_ids("model_prompt", self.pointer, made_messages.pointer,
                             with_options.pointer)

    def estimate(self, **options: Any) -> Memory:
        """What a session with these options would take, before it takes it."""
        with_options = Options(options)
        values = (c_int64 * 9)()
        call("model_estimate", self.pointer, with_options.pointer, values, len(values))
        return Memory(values[0], values[1], values[2], values[3], values[4], values[5], values[6],
                      values[7], is_paged=bool(values[8]))

    def batch(self, *, progress: Optional[Progress] = None, log: Optional[Log] = None,
              **options: Any) -> "Batch":
        """Many sequences in one pass over the weights. Options: those of session; context_size is
        that of the longest sequence."""
        from ._batch import Batch

        return Batch(self, progress=progress, log=log, **options)

    def session(self, *, progress: Optional[Progress] = None, log: Optional[Log] = None,
                **options: Any) -> "Session":
        """Options as on the command line: context_size, threads, batch_size, ram_bytes, exact,
        cache_type_k, cache_type_v, isa, profile_folder."""
        from ._session import Session

        return Session(self, progress=progress, log=log, **options)

"""Sessions: tokens so far, their cache, the next logits."""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
from ctypes import POINTER, byref, c_char, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

from ._answer import Answer, Piece, Score, piece_of, take_answer
from ._errors import error_of
from ._library import CANCEL, CONTINUE, OK, STOP, TextCallback, call, fitting, id_arguments
from ._library import made, plain, values_at
from ._model import Message, Messages, Model
from ._options import Log, Options, Progress

if TYPE_CHECKING:
    import numpy

# Answers False to stop.
OnPiece = Callable[[Piece], Optional[bool]]

_STATISTICS = ("n_tokens", "context_size", "threads", "bytes", "ram_bytes", "is_paged",
               "expert_hits", "expert_misses", "expert_reads", "bytes_read", "wait_us")


class _Pieces:
    """What the thread that computes hands to a Stream, which it does not keep alive."""

    def __init__(self) -> None:
        self.queue: "queue.Queue[Union[Piece, BaseException, None]]" = queue.Queue()
        self.is_unwanted = False
        self.answer: Optional[Answer] = None

    def compute(self, run: Callable[[OnPiece], Answer]) -> None:
        def put(piece: Piece) -> bool:
            self.queue.put(piece)
            return not self.is_unwanted

        try:
            self.answer = run(put)
            self.queue.put(None)
        except BaseException as error:
            self.queue.put(error)


class Stream(Iterator[Piece]):
    """Pieces of an answer as they come; `answer` is the whole, once they have ended. What is left
    early, by close(), at the end of a context or because nobody holds the stream any more, is
    cancelled."""

    def __init__(self, session: "Session", run: Callable[[OnPiece], Answer]) -> None:
        self._session = session
        self._pieces = _Pieces()
        self._thread = threading.Thread(target=self._pieces.compute, args=(run,), daemon=True)
        self._thread.start()

    @property
    def answer(self) -> Optional[Answer]:
        return self._pieces.answer

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Piece:
        item = self._pieces.queue.get()
        if isinstance(item, Piece):
            return item
        self._pieces.queue.put(None)
        self._thread.join()
        if item is None:
            raise StopIteration
        raise item

    def close(self) -> None:
        if self._thread.is_alive():
            self._pieces.is_unwanted = True
            if self._thread is threading.current_thread():  # a collector came by there
                return
            self._session.cancel()
            self._thread.join()
            self._session.forget_cancel()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Session:
    """One call at a time; only cancel() may come from another thread."""

    def __init__(self, model: Model, *, progress: Optional[Progress] = None,
                 log: Optional[Log] = None, **options: Any) -> None:
        self._pointer: Any = None
        self._options = Options(options, progress, log)  # its callbacks live as long as this
        try:
            self._pointer = made("session_open", model.pointer, self._options.pointer)
        finally:
            self._options.close()
            self._options.raise_what_was_raised()

    @property
    def pointer(self) -> Any:
        if not self._pointer:
            raise ValueError("the session is closed")
        return self._pointer

    def close(self) -> None:
        """Not while a call uses the session: BusyError, and it stays open."""
        if self._pointer:
            status = plain("session_close", self._pointer)
            if status != OK:
                raise error_of(status, "a call uses the session", "busy")
            self._pointer = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def cancel(self) -> None:
        """The running call, or else the next one, raises Cancelled soon. From every thread."""
        plain("session_cancel", self.pointer)

    def forget_cancel(self) -> None:
        plain("session_forget_cancel", self.pointer)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            call(name, self.pointer, *arguments)
        finally:
            self._options.raise_what_was_raised()

    def prefill(self, tokens: Sequence[int]) -> None:
        self._call("session_prefill", *id_arguments(tokens))

    def step(self, token: int) -> None:
        self._call("session_step", fitting(token, 32))

    def continue_as(self, tokens: Sequence[int]) -> int:
        """Keeps the beginning that is the same; answers how long it is."""
        n = c_size_t()
        self._call("session_continue_as", *id_arguments(tokens), byref(n))
        return n.value

    def encode(self, tokens: Sequence[int]) -> None:
        """Of a model with an encoder: reads a source, and forgets all tokens."""
        self._call("session_encode", *id_arguments(tokens))

    def rewind(self, n_tokens: int) -> int:
        """Forgets tokens from there on; answers how many are left."""
        n = c_size_t()
        self._call("session_rewind", fitting(n_tokens, 64), byref(n))
        return n.value

    @property
    def tokens(self) -> List[int]:
        ids, n = c_void_p(), c_size_t()
        self._call("session_tokens", byref(ids), byref(n))
        return values_at(c_int32, ids, n.value)

    @property
    def logits(self) -> "numpy.ndarray[Any, Any]":
        """A copy, float32 [n_vocab], of the last token. Needs NumPy."""
        import numpy

        logits, n = c_void_p(), c_size_t()
        self._call("session_logits", byref(logits), byref(n))
        values = ctypes.cast(logits, POINTER(c_float))
        return numpy.ctypeslib.as_array(values, (n.value,)).copy()

    def logprobs(self) -> "numpy.ndarray[Any, Any]":
        """Natural logarithms of softmax(logits), float32 [n_vocab]. Needs NumPy."""
        import numpy

        out = numpy.empty(len(self.logits), dtype=numpy.float32)
        self._call("session_logprobs", out.ctypes.data_as(POINTER(c_float)), len(out))
        return out

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> Score:
        logprobs, is_greedy = (c_double * max(1, len(continuation)))(), c_int32()
        self._call("session_score", *id_arguments(context), *id_arguments(continuation), logprobs,
                   byref(is_greedy))
        return Score(list(logprobs)[:len(continuation)], bool(is_greedy.value))

    def generate(self, on_piece: Optional[OnPiece] = None, **options: Any) -> Answer:
        """Goes on from the logits. Options: max_tokens, temperature, top_k, top_p, min_p,
        typical_p, repeat_penalty, repeat_last_n, presence_penalty, frequency_penalty, seed, stop,
        ignore_end, show_control."""
        return self._answer("session_generate", (), on_piece, options)

    def chat(self, messages: Sequence[Message], on_piece: Optional[OnPiece] = None,
             **options: Any) -> Answer:
        """Answers a conversation. Options: those of generate, thinking, template, tools
        (a list, as in OpenAI's API) and variables (a dict, for the template)."""
        with Messages(messages) as made_messages:
            return self._answer("session_chat", (made_messages.pointer,), on_piece, options)

    def generate_stream(self, **options: Any) -> Stream:
        return Stream(self, lambda on_piece: self.generate(on_piece, **options))

    def chat_stream(self, messages: Sequence[Message], **options: Any) -> Stream:
        return Stream(self, lambda on_piece: self.chat(messages, on_piece, **options))

    def _answer(self, name: str, arguments: Any, on_piece: Optional[OnPiece],
                options: Dict[str, Any]) -> Answer:
        with_options = Options(options)
        raised: List[BaseException] = []

        def on_text(_user: Any, part: int, text: int, n_bytes: int) -> int:
            if on_piece is None:
                return CONTINUE
            try:
                return STOP if on_piece(piece_of(part, text, n_bytes)) is False else CONTINUE
            except BaseException as error:  # comes out of this call
                raised.append(error)
                return CANCEL

        pointer = c_void_p()
        self._call(name, *arguments, with_options.pointer, TextCallback(on_text), None,
                   byref(pointer))
        answer = take_answer(pointer)
        if raised:
            raise raised[0]
        return answer

    def save(self) -> bytes:
        n = c_size_t()
        self._call("session_saved_bytes", byref(n))
        buffer = (c_char * n.value)()
        self._call("session_save", buffer, n.value, byref(n))
        return buffer.raw[:n.value]

    def restore(self, saved: bytes) -> None:
        self._call("session_restore", saved, len(saved))

    def save_file(self, path: Union[str, "os.PathLike[str]"]) -> None:
        encoded = os.fsencode(path)
        self._call("session_save_file", encoded, len(encoded))

    def restore_file(self, path: Union[str, "os.PathLike[str]"]) -> None:
        encoded = os.fsencode(path)
        self._call("session_restore_file", encoded, len(encoded))

    def copy(self) -> "Session":
        """Another session with the same model, options and tokens."""
        copied = Session.__new__(Session)
        copied._options = self._options
        copied._pointer = None
        copied._pointer = made("session_copy", self.pointer)
        return copied

    @property
    def statistics(self) -> Dict[str, int]:
        values = (c_int64 * len(_STATISTICS))()
        self._call("session_statistics", values, len(values))
        return dict(zip(_STATISTICS, values))

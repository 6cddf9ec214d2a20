"""Batches: many sequences in one pass over the weights."""

from __future__ import annotations

import sys
from ctypes import byref, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Iterator, Optional, Sequence

from ._answer import Answer, Score, scores_of, take_answer
from ._errors import LarderError, error_of
from ._library import OK, call, id_arguments, made, plain
from ._model import Model
from ._options import Log, Options, Progress

# Of one sequence alone (larder_batch_take): it is taken with them.
_NUMERIC, _OUT_OF_MEMORY = 12, 5


@dataclass(frozen=True)
class Finished:
    """A sequence that has ended: generated, scored, or failed alone."""

    tag: int  # that it was added with
    answer: Optional[Answer] = None
    score: Optional[Score] = None
    error: Optional[LarderError] = None


class Batch:
    """Sequences are added, step() computes, take() gives those that have ended. What comes out is a
    session's, to the bit. One call at a time; only cancel() may come from another thread.

        for i, text in enumerate(texts):
            batch.generate(model.tokenize(text, begin=True), tag=i, max_tokens=40)
        for finished in batch:
            print(finished.tag, finished.answer.text)
    """

    def __init__(self, model: Model, *, progress: Optional[Progress] = None,
                 log: Optional[Log] = None, **options: Any) -> None:
        self._pointer: Any = None
        with_options = Options(options, progress, log)
        try:
            self._pointer = made("batch_open", model.pointer, with_options.pointer)
        finally:
            with_options.close()
            with_options.raise_what_was_raised()

    @property
    def pointer(self) -> Any:
        if not self._pointer:
            raise ValueError("the batch is closed")
        return self._pointer

    def close(self) -> None:
        """Not while a call uses the batch: BusyError, and it stays open."""
        if self._pointer:
            status = plain("batch_close", self._pointer)
            if status != OK:
                raise error_of(status, "a call uses the batch", "busy")
            self._pointer = None

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

    def cancel(self) -> None:
        """The running step(), or else the next one, raises Cancelled soon; nothing is lost, and
        another step goes on. From every thread."""
        plain("batch_cancel", self.pointer)

    def forget_cancel(self) -> None:
        plain("batch_forget_cancel", self.pointer)

    def generate(self, tokens: Sequence[int], *, tag: int, **options: Any) -> None:
        """Adds a sequence to go on with; options as Session.generate(). NoRoomError: step and take
        first. Behind an encoder the tokens are the source."""
        with_options = Options(options)
        call("batch_generate", self.pointer, _tag(tag), *id_arguments(tokens),
             with_options.pointer)

    def score(self, context: Sequence[int], continuation: Sequence[int], *, tag: int) -> None:
        """Adds a sequence to be scored, as Session.score(). NoRoomError: step and take first."""
        call("batch_score", self.pointer, _tag(tag), *id_arguments(context),
             *id_arguments(continuation))

    def step(self) -> int:
        """One pass over what is held; answers how many sequences have not ended."""
        n_held = c_size_t()
        call("batch_step", self.pointer, byref(n_held))
        return n_held.value

    def take(self) -> Optional[Finished]:
        """The next one that has ended; None where there is none now."""
        tag, pointer = c_uint64(), c_void_p()
        try:
            call("batch_take", self.pointer, byref(tag), byref(pointer))
        except LarderError as error:
            if error.status not in (_NUMERIC, _OUT_OF_MEMORY):
                raise
            return Finished(tag.value, error=error)
        if not pointer:
            return None
        score = scores_of(pointer)
        answer = take_answer(pointer)
        return Finished(tag.value, score=score) if score else Finished(tag.value, answer=answer)

    def __iter__(self) -> Iterator[Finished]:
        """Steps until all have ended, and gives each when it has; others may be added meanwhile."""
        is_busy = True
        while is_busy:
            is_busy = self.step() > 0
            finished = self.take()
            while finished is not None:
                yield finished
                finished = self.take()
                is_busy = True


def _tag(tag: int) -> int:
    if not 0 <= tag < 1 << 64:
        raise OverflowError("%d is no tag: 64 bits, and not negative" % tag)
    return tag

"""Statuses of the C library as exceptions."""

from __future__ import annotations


class LarderError(Exception):
    """What went wrong; `status` is larder.h's number, `cause` a finer name such as "shape"."""

    def __init__(self, status: int, message: str, cause: str) -> None:
        super().__init__(message)
        self.status = status
        self.cause = cause


class BusyError(LarderError):
    """Another call uses the session."""


class Cancelled(LarderError):
    """cancel() ended the call; the session holds what was done."""


class BudgetError(LarderError, MemoryError):
    """It does not fit the memory that it may take, or that there is."""


class CorruptError(LarderError):
    """A file of another kind, or damaged."""


class UnsupportedError(LarderError):
    """Understood, but not implemented."""


class TemplateError(LarderError):
    """The chat template is absent, malformed, or refuses the messages."""


class ContextFullError(LarderError):
    """The tokens do not fit the context."""


class MismatchError(LarderError):
    """State of another model, or a file that changed meanwhile."""


class NoRoomError(LarderError):
    """The batch holds as much as it can: step, and take."""


class InvalidArgumentError(LarderError, ValueError):
    """An argument is out of range, or calls come in the wrong order."""


class InputError(LarderError, OSError):
    """The operating system refused to read or write."""

    def __str__(self) -> str:
        return str(self.args[0])


_CLASSES = {
    1: InvalidArgumentError,
    3: BusyError,
    4: Cancelled,
    5: BudgetError,
    6: BudgetError,
    7: InputError,
    8: CorruptError,
    9: UnsupportedError,
    10: TemplateError,
    11: ContextFullError,
    13: MismatchError,
    15: NoRoomError,
}


def error_of(status: int, message: str, cause: str) -> LarderError:
    return _CLASSES.get(status, LarderError)(status, message, cause)

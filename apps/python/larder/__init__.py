"""Quantized mixture-of-experts language models on ordinary CPUs: liblarder for Python.

    import larder

    with larder.Model("model.gguf") as model, model.session() as session:
        for piece in session.chat_stream([{"role": "user", "content": "Hello!"}]):
            print(piece.text, end="", flush=True)

Calls let go of the interpreter's lock while they compute. A session takes one call at a time; its
cancel() may be called from every thread. Model.batch() computes many sequences at once.
"""

from ._answer import Answer, Piece, Score, ToolCall
from ._batch import Batch, Finished
from ._errors import (
    BudgetError,
    BusyError,
    Cancelled,
    ContextFullError,
    CorruptError,
    InputError,
    InvalidArgumentError,
    LarderError,
    MismatchError,
    NoRoomError,
    TemplateError,
    UnsupportedError,
)
from ._library import abi_version, version
from ._model import Memory, Model
from ._session import Session, Stream

__all__ = [
    "Answer",
    "Batch",
    "BudgetError",
    "BusyError",
    "Cancelled",
    "ContextFullError",
    "CorruptError",
    "Finished",
    "InputError",
    "InvalidArgumentError",
    "LarderError",
    "Memory",
    "MismatchError",
    "Model",
    "NoRoomError",
    "Piece",
    "Score",
    "Session",
    "Stream",
    "TemplateError",
    "ToolCall",
    "UnsupportedError",
    "abi_version",
    "version",
]

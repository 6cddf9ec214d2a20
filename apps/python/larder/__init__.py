"""Quantized mixture-of-experts language models on ordinary CPUs: liblarder for Python.

    import larder

    with larder.Model("model.gguf") as model, model.session() as session:
        for piece in session.chat_stream([{"role": "user", "content": "Hello!"}]):
            print(piece.text, end="", flush=True)

Calls let go of the interpreter's lock while they compute. A session takes one call at a time; its
cancel() may be called from every thread.
"""

from ._answer import Answer, Piece, ToolCall
from ._errors import (
    BudgetError,
    BusyError,
    Cancelled,
    ContextFullError,
    CorruptError,
    LarderError,
    MismatchError,
    TemplateError,
    UnsupportedError,
)
from ._library import abi_version, version
from ._model import Memory, Model
from ._session import Score, Session

__all__ = [
    "Answer",
    "BudgetError",
    "BusyError",
    "Cancelled",
    "ContextFullError",
    "CorruptError",
    "LarderError",
    "Memory",
    "MismatchError",
    "Model",
    "Piece",
    "Score",
    "Session",
    "TemplateError",
    "ToolCall",
    "UnsupportedError",
    "abi_version",
    "version",
]

"""From a file's bytes to a parsed module."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings

from .ignores import ignores_of
from .values import Module


class Unreadable(Exception):
    """The source cannot be parsed. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = max(1, line)
        self.column = max(1, column)


def decode(data: bytes) -> str:
    """Source text, by its byte order mark or coding line (PEP 263). Raises `Unreadable`."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError) as error:
        raise Unreadable(f"its encoding: {error}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(text: str, *, name: str, path: str, package: bool = False) -> Module:
    """Parse one file. Raises `Unreadable`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # an invalid escape in what is checked is not our matter
            tree = ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(error.msg, error.lineno or 1, error.offset or 1) from error
    except ValueError as error:  # null bytes
        raise Unreadable(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise Unreadable("it is nested too deeply") from error
    # As ast and every editor count them: a form feed or U+2028 ends no line.
    return Module(name, path, tree, tuple(text.split("\n")), package, tuple(ignores_of(text)))

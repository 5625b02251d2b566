"""From a file's bytes to a parsed module."""

from __future__ import annotations

import io
import tokenize

from .ignores import ignores_of
from .syntax import tree_of
from .unreadable import Unreadable
from .values import Module


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
    tree = tree_of(text)
    # As ast and every editor count them: a form feed or U+2028 ends no line.
    return Module(name, path, tree, tuple(text.split("\n")), package, tuple(ignores_of(text)))

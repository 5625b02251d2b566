"""From a file's text to `ast` nodes, whichever Python 3 the file was written for.

The host's own parser is asked first: it is in C, and reads nearly every file. What it does not know, because the host
is older than the function's runtime, `newer` reads. Either way the tree holds only nodes that the oldest host has, so
that what is found in a file does not depend on the Python that looks.
"""

from __future__ import annotations

import ast
import warnings

from .older import lowered
from .unreadable import Unreadable


def tree_of(text: str) -> ast.Module:
    r"""Parse one file.

    Args:
        text: With `\n` alone as the end of a line.

    Raises:
        Unreadable: No Python can parse it, or it is nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            # An invalid escape in what is checked is not our matter.
            warnings.simplefilter("ignore")
            return lowered(ast.parse(text))
    except SyntaxError as error:
        return _newer(text, error)
    except ValueError as error:  # null bytes
        raise Unreadable(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise Unreadable("it is nested too deeply") from error


def _newer(text: str, error: SyntaxError) -> ast.Module:
    from . import newer  # noqa: PLC0415 - seldom needed, and slow to load

    try:
        return newer.tree_of(text)
    except Unreadable as other:
        if other.line > (error.lineno or 1):
            raise  # the host stopped at what is only newer than itself
        raise Unreadable(error.msg, error.lineno or 1, error.offset or 1) from error

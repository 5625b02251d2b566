"""From a file's text to `ast` nodes, whichever Python 3 the file was written for.

The host's own parser is asked first: it is in C, and reads nearly every file. What it does not know, because the host
is older than the function's runtime, `newer` reads. Either way the tree holds only nodes that the oldest host has, so
that what is found in a file does not depend on the Python that looks.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any, cast

from .unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def lowered(tree: ast.Module) -> ast.Module:
    """`tree` with each node that is newer than Python 3.11 turned into the nearest older one, in place.

    Type parameters are dropped, `type X = ...` is an assignment, a t-string is an f-string. On 3.11 nothing changes.
    """
    if not hasattr(ast, "TypeAlias"):
        return tree
    for node in _walk(tree):
        if getattr(node, "type_params", None):
            cast("Any", node).type_params = []
        for name, inner in ast.iter_fields(node):
            if isinstance(inner, list):
                inner[:] = [_older(each) for each in inner]
            elif isinstance(inner, ast.AST):
                setattr(node, name, _older(inner))
    return tree


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Each node, a parent before its children are looked for."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += ast.iter_child_nodes(node)


def _older(node: Any) -> Any:
    match type(node).__name__:
        case "TypeAlias":
            return ast.copy_location(ast.Assign([node.name], node.value), node)
        case "TemplateStr":
            return ast.copy_location(ast.JoinedStr(node.values), node)
        case "Interpolation":
            parts = (node.value, node.conversion, node.format_spec)
            return ast.copy_location(ast.FormattedValue(*parts), node)
    return node

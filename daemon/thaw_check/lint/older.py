"""Nodes of newer Pythons as the nearest that Python 3.11 has. Imports nothing else, so that any Python can run it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


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

"""A tree as text, for comparison: all of it but the places that no rule looks at.

Run as a program, by any Python from 3.11 on, it reads paths from its input and answers a line for each: the digest of the
host's own tree with newer nodes turned into older ones, or `-` for what this Python cannot parse.

    python syntax_trees.py .../thaw_check/lint/older.py < paths
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import warnings
from pathlib import Path

PLACES = ("lineno", "col_offset", "end_lineno", "end_col_offset")


def shown(node, *, inside=False):
    """`inside`: of an f-string, where Python itself misplaced all before 3.12, and others since."""
    if isinstance(node, list):
        return [shown(each, inside=inside) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    within = inside or isinstance(node, ast.JoinedStr)
    fields = [
        (f, shown(getattr(node, f, None), inside=within))
        for f in node._fields
        if f != "type_params"
    ]
    places = [getattr(node, name, None) for name in PLACES]
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        places = places[:2]  # Python counts a semicolon behind the last statement, if there is one
    if isinstance(node, ast.ExceptHandler):
        places = places[:2]
    if inside or isinstance(node, ast.pattern):
        places = []
    return [type(node).__name__, fields, places]


def digest(tree):
    return hashlib.sha256(repr(shown(tree)).encode()).hexdigest()


def text_of(path):
    return Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def main():
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10_000)
    spec = importlib.util.spec_from_file_location("older", sys.argv[1])
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    for path in sys.stdin.read().splitlines():
        try:
            print(digest(older.lowered(ast.parse(text_of(path)))))
        except (SyntaxError, ValueError):
            print("-")


if __name__ == "__main__":
    main()

"""One file of source: decoded, parsed, with the comments that accept findings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from thawd.check.findings import Location

if TYPE_CHECKING:
    from .values import Value

_COMMENT: Final = re.compile(
    r"#\s*thaw:\s*ignore(?P<file>-file)?\b(?:\[(?P<rules>[^\]]*)\])?\s*(?P<reason>.*)",
    re.IGNORECASE,
)
ALL: Final = "*"


class Unreadable(Exception):
    """The source cannot be parsed. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = max(1, line)
        self.column = max(1, column)


@frozen
class Ignore:
    """A comment `# thaw: ignore[RULE, ...] reason`."""

    line: int
    rules: frozenset[str]
    """Rule ids, or `*` alone."""
    reason: str
    alone: bool
    """Whether nothing else stands on its line: it then speaks for the next line."""
    whole_file: bool

    def covers(self, rule: str, first: int, last: int) -> bool:
        """Whether it accepts `rule` for code on the lines `first` to `last`."""
        if not self.rules & {rule, ALL}:
            return False
        return self.whole_file or first - self.alone <= self.line <= last


@define(eq=False)
class Module:
    """A parsed file. `env` fills as the interpreter runs its module-level code."""

    name: str
    """Dotted, as other modules of the bundle import it."""
    path: str
    tree: ast.Module
    lines: tuple[str, ...]
    package: bool = False
    ignores: tuple[Ignore, ...] = ()
    checked: bool = True
    """False for a module that is only here to follow calls into it."""
    env: dict[str, Value] = field(factory=dict)
    imported: set[str] = field(factory=set)
    """Names in `env` that belong to another module."""
    renewed: set[str] = field(factory=set)
    """Globals that an after-restore hook assigns."""

    def at(self, node: ast.AST) -> Location:
        """Where `node` is. `ast` counts columns in bytes of UTF-8; people and editors count characters."""
        line = getattr(node, "lineno", 1)
        end_line = getattr(node, "end_lineno", None) or line
        return Location(
            self.path,
            line,
            self._column(line, getattr(node, "col_offset", 0)),
            end_line,
            self._column(end_line, getattr(node, "end_col_offset", None) or 0),
        )

    def _column(self, line: int, offset: int) -> int:
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        if text.isascii():
            return offset + 1
        return len(text.encode()[:offset].decode(errors="replace")) + 1

    def ignored(self, rule: str, where: Location) -> Ignore | None:
        """The comment that accepts `rule` at `where`, if there is one."""
        last = max(where.line, where.end_line)
        return next((i for i in self.ignores if i.covers(rule, where.line, last)), None)


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
    return Module(name, path, tree, tuple(text.split("\n")), package, tuple(_ignores(text)))


def ignores_of(text: str) -> list[Ignore]:
    """The comments of a file that may not parse: any line that looks like one."""
    return list(_ignores(text))


def _ignores(text: str) -> list[Ignore]:
    if "thaw:" not in text:
        return []
    found = []
    for line, column, comment, before in _comments(text):
        match = _COMMENT.search(comment)
        if match is None:
            continue
        rules = match["rules"]
        ids = {rule.strip().upper() for rule in (rules or "").split(",")} - {""}
        found.append(
            Ignore(
                line,
                frozenset(ids if rules is not None else {ALL}),
                match["reason"].strip(" -:\t"),
                alone=not before[:column].strip(),
                whole_file=match["file"] is not None,
            )
        )
    return found


def _comments(text: str) -> list[tuple[int, int, str, str]]:
    try:
        return [
            (token.start[0], token.start[1], token.string, token.line)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        ]
    except (tokenize.TokenError, SyntaxError, IndentationError):
        lines = enumerate(text.split("\n"), 1)
        return [
            (n, line.index("#"), line[line.index("#") :], line) for n, line in lines if "#" in line
        ]

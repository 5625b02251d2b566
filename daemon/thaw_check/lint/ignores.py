"""Comments in the source that accept findings."""

from __future__ import annotations

import io
import re
import tokenize
from typing import Final

from attrs import frozen

_COMMENT: Final = re.compile(
    r"#\s*thaw:\s*ignore(?P<file>-file)?\b(?:\[(?P<rules>[^\]]*)\])?\s*(?P<reason>.*)",
    re.IGNORECASE,
)
ALL: Final = "*"


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


def ignores_of(text: str) -> list[Ignore]:
    """The comments of a file, whether or not it parses: then any line that looks like one."""
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

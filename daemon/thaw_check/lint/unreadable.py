"""What is raised for source that cannot be checked."""

from __future__ import annotations


class Unreadable(Exception):
    """The source cannot be parsed. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = max(1, line)
        self.column = max(1, column)

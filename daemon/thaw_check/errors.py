"""The one failure a caller of this package can meet."""

from __future__ import annotations


class CheckError(Exception):
    """The path that was named cannot be checked: it cannot be read, or is not Python.

    `hint` is the way out, shown to people after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

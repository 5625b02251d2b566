"""Exit statuses: sysexits.h where it has a word, 1 for "it ran and the answer is no"."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The statuses."""

    OK = 0
    NO = 1
    """The function failed, the version failed, the check found something."""
    USAGE = 64
    DATA = 65
    """The input cannot be used: bad JSON, a bundle that the daemon refuses."""
    NO_INPUT = 66
    """A file or function that was named does not exist."""
    UNAVAILABLE = 69
    """The daemon does not answer, or a tool is missing."""
    SOFTWARE = 70
    """A fault of thawd."""
    IO_ERROR = 74
    """The operating system refused: a full disk, a broken file."""
    TEMPORARY = 75
    """Try again later: throttled, still pending."""
    NO_PERMISSION = 77
    CONFIG = 78
    INTERRUPTED = 130
    """Ended by Ctrl-C (128 + SIGINT)."""

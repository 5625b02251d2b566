"""Commands need an operating system: the linter any, a client Unix, a daemon Linux."""

from __future__ import annotations

import importlib
import os
import socket
import sys

from thawd.errors import ThawError


class NotHere(ThawError):
    """This system lacks what the command works with."""


def require_unix(what: str) -> None:
    """Raise `NotHere` where `what` cannot talk to a daemon nor share files with one: on Windows."""
    lacks = [
        *(["fcntl"] if not _has_module("fcntl") else []),
        *(f"os.{name}" for name in ("fork", "geteuid") if not hasattr(os, name)),
        *(["socket.AF_UNIX"] if not hasattr(socket, "AF_UNIX") else []),
    ]
    if lacks:
        raise _missing(what, f"Python on this system has no {', '.join(lacks)}")


def require_linux(what: str) -> None:
    """Raise `NotHere` where no daemon can run."""
    if sys.platform != "linux":
        raise _missing(what, f"this system is {sys.platform}")


def _missing(what: str, reason: str) -> NotHere:
    return NotHere(
        f"{what} needs Linux, and {reason}",
        hint="Run it on the machine where thawd runs. thaw check PATH, without --clones, runs everywhere",
    )


def _has_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True

"""Processes: how much memory one used, and which have ended. As PID 1 every orphan of the machine is ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .system import System


def most_bytes(system: System, pid: int) -> int:
    """The most memory this process had resident at any time; 0 when it is gone."""
    try:
        _, _, rest = system.read(f"/proc/{pid}/status").partition("VmHWM:")
    except OSError:
        return 0
    return (
        int(rest.split(None, 1)[0]) << 10 if rest else 0
    )  # a process that has exited has no such line


def reap() -> Iterator[tuple[int, int, int]]:
    """Take every child that has ended: process id, wait status, the most bytes it had resident at any time."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status, usage.ru_maxrss << 10

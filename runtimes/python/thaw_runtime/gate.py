"""Holds back the process's other Python threads from the end of `freeze` until `thaw` has renewed the generators.

A restored machine runs all threads of the function at once. The main thread renews the generators of the process, but only
after the runtime client's HTTP answer. Until then a thread that draws from `random` or OpenSSL would get the same as in
every other clone. So from the snapshot on each thread stops at its next line. A thread that
is inside a C function finishes that call first.

Needs `sys.monitoring` (Python 3.12). A process without other threads pays nothing. A thread that is stopped while it holds
a lock is a risk only to a fixer that wants that lock; the user's hooks run when the gate is open again.
"""

from __future__ import annotations

import sys
import time
from _thread import LockType, allocate_lock, get_ident
from typing import Any, Final

_monitoring: Any = getattr(sys, "monitoring", None)
_LONGEST_S: Final = 10.0
"""Of the guest's running time, in case the renewal needs a lock that a stopped thread holds. 2.4 s were measured from
closing to opening, most of it before the snapshot, on emulated processors that other processes kept busy."""


class Gate:
    """Closed at the end of `freeze`, opened by `thaw`."""

    def __init__(self) -> None:
        self._tool: int | None = None
        self._lock: LockType = allocate_lock()

    def close(self) -> None:
        """Stop every Python thread but the calling one at its next line."""
        if _monitoring is None or len(sys._current_frames()) < 2:
            return
        self._tool = next((n for n in range(5, -1, -1) if _monitoring.get_tool(n) is None), None)
        if self._tool is None:
            return
        self._lock.acquire()
        ours, lock, end = get_ident(), self._lock, time.monotonic() + _LONGEST_S

        def wait(*_: object) -> None:
            if get_ident() != ours:
                left_s = max(0.0, end - time.monotonic())
                if lock.acquire(timeout=left_s):
                    lock.release()

        _monitoring.use_tool_id(self._tool, "thaw_runtime")
        events = _monitoring.events
        wanted = (events.LINE, events.JUMP, events.PY_START, events.PY_RESUME)
        for event in wanted:
            _monitoring.register_callback(self._tool, event, wait)
        _monitoring.set_events(self._tool, sum(wanted))

    def open(self) -> None:
        """Let them run."""
        if self._tool is None:
            return
        _monitoring.set_events(self._tool, 0)
        _monitoring.free_tool_id(self._tool)
        self._tool = None
        self._lock.release()

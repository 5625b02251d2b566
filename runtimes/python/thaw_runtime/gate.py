"""Holds back the process's other Python threads from the end of `freeze` until `thaw` has renewed the generators.

A restored machine runs all threads of the function at once. The main thread renews the generators of the process, but only
after the runtime client's HTTP answer. Until then a thread that draws from `random` or OpenSSL would get the same as in
every other clone. So from the snapshot on each thread stops at its next line. A thread that
is inside a C function finishes that call first.

What a library keeps for each thread only that thread can renew. It does so when the gate opens or, if it was in a C
function all the time (a worker that waits for its queue), when that function returns: before its next call or line.
Until then only the code that these threads will return to is watched, so that an idle worker costs the others nothing.
A C function that calls back into Python (an event loop written in C) is met at the first function that it calls and
that no other thread has called since the restore.

Needs `sys.monitoring` (Python 3.12). A process without other threads pays nothing. A thread that is stopped while it holds
a lock is a risk only to a fixer that wants that lock; the user's hooks run when the gate is open again.
"""

from __future__ import annotations

import sys
import time
from _thread import LockType, allocate_lock, get_ident
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

_monitoring: Any = getattr(sys, "monitoring", None)
_LONGEST_S: Final = 10.0
"""Of the guest's running time, in case the renewal needs a lock that a stopped thread holds. 2.4 s were measured from
closing to opening, most of it before the snapshot, on emulated processors that other processes kept busy."""


class Gate:
    """Closed at the end of `freeze`, opened by `thaw`."""

    def __init__(self) -> None:
        self._tools: list[int] = []
        self._lock: LockType = allocate_lock()
        self._closed = False
        self._others: set[int] = set()
        self._codes: list[CodeType] = []
        self._renew: Callable[[], None] | None = None

    @property
    def waits(self) -> bool:
        """Is there a thread that has not passed yet, and is looked out for?"""
        return bool(self._tools)

    def close(self, *, per_thread: bool = False) -> None:
        """Stop every Python thread but the calling one at its next line.

        `per_thread`: will they have something to do themselves (`open`)?
        """
        if _monitoring is None or len(sys._current_frames()) < 2:
            return
        tool = next((n for n in range(5, -1, -1) if _monitoring.get_tool(n) is None), None)
        if tool is None:
            return
        self._lock.acquire()
        self._closed = True
        ours, lock, end = get_ident(), self._lock, time.monotonic() + _LONGEST_S

        def stop(*_: object) -> None:
            ident = get_ident()
            if ident != ours and lock.acquire(timeout=max(0.0, end - time.monotonic())):
                lock.release()
                self._pass(ident)

        def stop_at_start(*_: object) -> object:
            ident = get_ident()
            if not self._closed and (ident == ours or ident not in self._others):
                return (
                    _monitoring.DISABLE
                )  # this function, for good: what is called often costs nothing
            stop()
            return None

        _monitoring.use_tool_id(tool, "thaw_runtime")
        self._tools.append(tool)
        for event in (*_inside(), *_starts()):
            callback = stop_at_start if event in _starts() else stop
            _monitoring.register_callback(tool, event, callback)
        events = _monitoring.events
        _monitoring.set_events(tool, events.LINE | events.JUMP | sum(_starts()))
        # From here on the others stand, or are in C and will go on in the functions that they are in now.
        if per_thread:
            self._watch(tool, ours)

    def open(self, renew: Callable[[], None] | None = None) -> None:
        """Let them run; with `close(per_thread=True)` each calls `renew` first. It must not raise.

        Does nothing where it is open. The lock cannot tell: each thread that passes holds it for a moment.
        """
        if not self._closed:
            return
        self._renew = renew
        if renew is None:
            self._others.clear()
        if self._others:
            _monitoring.set_events(self._tools[0], sum(_starts()))
        else:
            self._remove()
        self._closed = False
        self._lock.release()

    def _watch(self, tool: int, ours: int) -> None:
        """See every call and line of the functions that other threads are in."""
        codes: dict[int, CodeType] = {}
        for ident, innermost in sys._current_frames().items():
            if ident == ours:
                continue
            self._others.add(ident)
            frame: FrameType | None = innermost
            while frame is not None:
                if frame.f_globals is not globals():
                    codes[id(frame.f_code)] = frame.f_code
                frame = frame.f_back
        self._codes = list(codes.values())
        for code in self._codes:
            _monitoring.set_local_events(tool, code, sum(_inside()))

    def _pass(self, ident: int) -> None:
        """One thread, at its first line since the gate was opened."""
        try:
            self._others.remove(ident)
        except KeyError:
            return
        if self._renew is not None:
            self._renew()
        if not self._others:
            self._remove()

    def _remove(self) -> None:
        try:
            tool = self._tools.pop()
        except IndexError:  # two threads passed at once
            return
        _monitoring.set_events(tool, 0)
        for code in self._codes:
            _monitoring.set_local_events(tool, code, 0)
        for event in (*_inside(), *_starts()):
            _monitoring.register_callback(tool, event, None)
        _monitoring.free_tool_id(tool)
        self._codes.clear()
        self._renew = None


def _inside() -> tuple[int, ...]:
    """Whatever a function does next."""
    events = _monitoring.events
    return (events.LINE, events.JUMP, events.CALL, events.PY_RETURN, events.PY_YIELD)


def _starts() -> tuple[int, ...]:
    events = _monitoring.events
    return (events.PY_START, events.PY_RESUME)

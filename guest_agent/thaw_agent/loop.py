"""One epoll loop: descriptors, timers, child exits. All of the agent runs in it, in one thread.

Not asyncio: importing and running that costs seconds on an emulated processor, and every restore pays again for the
code it executes first.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    """Calls back what asked for it. `run()` returns after `stop()`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._running = True
        self._wakeup: tuple[int, int] | None = None

    def watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` whenever the descriptor is ready for one of `events`, or has failed."""
        before = self._watched.get(descriptor)
        if before is None:
            self._epoll.register(descriptor, events)
        elif before[0] != events:
            self._epoll.modify(descriptor, events)
        self._watched[descriptor] = (events, handler)

    def forget(self, descriptor: int) -> None:
        """Stop watching, if it was watched. Must be called before the descriptor is closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, later."""
        self._number += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._number, call))

    def on_child_exit(self, call: Callable[[], None]) -> None:
        """Call whenever a child process may have ended."""
        reader, writer = self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # Some handler there must be: the default for SIGCHLD is to be ignored, and that wakes nobody.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

        def drain(_events: int) -> None:
            os.read(reader, 4096)
            call()

        self.watch(reader, READ, drain)

    def stop(self) -> None:
        """Let `run()` return."""
        self._running = False

    def close(self) -> None:
        """Give back what the loop holds. For tests: in a guest it ends with the machine."""
        if self._wakeup is not None:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in self._wakeup:
                os.close(descriptor)
        self._epoll.close()

    def run(self) -> None:
        """Serve until stopped."""
        while self._running:
            self.turn()

    def turn(self, at_most_s: float | None = None) -> None:
        """Wait for something to happen, no longer than this, and do what is due."""
        timeout = at_most_s
        if self._timers:
            due = max(0.0, self._timers[0][0] - time.monotonic())
            timeout = due if timeout is None else min(due, timeout)
        for descriptor, events in self._epoll.poll(timeout):
            # An earlier handler of this turn may have closed it.
            watched = self._watched.get(descriptor)
            if watched is not None:
                watched[1](events)
        now = time.monotonic() if self._timers else 0.0
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

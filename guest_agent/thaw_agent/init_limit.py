"""How long a function's init may take, on processors of any kind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroup import Cgroup
    from .loop import Loop

_LEAST_WAIT_S: Final = 0.02
"""Between two looks. The time that counts never runs faster than the clock, so each look is at what is left then."""


class InitLimit:
    """Counts an init from now on, and calls `over` once when it has taken `limit_us` microseconds.

    An emulated processor is some twenty times slower than a real one, but a second of sleep is a second on both. So the
    function's own processor time is divided by `slow_down`, and all other time counts in full: an init that sleeps ends when
    it ends on Lambda, and one that computes gets the time that computing needs here. On a real processor `slow_down` is 1.
    """

    def __init__(
        self, loop: Loop, cgroup: Cgroup, *, limit_us: int, slow_down: int, over: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._cgroup = cgroup
        self._limit_us = limit_us
        self._slow_down = max(1, slow_down)
        self._over = over
        self._began_ns = time.monotonic_ns()
        self._ended_us: int | None = None
        self._look()

    def counted_us(self) -> int:
        """Microseconds that count so far, or did when it ended."""
        if self._ended_us is not None:
            return self._ended_us
        passed = (time.monotonic_ns() - self._began_ns) // 1000
        if self._slow_down == 1:
            return passed
        # Of several processors, together no more than there was time.
        own = min(passed, self._cgroup.processor_us())
        return passed - own + own // self._slow_down

    def end(self) -> int:
        """The init has ended; returns what it counts."""
        self._ended_us = self.counted_us()
        return self._ended_us

    def _look(self) -> None:
        if self._ended_us is not None:
            return
        left_s = (self._limit_us - self.counted_us()) / 1e6
        if left_s > 0:
            self._loop.after(max(left_s, _LEAST_WAIT_S), self._look)
        else:
            self.end()
            self._over()

"""What a guest writes: its log lines, bounded, and passed on without holding up anybody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field, frozen

from thaw_agent import wire

if TYPE_CHECKING:
    from collections.abc import Callable

_LATEST_US: Final = 253_402_300_799_000_000
"""The end of year 9999: a line's time is what user code wrote, and no calendar goes further."""
_LOG_BURST_BYTES: Final = 16 << 20
_LOG_BYTES_PER_S: Final = 1 << 20
"""How much a machine may log: at once, and in the long run. Lines beyond it are lost and counted; the log says how many."""
_LOG_LINE_BYTES: Final = 128
"""Added to the text of each line: the JSON around it in the file, and the time of the event loop."""
_SLICE: Final = 64
"""Log lines taken before other tasks have their turn: a line costs some 20 us, and one read may hold thousands."""
_LINES: Final = frozenset({wire.LogSource.STDOUT, wire.LogSource.STDERR})
"""Sources of which one LOG frame may hold several lines."""


@frozen(kw_only=True)
class LogLine:
    """One line the guest wrote. `stream` is the invocation's number, 0 outside of any; time in microseconds."""

    timestamp_us: int
    source: wire.LogSource
    text: str
    stream: int


@define(eq=False)
class _Allowance:
    """How much a machine may log: a bucket that fills with time.

    Once it is empty a second's worth must be in it before lines are taken again, so that a flood is cut into few pieces.
    """

    lost: int = 0
    """Lines since the last one that was taken."""
    _left: float = _LOG_BURST_BYTES
    _at: float = field(factory=trio.current_time)

    def takes(self, size: int) -> bool:
        now = trio.current_time()
        filled = self._left + (now - self._at) * _LOG_BYTES_PER_S
        self._left, self._at = min(filled, _LOG_BURST_BYTES), now
        needed = size + _LOG_LINE_BYTES
        if self._left < max(needed, _LOG_BYTES_PER_S if self.lost else 0):
            self.lost += 1
            return False
        self._left -= needed
        return True


@define(eq=False)
class Kept:
    """A listener that keeps a machine's lines, the first `most` bytes of them; the rest is counted."""

    most: int = 64 << 20
    lines: list[LogLine] = field(factory=list)
    lost: int = 0
    _size: int = 0

    def keep(self, line: LogLine) -> None:
        """Keep a line if there is room."""
        self._size += len(line.text) + _LOG_LINE_BYTES
        if self._size > self.most:
            self.lost += 1
        else:
            self.lines.append(line)

    def clear(self) -> None:
        """Forget all lines."""
        self.lines.clear()
        self.lost = self._size = 0


def ignore(_line: LogLine) -> None:
    """Drop a log line: the sink of a session without a listener."""


@define(eq=False)
class Lines:
    """One machine's lines, on their way to `pass_on`."""

    pass_on: Callable[[LogLine], None] = ignore
    lost: int = 0
    """Lines that were more than a machine may log."""
    _allowance: _Allowance = field(factory=_Allowance)
    _heard: int = 0

    async def hear(self, frame: wire.Frame) -> None:
        """Pass on the lines of a LOG frame, as far as the machine may log. Empty ones are dropped, as on Lambda."""
        timestamp_us, source, data = wire.decode_log(frame.payload)
        for line in data.split(b"\n") if source in _LINES else [data]:
            self._heard += 1
            if self._heard % _SLICE == 0:
                await trio.lowlevel.checkpoint()
            if line and self._allowance.takes(len(line)):
                self.tell_lost()
                self.pass_on(
                    LogLine(
                        timestamp_us=min(timestamp_us, _LATEST_US),
                        source=source,
                        text=line.decode(errors="replace"),
                        stream=frame.stream,
                    )
                )

    def tell_lost(self) -> None:
        """Say in the log how many lines of a flood were lost."""
        lost, self._allowance.lost = self._allowance.lost, 0
        if lost:
            self.lost += lost
            limit = f"more than {_LOG_BYTES_PER_S >> 20} MiB a second"
            self.pass_on(
                LogLine(
                    timestamp_us=time.time_ns() // 1000,
                    source=wire.LogSource.AGENT,
                    text=f"{lost} log lines were lost: {limit}",
                    stream=wire.MACHINE_STREAM,
                )
            )

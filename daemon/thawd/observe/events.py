"""Lifecycle events: one fact, told once, to the log and to everybody who listens."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BUFFER: Final = 256
"""Events a subscriber may lag behind. Some 50 KiB; at a restore every 100 ms with 5 events each, five seconds."""

DROPPED: Final = "events.dropped"
"""Name of the event a slow subscriber finds in place of those it missed; field `count`."""


@frozen
class Event:
    """One fact: a dotted name, Unix time in seconds, and plain values."""

    name: str
    time: float
    fields: Mapping[str, Any] = field(factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `{"event": name, "time": seconds, **fields}`."""
        return {"event": self.name, "time": self.time, **self.fields}


@frozen
class EventStatistics:
    """Figures of an `Events`: events emitted since the start, dropped for slow subscribers, subscribers now."""

    emitted: int
    dropped: int
    subscribers: int


@define(eq=False)
class _Subscriber:
    send: trio.MemorySendChannel[Event]
    missed: int = 0

    def offer(self, event: Event) -> bool:
        """Hand `event` over without waiting; False when the subscriber is too slow to take it."""
        try:
            if self.missed:
                # The gap is told before anything after it, or the subscriber would take the sequence for whole.
                self.send.send_nowait(Event(DROPPED, event.time, {"count": self.missed}))
                self.missed = 0
            self.send.send_nowait(event)
        except trio.WouldBlock:
            self.missed += 1
            return False
        except trio.BrokenResourceError:
            pass  # it stopped reading; its scope is about to end
        return True


@define(eq=False)
class Events:
    """Bounded broadcast. Emitting never waits: a subscriber that lags loses events and is told how many.

    Owns no task. Subscriptions end with their scope. Use from one trio thread.
    """

    _clock: Callable[[], float] = time.time
    _log: Any = field(factory=structlog.get_logger)
    _subscribers: list[_Subscriber] = field(factory=list, init=False)
    _emitted: int = field(default=0, init=False)
    _dropped: int = field(default=0, init=False)

    def emit(self, name: str, /, *, level: str = "info", **fields: Any) -> None:
        """Tell a fact: to the log at `level`, and to every subscriber."""
        getattr(self._log, level)(name, **fields)
        event = Event(name, self._clock(), fields)
        self._emitted += 1
        for subscriber in self._subscribers:
            if not subscriber.offer(event):
                self._dropped += 1

    @contextmanager
    def subscribe(self, buffer: int = BUFFER) -> Iterator[trio.MemoryReceiveChannel[Event]]:
        """Everything emitted while the scope is open, in order."""
        send, receive = trio.open_memory_channel[Event](buffer)
        subscriber = _Subscriber(send)
        self._subscribers.append(subscriber)
        try:
            with send, receive:
                yield receive
        finally:
            self._subscribers.remove(subscriber)

    def statistics(self) -> EventStatistics:
        """Figures read now."""
        return EventStatistics(self._emitted, self._dropped, len(self._subscribers))

"""All connections of a server together: their number, the bytes of their bodies, and which of them makes room."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

import structlog
from attrs import define, field, frozen

from .message import RequestRefused

if TYPE_CHECKING:
    from .limits import Limits

_log = structlog.get_logger()


class Stage(Enum):
    """What a connection waits for."""

    IDLE = "a request"
    HEAD = "the rest of a request's headers"
    BODY = "the rest of a request's body"
    SERVED = "our own work"
    ANSWER = "the client to take its answer"


class Member(Protocol):
    """A connection, as the crowd sees it."""

    @property
    def stage(self) -> Stage:
        """What it waits for now."""

    @property
    def received_bytes(self) -> int:
        """Bytes of its request's body, so far."""

    @property
    def held_bytes(self) -> int:
        """Those of them that are still in memory."""

    def waited_s(self) -> float:
        """How long it has been waiting in this stage; for a body, over all its pieces."""

    def make_room(self) -> None:
        """End now, with no more than a word to the client."""


@frozen(kw_only=True)
class HttpStatistics:
    """A server's figures: now, and since it started."""

    connections: int
    connections_total: int
    requests: int
    requests_total: int
    held_bytes: int
    """Bytes of request bodies in memory."""
    gone_total: int
    """Requests whose client left before it had its answer."""
    evicted_total: int
    """Connections that were idle or slow and made room for others."""
    refused_total: int
    """Connections and bodies that there was no room for (503)."""


@define(eq=False)
class Crowd:
    """Keeps the sums within `limits`: a connection that is idle or slow makes room for a new one."""

    limits: Limits
    members: set[Member] = field(factory=set)
    connections_total: int = 0
    requests: int = 0
    requests_total: int = 0
    held_bytes: int = 0
    gone_total: int = 0
    evicted_total: int = 0
    refused_total: int = 0

    def statistics(self) -> HttpStatistics:
        """Figures of this moment."""
        return HttpStatistics(
            connections=len(self.members),
            connections_total=self.connections_total,
            requests=self.requests,
            requests_total=self.requests_total,
            held_bytes=self.held_bytes,
            gone_total=self.gone_total,
            evicted_total=self.evicted_total,
            refused_total=self.refused_total,
        )

    def enter(self, member: Member) -> bool:
        """Give a new connection a place. False when each place is taken by a client that is being served."""
        self.connections_total += 1
        if len(self.members) >= self.limits.connections and not self.make_room():
            self.refused_total += 1
            _log.warning("http.too_many_connections", limit=self.limits.connections)
            return False
        self.members.add(member)
        return True

    def leave(self, member: Member) -> None:
        """A connection has ended, or is about to. Idempotent."""
        self.members.discard(member)

    def make_room(self) -> bool:
        """End the connection that is worth least: idle for longest, else slowest. False when all are in use."""
        worst = min(
            (member for member in self.members if self._dispensable(member)),
            key=_worth,
            default=None,
        )
        if worst is None:
            return False
        self._evict(worst)
        return True

    def hold(self, member: Member, size: int) -> None:
        """Make room for `size` more bytes of a body; `member` notes them as its own.

        Bodies that arrive slower than this one make room for it. Raises `RequestRefused` 503 when there are none.
        """
        while self.held_bytes + size > self.limits.held_bytes:
            slower = [
                other
                for other in self.members
                if other.stage is Stage.BODY
                and other.held_bytes
                and other is not member
                and self._dispensable(other)
            ]
            if not slower:
                self.refused_total += 1
                raise RequestRefused(
                    503,
                    f"The requests being served hold {self.held_bytes >> 20} MiB: try again later",
                    headers=[("Retry-After", "1")],
                )
            self._evict(min(slower, key=_worth))
        self.held_bytes += size

    def release(self, size: int) -> None:
        """A body of `size` bytes is not held any more."""
        self.held_bytes -= size

    def _dispensable(self, member: Member) -> bool:
        waited_s = member.waited_s()
        match member.stage:
            case Stage.IDLE:
                return True
            case Stage.HEAD | Stage.ANSWER:
                return waited_s >= self.limits.slow_s
            case Stage.BODY:
                slow = member.received_bytes < 4 * self.limits.body_rate * waited_s
                return slow and waited_s >= self.limits.slow_s
            case Stage.SERVED:
                return False

    def _evict(self, member: Member) -> None:
        _log.info(
            "http.evicted", waited_for=member.stage.value, waited_s=round(member.waited_s(), 1)
        )
        self.evicted_total += 1
        self.members.discard(member)
        member.make_room()


_ORDER = {stage: place for place, stage in enumerate(Stage)}


def _worth(member: Member) -> tuple[int, float]:
    """The connection with the least makes room first: idle ones, then those that sent the least for the longest."""
    if member.stage is Stage.BODY:
        return _ORDER[Stage.BODY], member.received_bytes / max(member.waited_s(), 1e-3)
    return _ORDER[member.stage], -member.waited_s()

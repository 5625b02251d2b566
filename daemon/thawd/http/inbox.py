"""What a client has sent and nobody has parsed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK: Final = 64 << 10
_READ_AHEAD: Final = 64 << 10
"""Bytes held before reading pauses: enough for pipelined requests, little enough for many connections."""


@define(eq=False)
class Inbox:
    """Reads a connection all the time, also while a handler runs: only so is a client that hangs up noticed.

    The end of the client's stream means that it has gone, and calls `on_gone`; a client that shuts down only its
    sending side gets no answer (Go's and Node's servers do the same).
    """

    _stream: trio.abc.ReceiveStream
    on_gone: Callable[[], None] | None = None
    gone: bool = False
    _held: bytes = b""
    _discarding: bool = False
    _arrived: trio.Event = field(factory=trio.Event)
    _taken: trio.Event = field(factory=trio.Event)

    async def pump(self) -> None:
        """Read until the client has gone. Runs in the connection's nursery."""
        while True:
            if len(self._held) >= _READ_AHEAD:
                self._taken = trio.Event()
                await self._taken.wait()
            try:
                piece = await self._stream.receive_some(_CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                piece = b""
            if not piece:
                self.gone = True
                self._arrived.set()
                if self.on_gone is not None:
                    self.on_gone()
                return
            if not self._discarding:
                self._held = self._held + piece if self._held else bytes(piece)
                self._arrived.set()

    async def take(self) -> bytes:
        """What has arrived, as soon as there is something; empty when the client has gone."""
        while not self._held:
            if self.gone:
                return b""
            self._arrived = trio.Event()
            await self._arrived.wait()
        held, self._held = self._held, b""
        self._taken.set()
        return held

    async def discard(self) -> None:
        """Throw away what comes until the client has gone."""
        self._discarding = True
        while not self.gone:
            self._held = b""
            self._taken.set()
            self._arrived = trio.Event()
            await self._arrived.wait()

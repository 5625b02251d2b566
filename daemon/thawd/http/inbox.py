"""Bytes that a client has sent and that were not parsed yet."""

from __future__ import annotations

import contextlib
import select
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

    A client that shuts down its sending side only (`nc -N`) has *ended*: it waits for its answer. One that closed has
    *gone*, which calls `on_gone`. A Unix socket tells the two apart at once. TCP sends the same packet for both: there
    a client that closed is noticed when it refuses bytes of the answer.
    """

    _stream: trio.SocketStream
    on_gone: Callable[[], None] | None = None
    ended: bool = False
    """Nothing more will come."""
    gone: bool = False
    """Nothing more will be taken either."""
    _held: bytes = b""
    _discarding: bool = False
    _arrived: trio.Event = field(factory=trio.Event)
    _taken: trio.Event = field(factory=trio.Event)

    async def pump(self) -> None:
        """Read until the client has gone. Runs in the connection's nursery."""
        try:
            await self._read()
            self.ended = True
            self._arrived.set()
            await _hung_up(self._stream.socket)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        self.ended = self.gone = True
        self._arrived.set()
        if self.on_gone is not None:
            self.on_gone()

    async def _read(self) -> None:
        while True:
            if len(self._held) >= _READ_AHEAD:
                self._taken = trio.Event()
                await self._taken.wait()
            piece = await self._stream.receive_some(_CHUNK)
            if not piece:
                return
            if not self._discarding:
                self._held = self._held + piece if self._held else bytes(piece)
                self._arrived.set()

    async def take(self) -> bytes:
        """The bytes that have arrived, as soon as there are some; empty at the end."""
        while not self._held:
            if self.ended:
                return b""
            self._arrived = trio.Event()
            await self._arrived.wait()
        held, self._held = self._held, b""
        self._taken.set()
        return held

    async def discard(self) -> None:
        """Throw away all bytes until the end."""
        self._discarding = True
        while not self.ended:
            self._held = b""
            self._taken.set()
            self._arrived = trio.Event()
            await self._arrived.wait()


async def _hung_up(sock: trio.socket.SocketType) -> None:
    """Wait until the peer of a socket has closed both ways (poll(2): POLLHUP), or the connection broke (POLLERR).

    Waiting to read would return at once, for ever: the end of the stream can be read. An epoll of its own that asks
    for no event reports these two only. Raises `OSError` when no descriptor is left for it.
    """
    with contextlib.closing(select.epoll(1)) as poller:
        poller.register(sock.fileno(), 0)
        await trio.lowlevel.wait_readable(poller.fileno())

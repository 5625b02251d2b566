"""A server: accepts connections on its listeners, keeps them within limits, drains them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field

from .connection import Connection
from .crowd import Crowd, HttpStatistics
from .guard import Guard
from .limits import Limits
from .message import ErrorRenderer, Handler, PeerCredentials, plain_error

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = structlog.get_logger()

_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE_S: Final = 0.1
_MOST_REFUSING: Final = 64
"""Connections that are being answered that there is no room; those beyond it are closed without an answer."""


@define(eq=False, kw_only=True)
class Server:
    """One server on any number of listeners: limits and figures are over all of them."""

    limits: Limits = field(factory=Limits)
    guard: Guard = field(factory=Guard)
    _crowd: Crowd = field(init=False)
    _connections: set[Connection] = field(factory=set)
    _refusing: int = 0
    _accepting: trio.CancelScope = field(factory=trio.CancelScope)
    _serving: trio.CancelScope = field(factory=trio.CancelScope)
    _ended: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._crowd = Crowd(self.limits)

    def statistics(self) -> HttpStatistics:
        """Figures of this moment."""
        return self._crowd.statistics()

    async def serve(
        self,
        listeners: Iterable[trio.SocketListener],
        app: Handler,
        *,
        render_error: ErrorRenderer = plain_error,
        task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve HTTP/1.1 until `shutdown` or cancellation.

        Args:
            listeners: closed when accepting ends.
            app: answers requests. It is cancelled when its client goes; work that must not stop half way shields itself.
            render_error: makes the answers that are not the app's: what h11 refused, `RequestRefused`, 500 for a crash.
            task_status: started with this server.
        """
        try:
            with self._serving:
                async with trio.open_nursery() as connections, trio.open_nursery() as accepting:
                    with self._accepting:
                        for listener in listeners:
                            accepting.start_soon(
                                self._accept, listener, connections, app, render_error
                            )
                        task_status.started(self)
                        await trio.sleep_forever()
                    accepting.cancel_scope.cancel()
        finally:
            self._ended.set()

    async def shutdown(self, deadline_s: float) -> None:
        """Accept no more, let running requests end within `deadline_s` seconds, then answer the rest with 503.

        Answers without an end are ended at once. Returns when `serve` has ended, which is `Limits.last_words_s` after
        the deadline at the latest.
        """
        self._accepting.cancel()
        for connection in self._connections:
            connection.drain()
        with trio.move_on_after(deadline_s):
            await self._ended.wait()
        for connection in self._connections:
            connection.stop()
        with trio.move_on_after(self.limits.last_words_s):
            await self._ended.wait()
        self._serving.cancel()
        await self._ended.wait()

    async def _accept(
        self,
        listener: trio.SocketListener,
        connections: trio.Nursery,
        app: Handler,
        render_error: ErrorRenderer,
    ) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _NO_DESCRIPTORS:
                        raise
                    # The client stays in the socket's queue until a descriptor is free.
                    room = self._crowd.make_room()
                    _log.warning("http.accept_failed", reason=error.strerror, made_room=room)
                    await trio.sleep(_ACCEPT_PAUSE_S)
                else:
                    connections.start_soon(self._serve_connection, stream, app, render_error)

    async def _serve_connection(
        self, stream: trio.SocketStream, app: Handler, render_error: ErrorRenderer
    ) -> None:
        unix = stream.socket.family == socket.AF_UNIX
        try:
            connection = Connection(
                stream=stream,
                app=app,
                guard=self.guard,
                limits=self.limits,
                render_error=render_error,
                crowd=self._crowd,
                peer=_peer(stream) if unix else None,
                local_host=None if unix else _local_host(stream),
            )
            self._connections.add(connection)
            try:
                if self._crowd.enter(connection):
                    await connection.run()
                elif self._refusing < _MOST_REFUSING:
                    self._refusing += 1
                    try:
                        await connection.refuse()
                    finally:
                        self._refusing -= 1
            finally:
                self._crowd.leave(connection)
                self._connections.discard(connection)
        except Exception:  # noqa: BLE001
            # A fault of ours with one client must not end the others.
            _log.exception("http.connection_crashed")
        finally:
            await trio.aclose_forcefully(stream)


async def serve(
    listener: trio.SocketListener,
    app: Handler,
    *,
    limits: Limits | None = None,
    guard: Guard | None = None,
    render_error: ErrorRenderer = plain_error,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """A `Server` of its own on one listener: `Server.serve`."""
    server = Server(limits=limits or Limits(), guard=guard or Guard())
    await server.serve([listener], app, render_error=render_error, task_status=task_status)


def _peer(stream: trio.SocketStream) -> PeerCredentials | None:
    try:
        return PeerCredentials.of(stream.socket)
    except OSError:
        return None


def _local_host(stream: trio.SocketStream) -> str:
    """The address that a TCP client connected to; nothing that a client could say if the connection has broken."""
    try:
        address = ipaddress.ip_address(stream.socket.getsockname()[0].split("%")[0])
    except OSError:
        return "0.0.0.0"  # noqa: S104 - nobody listens there by that name
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)

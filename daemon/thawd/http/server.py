"""A server on one listener: accepts connections, limits them, drains them."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import trio
from attrs import define, field, frozen

from thawd.errors import ConfigError

from .connection import Connection, Traffic
from .limits import Limits
from .message import ErrorRenderer, Handler, PeerCredentials, plain_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = structlog.get_logger()


@frozen(kw_only=True)
class HttpStatistics:
    """A server's figures: now, and since it started."""

    connections: int
    connections_total: int
    requests: int
    requests_total: int
    gone_total: int
    """Requests whose client left before it had its answer."""


@define(eq=False)
class Server:
    """A server that runs: what `serve` hands out. Its tasks are `serve`'s."""

    _app: Handler
    _limits: Limits
    _render_error: ErrorRenderer
    _traffic: Traffic = field(factory=Traffic)
    _connections: set[Connection] = field(factory=set)
    _accepting: trio.CancelScope = field(factory=trio.CancelScope)
    _serving: trio.CancelScope = field(factory=trio.CancelScope)
    _ended: trio.Event = field(factory=trio.Event)

    def statistics(self) -> HttpStatistics:
        """Figures of this moment."""
        traffic = self._traffic
        return HttpStatistics(
            connections=traffic.connections,
            connections_total=traffic.connections_total,
            requests=traffic.requests,
            requests_total=traffic.requests_total,
            gone_total=traffic.gone_total,
        )

    async def shutdown(self, deadline_s: float) -> None:
        """Accept no more, let running requests end within `deadline_s` seconds, then cancel the rest.

        Returns when `serve` has ended.
        """
        self._accepting.cancel()
        for connection in self._connections:
            connection.drain()
        with trio.move_on_after(deadline_s):
            await self._ended.wait()
        self._serving.cancel()
        await self._ended.wait()

    async def run(
        self, listener: trio.SocketListener, task_status: trio.TaskStatus[Server]
    ) -> None:
        """Serve; what `serve` does, once."""
        try:
            with self._serving:
                async with trio.open_nursery() as connections:
                    with self._accepting:
                        task_status.started(self)
                        await trio.serve_listeners(
                            self._serve_connection, [listener], handler_nursery=connections
                        )
        finally:
            self._ended.set()

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        traffic = self._traffic
        peer = None
        if stream.socket.family == socket.AF_UNIX:
            peer = _peer(stream)
        connection = Connection(
            stream=stream,
            app=self._app,
            limits=self._limits,
            render_error=self._render_error,
            traffic=traffic,
            peer=peer,
        )
        traffic.connections += 1
        traffic.connections_total += 1
        self._connections.add(connection)
        try:
            if traffic.connections > self._limits.connections:
                _log.warning("http.too_many_connections", limit=self._limits.connections)
                await connection.refuse(503)
            else:
                await connection.run()
        except Exception:  # noqa: BLE001
            # A fault of ours with one client must not end the others.
            _log.exception("http.connection_crashed")
        finally:
            self._connections.discard(connection)
            traffic.connections -= 1
            await trio.aclose_forcefully(stream)


async def serve(
    listener: trio.SocketListener,
    app: Handler,
    *,
    limits: Limits | None = None,
    render_error: ErrorRenderer = plain_error,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve HTTP/1.1 until `Server.shutdown` or cancellation.

    Args:
        listener: closed when accepting ends.
        app: answers requests. It is cancelled when its client goes; what must not stop half way shields itself.
        limits: sizes and times.
        render_error: makes the answers that are not the app's: what h11 refused, `RequestRefused`, 500 for a crash.
        task_status: started with the `Server`.
    """
    await Server(app, limits or Limits(), render_error).run(listener, task_status)


@contextmanager
def open_unix_listener(
    path: Path, *, mode: int = 0o660, backlog: int = 512
) -> Iterator[trio.SocketListener]:
    """A listener on a Unix socket at `path`, removed at the end.

    A socket file left by a daemon that died is replaced. Raises `ConfigError` when another process answers there, or
    the path cannot be bound.
    """
    if path.is_socket():
        _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            os.fchmod(
                sock.fileno(), mode
            )  # before bind, so that the file is never more open than this
            sock.bind(str(path))
            path.chmod(mode)  # bind applied the umask
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            raise ConfigError(
                f"Cannot listen on {path}: {error.strerror or error}",
                hint="Choose another socket path in `listen`",
            ) from error
        ours = path.stat()
        yield trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    finally:
        sock.close()
    try:
        if os.path.samestat(ours, path.stat()):
            path.unlink()
    except FileNotFoundError:
        pass


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a full backlog: somebody is there
                raise ConfigError(f"Cannot use {path}: {error.strerror}") from error
    raise ConfigError(
        f"Another daemon answers on {path}",
        hint="Stop it, or give this one another socket path in `listen`",
    )


def _peer(stream: trio.SocketStream) -> PeerCredentials | None:
    try:
        return PeerCredentials.of(stream.socket)
    except OSError:
        return None

"""A small HTTP/1.1 server in the loop: what runtime interface clients and SDKs send over loopback, and no more.

Keep-alive, Content-Length and chunked request bodies, Expect: 100-continue. Answers may come later (long poll).
"""

from __future__ import annotations

import errno
import re
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from .loop import READ, WRITE, Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_READ_BYTES: Final = 256 * 1024
_HEAD_LIMIT: Final = 64 * 1024
_LENGTH_DIGITS: Final = 15
_CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,15}")
"""Digits only: int() would also take a sign, a prefix and underscores."""
_SMALL_BODY: Final = 64 * 1024
"""A body up to this is copied behind its head: one system call instead of two."""
_MOST_CONNECTIONS: Final = 1024
"""As many as one process of a function may have descriptors. Its child processes together could ask for a million."""
_MOST_BYTES: Final = 32 << 20
"""What all clients together may have us keep: half requests, answers that nobody reads. Five bodies of Lambda's limit."""
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 0.05
"""How long nothing is accepted when the kernel has no room. Whoever waits in the listener's queue is not lost."""
_REASONS: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
}
_NO_LINE_ENDS: Final = {0x0A: " ", 0x0D: " "}


class Request:
    """One request; `answer` it once. `too_large` when the body passed the limit and was thrown away."""

    def __init__(
        self, connection: Connection, method: str, path: str, headers: dict[str, str]
    ) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body = bytearray()
        self.too_large = False

    def answer(
        self, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Send the answer. To a client that has gone this does nothing."""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: {len(body)}\r\n"
        for name, value in headers:
            head += f"{name}: {value.translate(_NO_LINE_ENDS)}\r\n"
        self._connection.finish(f"{head}\r\n".encode(), body)

    @property
    def gone(self) -> bool:
        """The client closed its connection."""
        return self._connection.closed


class Server:
    """Listens on an address; `handle(request)` is called for each complete request.

    Bodies over `body_limit` bytes are read and thrown away. `port` is the one it got when the address has 0; it is the
    same on each host of `also`.

    The clients are user code, any number of its processes, and this is PID 1: so there are at most `most_connections`,
    which hold at most `most_bytes` together. For one more, the connection is closed that has been idle for longest, be it
    in the middle of a request. One that waits for its answer is not, nor that of the client that got the last late
    answer: it is the runtime, which polls. When there are only such, the new one is closed.
    """

    def __init__(
        self,
        loop: Loop,
        address: tuple[str, int],
        handle: Callable[[Request], None],
        *,
        body_limit: int,
        also: Sequence[str] = (),
        most_connections: int = _MOST_CONNECTIONS,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self.loop = loop
        self.handle = handle
        self.body_limit = body_limit
        self._most_connections = most_connections
        self._most_bytes = most_bytes
        first = _listener(address)
        self.port: int = first.getsockname()[1]
        self._listeners = [first, *(_listener((host, self.port)) for host in also)]
        self.connections: dict[Connection, None] = {}
        """The one that has been idle for longest is the first."""
        self.spared: Connection | None = None
        """Never closed to make room."""
        self._bytes = 0
        for listener in self._listeners:
            self._listen(listener)

    def close(self) -> None:
        """Stop listening and close every connection. For tests: in a guest it ends with the machine."""
        for connection in list(self.connections):
            connection.close()
        for listener in self._listeners:
            if listener.fileno() >= 0:
                self.loop.forget(listener.fileno())
                listener.close()

    def used(self, connection: Connection, grown: int) -> None:
        """Something came from this client, or went to it, and it holds so many bytes more than before."""
        del self.connections[connection]
        self.connections[connection] = None
        self._bytes += grown
        while self._bytes > self._most_bytes and self._make_room(connection):
            pass
        if self._bytes > self._most_bytes:
            connection.close()

    def gone(self, connection: Connection, held: int) -> None:
        """This connection was closed, and what it held is given back."""
        del self.connections[connection]
        self._bytes -= held
        if self.spared is connection:
            self.spared = None

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self.loop.watch(listener.fileno(), READ, lambda _events: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError as error:
            # Of all other errors accept(2) says that they are the new connection's own.
            if error.errno in _NO_ROOM:
                self._make_room()
                self.loop.forget(listener.fileno())  # or it would be ready again at once
                self.loop.after(_PAUSE_S, lambda: self._listen(listener))
            return
        if len(self.connections) >= self._most_connections and not self._make_room():
            client.close()
            return
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections[Connection(self, client)] = None
        except OSError:
            client.close()

    def _make_room(self, but: Connection | None = None) -> bool:
        """Close the connection that has been idle for longest; False when there is none that may be closed."""
        for one in self.connections:
            if one is not but and one is not self.spared and not one.busy:
                one.close()
                return True
        return False


def _listener(address: tuple[str, int]) -> socket.socket:
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    listener = socket.socket(socket.AF_INET, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(64)
    return listener


class Connection:
    """One client's connection: requests one after the other."""

    def __init__(self, server: Server, client: socket.socket) -> None:
        self._server = server
        self._socket = client
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._request: Request | None = None
        self._chunked = False
        self._left = 0
        """Bytes still to come of the body, or of the chunk that is being read."""
        self._chunk_end = False
        """The line end behind a chunk is still to come."""
        self.busy = False
        """A complete request waits for its answer."""
        self._held = 0
        """Bytes of it that the server counts."""
        self._parsing = False
        self._last = False
        """The request that is being read or answered is the connection's last."""
        self._closing = False
        """Close as soon as everything has been sent."""
        self.closed = False
        server.loop.watch(client.fileno(), READ, self._ready)

    def finish(self, head: bytes, body: bytes = b"") -> None:
        """Send the answer to the request that waits, and go on with the next."""
        if self.closed:
            return
        self.busy = False
        self._request = None
        if not self._parsing:
            self._server.spared = self
        self._closing = self._last
        if len(body) <= _SMALL_BODY:
            self._send(head + body)
        else:
            self._send(head, body)
        if not self._parsing:
            if self._in:
                self._parse()
            self._count()

    def _send(self, *parts: bytes) -> None:
        self._out.extend(memoryview(part) for part in parts)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                sent = self._socket.send(self._out[0])
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
        except BlockingIOError:
            # Nothing more is taken from a client that does not read, or its answers would fill our memory.
            self._server.loop.watch(self._socket.fileno(), WRITE, self._ready)
            return
        except OSError:
            self.close()
            return
        if self._closing:
            self.close()
            return
        self._server.loop.watch(self._socket.fileno(), READ, self._ready)

    def _ready(self, events: int) -> None:
        if self._out:
            self._flush()
        if not self._out and not self.closed:
            if events & ~WRITE:
                self._read()
            elif self._in and not self.busy:
                self._parse()
        self._count()

    def _count(self) -> None:
        """Tell the server what this connection holds now."""
        if not self.closed:
            held = len(self._in) + sum(map(len, self._out))
            if self._request is not None:
                held += len(self._request.body)
            grown, self._held = held - self._held, held
            self._server.used(self, grown)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        if not self.busy:
            self._parse()
        elif len(self._in) > _HEAD_LIMIT:
            self.close()  # nobody sends so much ahead of its answer

    def _parse(self) -> None:
        """Take requests out of what was read, until one waits for its answer or there are no more."""
        self._parsing = True
        try:
            while not (self.busy or self.closed or self._closing or self._out):
                if (self._request is None and not self._head()) or not self._body():
                    return
                self.busy = True
                if self._request is not None:
                    self._server.handle(self._request)
        finally:
            self._parsing = False

    def _head(self) -> bool:
        """Take a request's head; True when there was one."""
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            if len(self._in) > _HEAD_LIMIT:
                self._refuse(431)
            return False
        first, *lines = self._in[:end].decode("latin-1").split("\r\n")
        del self._in[: end + 4]
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        words = first.split(" ")
        length = headers.get("content-length", "0")
        if len(words) != 3 or not length.isdecimal() or len(length) > _LENGTH_DIGITS:
            self._refuse(400)
            return False
        method, path, version = words
        self._request = Request(self, method, path, headers)
        self._last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._left = 0 if self._chunked else int(length)
        if headers.get("expect", "").lower() == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _body(self) -> bool:
        """Take body bytes; True when the request is complete."""
        if self._request is None:
            return False
        if not self._chunked:
            self._keep(self._request)
            return self._left == 0
        while True:
            if self._left:
                self._keep(self._request)
                if self._left:
                    return False
                self._chunk_end = True
            if self._chunk_end:
                if len(self._in) < 2:
                    return False
                if not self._in.startswith(b"\r\n"):
                    self._refuse(400)
                    return False
                del self._in[:2]
                self._chunk_end = False
            if not self._chunk_head():
                return False
            if self._left == 0:
                return True

    def _chunk_head(self) -> bool:
        """Take the line before a chunk; with the last, empty one also the trailers, and then `_left` is 0."""
        end = self._in.find(b"\r\n")
        if end < 0:
            if len(self._in) > _HEAD_LIMIT:
                self._refuse(400)
            return False
        digits = bytes(self._in[:end].partition(b";")[0].strip())
        if not _CHUNK_SIZE.fullmatch(digits):
            self._refuse(400)
            return False
        size = int(digits, 16)
        if size == 0:
            # Trailers, if any, end with an empty line; without any it is this line's own end and one more.
            end = self._in.find(b"\r\n\r\n", end)
            if end < 0:
                if len(self._in) > _HEAD_LIMIT:
                    self._refuse(431)
                return False
            del self._in[: end + 4]
        else:
            del self._in[: end + 2]
        self._left = size
        return True

    def _keep(self, request: Request) -> None:
        """Move what has come of `_left` bytes into the body, or away if the body is too large."""
        take = min(self._left, len(self._in))
        if len(request.body) + take > self._server.body_limit:
            request.too_large = True
            request.body.clear()
        if not request.too_large:
            request.body += self._in[:take] if take < len(self._in) else self._in
        del self._in[:take]
        self._left -= take

    def _refuse(self, status: int) -> None:
        """What came is no HTTP: there is no way to find the next request."""
        self._last = True
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: 0\r\n"
        self.finish(f"{head}Connection: close\r\n\r\n".encode())

    def close(self) -> None:
        """Close it; a request that waits for its answer will not get one."""
        if not self.closed:
            self.closed = True
            self._server.gone(self, self._held)
            self._server.loop.forget(self._socket.fileno())
            self._socket.close()

"""A small HTTP/1.1 server in the loop: what runtime interface clients and SDKs send over loopback, and no more.

Keep-alive, Content-Length and chunked request bodies, Expect: 100-continue. Answers may come later (long poll).
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable

from .loop import READ, WRITE, Loop

_READ_BYTES = 256 * 1024
_HEAD_LIMIT = 64 * 1024
_REASONS = {
    100: "Continue",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
}


class Request:
    """One request; `answer` it once. `too_large` when the body passed the limit and was thrown away."""

    def __init__(self, connection: Connection, method: str, path: str, headers: dict[str, str]) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body = bytearray()
        self.too_large = False

    def answer(self, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send the answer."""
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")
        self._connection.finish(head + body if len(body) < 65536 else head, body if len(body) >= 65536 else b"")

    @property
    def gone(self) -> bool:
        """The client closed its connection."""
        return self._connection.closed


class Server:
    """Listens on loopback; `handle(request)` is called for each complete request."""

    def __init__(
        self,
        loop: Loop,
        address: tuple[str, int],
        handle: Callable[[Request], None],
        *,
        body_limit: int,
    ) -> None:
        self.loop = loop
        self.handle = handle
        self.body_limit = body_limit
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        loop.watch(self._listener.fileno(), READ, self._accept)

    def _accept(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(self, client)


class Connection:
    """One client's connection: requests one after the other."""

    def __init__(self, server: Server, client: socket.socket) -> None:
        self._server = server
        self._socket = client
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._request: Request | None = None
        self._left = 0
        """Body bytes still to come; -1: chunked."""
        self._busy = False
        """A complete request waits for its answer."""
        self._close_after = False
        self.closed = False
        server.loop.watch(client.fileno(), READ, self._ready)

    def finish(self, head: bytes, body: bytes) -> None:
        """Send the answer to the request that waits, and go on with the next."""
        if self.closed:
            return
        self._busy = False
        self._request = None
        self._send(head)
        if body:
            self._send(body)
        if self._in and not self.closed:
            self._parse()

    def _send(self, data: bytes) -> None:
        self._out.append(memoryview(data))
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
            self._server.loop.watch(self._socket.fileno(), READ | WRITE, self._ready)
            return
        except OSError:
            self._close()
            return
        if self._close_after and not self._busy:
            self._close()
            return
        self._server.loop.watch(self._socket.fileno(), READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and not self.closed:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close()
                return
            self._in += data
            if not self._busy:
                self._parse()

    def _parse(self) -> None:
        while not self._busy and not self.closed:
            if self._request is None and not self._head():
                return
            if not self._body():
                return
            self._busy = True
            request = self._request
            if request is not None:
                self._server.handle(request)

    def _head(self) -> bool:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            if len(self._in) > _HEAD_LIMIT:
                self._refuse(413)
            return False
        lines = self._in[:end].decode("latin-1").split("\r\n")
        del self._in[: end + 4]
        parts = lines[0].split(" ")
        if len(parts) != 3:
            self._refuse(400)
            return False
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._request = Request(self, parts[0], parts[1], headers)
        self._close_after = headers.get("connection", "").lower() == "close"
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._left = -1
        else:
            length = headers.get("content-length", "0")
            if not length.isdigit():
                self._refuse(400)
                return False
            self._left = int(length)
        if headers.get("expect", "").lower() == "100-continue":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _body(self) -> bool:
        """Take body bytes; True when the request is complete."""
        request = self._request
        if request is None:
            return False
        if self._left >= 0:
            take = min(self._left, len(self._in))
            self._keep(request, memoryview(self._in)[:take])
            del self._in[:take]
            self._left -= take
            return self._left == 0
        while True:
            line_end = self._in.find(b"\r\n")
            if line_end < 0:
                return False
            try:
                size = int(bytes(self._in[:line_end]).split(b";")[0], 16)
            except ValueError:
                self._refuse(400)
                return False
            if size == 0:
                end = self._in.find(b"\r\n\r\n", line_end)  # trailers, if any, end with an empty line
                if end < 0:
                    return False
                del self._in[: end + 4]
                return True
            if len(self._in) < line_end + 2 + size + 2:
                return False
            start = line_end + 2
            self._keep(request, memoryview(self._in)[start : start + size])
            del self._in[: start + size + 2]

    def _keep(self, request: Request, data: memoryview) -> None:
        if len(request.body) + len(data) > self._server.body_limit:
            request.too_large = True
            request.body.clear()
        if not request.too_large:
            request.body += data
        data.release()

    def _refuse(self, status: int) -> None:
        self._close_after = True
        self._busy = False
        self._send(f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._server.loop.forget(self._socket.fileno())
            self._socket.close()

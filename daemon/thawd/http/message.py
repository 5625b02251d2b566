"""Requests and responses as handlers see them."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from attrs import define, field, frozen

if TYPE_CHECKING:
    import trio

Header = tuple[str, str]


@frozen
class PeerCredentials:
    """Who is at the other end of a Unix socket, as the kernel knew it at connect time (unix(7), SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, sock: trio.socket.SocketType) -> PeerCredentials:
        """Ask the kernel. Raises `OSError` for a socket that is not a connected Unix one."""
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return cls(*struct.unpack("3i", raw))


class RequestRefused(Exception):
    """A request this server does not pass on, or a handler gives back: answered with `status` and `reason`.

    `headers` are added to the answer (`Allow` with 405).
    """

    def __init__(self, status: int, reason: str = "", *, headers: Iterable[Header] = ()) -> None:
        self.status = status
        self.reason = reason or HTTPStatus(status).phrase
        self.headers = tuple(headers)
        super().__init__(f"{status} {self.reason}")


class BodySource(Protocol):
    """Where a request's body comes from."""

    async def receive(self) -> bytes:
        """The next piece; empty at the end. Pieces count as held until the request's end, or until they are let go."""

    def let_go(self, size: int) -> None:
        """The handler holds so many bytes of what it received no more."""


@define(eq=False, kw_only=True)
class Request:
    """One request. Its body is read at most once, while the handler runs."""

    id: str
    """A UUID of this request, for logs and answers."""
    method: str
    raw_path: str
    raw_query: str
    headers: dict[bytes, bytes]
    """By lower-case name; the values of a repeated header are joined with a comma (RFC 9110, 5.3)."""
    body_limit: int
    """Longest body in bytes, unless the handler sets another limit."""
    peer: PeerCredentials | None = None
    """Set on Unix sockets."""
    local_host: str | None = None
    """On TCP: the address of this machine that the client connected to."""
    params: dict[str, str] = field(factory=dict)
    """What the route's template matched, percent-decoded."""
    _source: BodySource
    _query: dict[str, list[str]] | None = None

    def header(self, name: str) -> str | None:
        """A header's value, or None. Names are case-insensitive."""
        value = self.headers.get(name.lower().encode("ascii"))
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, list[str]]:
        """The query string's values by name, percent-decoded, blank ones kept."""
        if self._query is None:
            self._query = {}
            for name, value in parse_qsl(self.raw_query, keep_blank_values=True):
                self._query.setdefault(name, []).append(value)
        return self._query

    def query_value(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        return self.query[name][0] if self.raw_query and name in self.query else None

    async def stream(self, *, limit: int | None = None, kept: bool = True) -> AsyncIterator[bytes]:
        """The body in pieces as they arrive. Raises `RequestRefused` 413 past `limit` bytes (default `body_limit`).

        Without `kept` the handler puts each piece away before it asks for the next: the body may be larger than what a
        server holds of all bodies.
        """
        limit = self.body_limit if limit is None else limit
        declared = self.headers.get(b"content-length")
        if declared is not None and int(declared) > limit:
            raise RequestRefused(413)
        received = 0
        while piece := await self._source.receive():
            received += len(piece)
            if received > limit:
                raise RequestRefused(413)
            yield piece
            if not kept:
                self._source.let_go(len(piece))

    async def read(self, *, limit: int | None = None) -> bytes:
        """The whole body. Raises `RequestRefused` 413 past `limit` bytes (default `body_limit`)."""
        return b"".join([piece async for piece in self.stream(limit=limit)])


@define(eq=False)
class Response:
    """An answer: `body` is sent at once with its length, or piece by piece as an iterator yields (chunked).

    A body iterator that is an asynchronous generator is closed whether or not it was read to its end.
    """

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: list[Header] = field(factory=list)
    endless: bool = False
    """The body goes on until the client leaves: a server that shuts down ends it at once."""


Handler = Callable[[Request], Awaitable[Response]]
ErrorRenderer = Callable[[RequestRefused, str], Response]
"""Makes the answer for a refusal; the second argument is the request's id."""


def plain_error(refusal: RequestRefused, request_id: str) -> Response:  # noqa: ARG001 - not shown in plain text
    """A refusal as a line of text."""
    return Response(
        refusal.status,
        f"{refusal.reason}\n".encode(),
        [("Content-Type", "text/plain; charset=utf-8"), *refusal.headers],
    )

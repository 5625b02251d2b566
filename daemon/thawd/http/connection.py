"""One connection: requests off the wire one after the other, each answered before the next is looked at."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import AsyncGenerator
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11
import structlog
import trio
from attrs import define, field

from .crowd import Stage
from .inbox import Inbox
from .message import (
    ErrorRenderer,
    Handler,
    PeerCredentials,
    Request,
    RequestRefused,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from .crowd import Crowd
    from .guard import Guard
    from .limits import Limits

_log = structlog.get_logger()

_REASONS: Final = {int(status): status.phrase.encode("ascii") for status in HTTPStatus}

_ONE_WRITE: Final = 64 << 10
"""Head and body go out in one system call up to this size; above it, copying costs more than the call."""


_PARTING_S: Final = 0.1
"""For a word to a client whose connection makes room for another: what the socket's buffer takes at once."""


STOPPING: Final = "thawd is stopping and could not wait any longer for this request"

_NO_ROOM: Final = RequestRefused(
    503, "Every connection is in use: try again later", headers=[("Retry-After", "1")]
)


class _Gone(Exception):
    """Nothing more can be sent to this client."""


@define(eq=False, kw_only=True)
class Connection:
    """Serves one client until it leaves, errs, idles too long or the server drains."""

    stream: trio.SocketStream
    app: Handler
    guard: Guard
    limits: Limits
    render_error: ErrorRenderer
    crowd: Crowd
    peer: PeerCredentials | None
    local_host: str | None
    stage: Stage = Stage.IDLE
    received_bytes: int = 0
    """Bytes of the request's body, so far."""
    held_bytes: int = 0
    """Those of them that the handler still holds, counted in the crowd's."""
    _since: float = field(factory=trio.current_time)
    _body_waited_s: float = 0.0
    _inbox: Inbox = field(init=False)
    _http: h11.Connection = field(init=False)
    _life: trio.CancelScope = field(factory=trio.CancelScope)
    """All of it; cancelled when another connection needs its place."""
    _waiting: trio.CancelScope | None = None
    _working: trio.CancelScope | None = None
    """Holds the handler; cancelled when the server cannot wait for it any longer."""
    _answering: trio.CancelScope = field(factory=trio.CancelScope)
    """Holds the handler and the sending of its answer; cancelled when the client goes or does not take its answer."""
    _endless: trio.CancelScope | None = None
    """Holds the wait for the next piece of an answer that never ends by itself."""
    _draining: bool = False
    _fed: bool = False
    """Whether h11 may hold bytes of the next request: it need not be asked when it was given none."""

    def __attrs_post_init__(self) -> None:
        self._inbox = Inbox(self.stream)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=self.limits.header_bytes)

    def waited_s(self) -> float:
        """How long it has been waiting in its stage; for a body, over all its pieces."""
        waited_s = trio.current_time() - self._since
        return waited_s + self._body_waited_s if self.stage is Stage.BODY else waited_s

    def drain(self) -> None:
        """Finish the request under way, if any, and close."""
        self._draining = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._endless is not None:
            self._endless.cancel()

    def stop(self) -> None:
        """Finish the request under way now: what has not answered yet is answered with 503."""
        self.drain()
        if self._working is not None:
            self._working.cancel()

    def make_room(self) -> None:
        """End now, with at most a short answer to the client. Bytes that were held are released."""
        self._draining = True
        self.let_go(self.held_bytes)
        self._life.cancel()

    async def run(self) -> None:
        """Serve until there is nothing more to do. The caller closes the stream."""
        with self._life:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._inbox.pump)
                try:
                    while request := await self._next_request():
                        await self._serve(request)
                        if not self._next_cycle():
                            if self._http.their_state in {h11.SEND_BODY, h11.ERROR}:
                                await self._linger()
                            break
                except _Gone:
                    pass
                nursery.cancel_scope.cancel()
        if self._life.cancelled_caught and self.stage in {Stage.HEAD, Stage.BODY}:
            with trio.move_on_after(_PARTING_S), contextlib.suppress(_Gone, h11.LocalProtocolError):
                await self._send(self._no_room(), head_only=False)

    async def refuse(self) -> None:
        """Say that there is no room, whatever the client asks, and end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._inbox.pump)
            with contextlib.suppress(_Gone):
                await self._refuse(_NO_ROOM)
            nursery.cancel_scope.cancel()

    def _no_room(self) -> Response:
        return self.render_error(_NO_ROOM, str(uuid.uuid4()))

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self._since = trio.current_time()

    def let_go(self, size: int) -> None:
        """The handler holds so many bytes of the body no more (`BodySource`)."""
        size = min(size, self.held_bytes)  # all of it was given up where this connection made room
        self.crowd.release(size)
        self.held_bytes -= size

    # -----------------------------------------------------------------------------------------------------------------
    # Requests

    async def _next_request(self) -> Request | None:
        """The next request's head, or None when the connection is to be closed."""
        deadline: float | None = None
        self._enter(Stage.IDLE)
        while True:
            try:
                event = self._http.next_event() if self._fed else h11.NEED_DATA
            except h11.RemoteProtocolError as error:
                await self._refuse(RequestRefused(error.error_status_hint, str(error)))
                return None
            if type(event) is h11.Request:
                self._enter(Stage.SERVED)
                request = self._request(event)
                if {b"transfer-encoding", b"content-length"} <= request.headers.keys():
                    # Two readers of it could see two different requests (RFC 9112, 6.3).
                    await self._refuse(
                        RequestRefused(400, "Transfer-Encoding and Content-Length together")
                    )
                    return None
                return request
            if event is not h11.NEED_DATA or (self._draining and deadline is None):
                return None
            with trio.CancelScope() as scope:
                if deadline is None:
                    scope.deadline = trio.current_time() + self.limits.idle_s
                    self._waiting = scope
                else:
                    scope.deadline = deadline
                piece = await self._inbox.take()
            self._waiting = None
            if scope.cancelled_caught:
                if deadline is not None:
                    await self._refuse(
                        RequestRefused(408, "The request's headers did not arrive in time")
                    )
                return None
            if deadline is None:
                deadline = trio.current_time() + self.limits.header_s
                self._enter(Stage.HEAD)
            self._http.receive_data(piece)
            self._fed = True

    def _request(self, event: h11.Request) -> Request:
        headers: dict[bytes, bytes] = {}
        for name, value in event.headers:
            headers[name] = headers[name] + b", " + value if name in headers else value
        target = event.target.decode("ascii")  # h11 lets nothing else pass
        if target.startswith("/"):
            path, _, query = target.partition("?")
        else:
            split = urlsplit(target)  # absolute-form (RFC 9112, 3.2.2), or the asterisk
            path, query = split.path or "/", split.query
        return Request(
            id=str(uuid.uuid4()),
            method=event.method.decode("ascii"),
            raw_path=path,
            raw_query=query,
            headers=headers,
            body_limit=self.limits.body_bytes,
            peer=self.peer,
            local_host=self.local_host,
            source=self,
        )

    async def receive(self) -> bytes:
        """The next piece of the body of the request under way; empty at its end (`BodySource`)."""
        while self._http.their_state is h11.SEND_BODY:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise RequestRefused(error.error_status_hint, str(error)) from error
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(
                        self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
                    )
                if self._announced_bytes() > self.limits.held_bytes:
                    raise RequestRefused(413)
                self._http.receive_data(await self._take_of_body())
            elif type(event) is h11.Data:
                self.crowd.hold(self, len(event.data))
                self.held_bytes += len(event.data)
                self.received_bytes += len(event.data)
                return bytes(event.data)
        return b""

    def _announced_bytes(self) -> int:
        """The size that the present chunk has announced; 0 where there is none.

        h11 tells it with the chunk's first bytes only, and for those a client could let us wait.
        """
        return getattr(self._http._reader, "_bytes_in_chunk", 0)  # noqa: SLF001

    async def _take_of_body(self) -> bytes:
        """The next bytes of a body. Raises `RequestRefused` 408: a pause too long, or all of it too slow.

        Only time in which we waited counts: a handler may take its own.
        """
        limits = self.limits
        self._enter(Stage.BODY)
        left_s = limits.body_s + self.received_bytes / limits.body_rate - self._body_waited_s
        with trio.move_on_after(min(limits.body_s, left_s)) as scope:
            piece = await self._inbox.take()
        self._body_waited_s = self.waited_s()
        self._enter(Stage.SERVED)
        if scope.cancelled_caught:
            raise RequestRefused(408, "The request's body did not arrive in time")
        return piece

    # -----------------------------------------------------------------------------------------------------------------
    # Answers

    async def _serve(self, request: Request) -> None:
        crowd = self.crowd
        crowd.requests += 1
        crowd.requests_total += 1
        began = trio.current_time()
        status = 0
        try:
            with trio.CancelScope() as scope:
                self._answering = scope
                self._inbox.on_gone = scope.cancel
                if self._inbox.gone:
                    scope.cancel()
                response = await self._respond(request)
                status = response.status
                await self._send(response, head_only=request.method == "HEAD")
            self._inbox.on_gone = None
            if scope.cancelled_caught:
                raise _Gone  # noqa: TRY301 - counted with those who went while we sent
        except _Gone:
            crowd.gone_total += 1
            status = 0
            raise
        finally:
            crowd.requests -= 1
            self.let_go(self.held_bytes)
            self.received_bytes = 0
            self._body_waited_s = 0.0
            took_ms = (trio.current_time() - began) * 1e3
            level = "debug" if 0 < status < 400 else "warning" if status >= 500 else "info"
            getattr(_log, level)(
                "http.request" if status else "http.client_gone",
                id=request.id,
                method=request.method,
                path=request.raw_path,
                status=status,
                took_ms=round(took_ms, 2),
                pid=self.peer.pid if self.peer else None,
            )

    async def _respond(self, request: Request) -> Response:
        try:
            self.guard.check(request)
            with trio.CancelScope() as scope:
                self._working = scope
                return await self.app(request)
            return self.render_error(RequestRefused(503, STOPPING), request.id)
        except RequestRefused as refusal:
            return self.render_error(refusal, request.id)
        except Exception:  # noqa: BLE001 - one request's fault is its own
            _log.exception(
                "http.handler_crashed", id=request.id, method=request.method, path=request.raw_path
            )
            return self.render_error(RequestRefused(500), request.id)
        finally:
            self._working = None

    async def _send(self, response: Response, *, head_only: bool) -> None:
        headers = [*response.headers, ("Date", _http_date(time.time()))]
        body = response.body
        if isinstance(body, bytes) and response.status != 204:
            headers.append(("Content-Length", str(len(body))))
        if not self._body_ended() or self._draining:
            headers.append(("Connection", "close"))
        try:
            head = self._http.send(
                h11.Response(
                    status_code=response.status,
                    headers=headers,
                    reason=_REASONS.get(response.status, b""),
                )
            )
            if isinstance(body, bytes):
                await self._send_whole(head, b"" if head_only or response.status == 204 else body)
            elif head_only:
                await self._write(head + self._http.send(h11.EndOfMessage()))
            else:
                await self._write(head)
                await self._send_pieces(body, endless=response.endless)
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def _send_whole(self, head: bytes, body: bytes) -> None:
        data = self._http.send(h11.Data(data=body)) if body else b""
        end = self._http.send(h11.EndOfMessage())
        if len(data) <= _ONE_WRITE:
            await self._write(head + data + end)
        else:
            await self._write(head)
            await self._write(data + end if end else data)

    async def _send_pieces(self, body: AsyncIterator[bytes], *, endless: bool) -> None:
        try:
            while (piece := await self._next_piece(body, endless=endless)) is not None:
                if piece:
                    await self._write(self._http.send(h11.Data(data=piece)))
        except (trio.Cancelled, _Gone):
            raise
        except Exception as error:
            # Half an answer is out: only a connection that breaks off tells the client that it is not whole.
            _log.exception("http.body_crashed")
            raise _Gone from error
        await self._write(self._http.send(h11.EndOfMessage()))

    async def _next_piece(self, body: AsyncIterator[bytes], *, endless: bool) -> bytes | None:
        """The next piece of an answer, None at its end; which comes when we drain if it never would by itself."""
        if not endless:
            return await anext(body, None)
        with trio.CancelScope() as scope:
            self._endless = scope
            if self._draining:
                return None
            return await anext(body, None)
        return None

    async def _refuse(self, refusal: RequestRefused) -> None:
        """Answer what could not be read as a request, and take no more."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self._draining = True
            _log.info("http.refused", status=refusal.status, reason=refusal.reason)
            with trio.CancelScope() as scope:
                self._answering = scope
                await self._send(self.render_error(refusal, str(uuid.uuid4())), head_only=False)
            if not scope.cancelled_caught:
                await self._linger()

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        stage = self.stage
        self._enter(Stage.ANSWER)
        # A scope of its own for each write would cost as much as the write.
        self._answering.deadline = self._since + self.limits.write_s
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _Gone from error
        self._answering.deadline = math.inf
        self._enter(stage)

    # -----------------------------------------------------------------------------------------------------------------
    # Between requests

    def _body_ended(self) -> bool:
        """Whether the request's body has been read to its end, or lies there and can be dropped."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._http.next_event() is h11.NEED_DATA:
                    return False
        except h11.RemoteProtocolError:
            return False
        return self._http.their_state is not h11.ERROR

    def _next_cycle(self) -> bool:
        """Make ready for another request, if the connection is to live."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._fed = bool(self._http.trailing_data[0]) or self._http.trailing_data[1]
            self._http.start_next_cycle()
            return True
        return False

    async def _linger(self) -> None:
        """Close our side; read and forget what the client still sends, so that no reset overtakes the answer."""
        try:
            await self.stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        with trio.move_on_after(self.limits.linger_s):
            await self._inbox.discard()


def _date_cache() -> Callable[[float], str]:
    second, text = 0, ""

    def date(now_s: float) -> str:
        nonlocal second, text
        if int(now_s) != second:
            second, text = int(now_s), formatdate(now_s, usegmt=True)
        return text

    return date


_http_date = _date_cache()

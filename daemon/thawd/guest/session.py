"""One machine's channel, as the daemon sees it: requests with an answer, log lines as they come.

`open_session` owns one reading task. Whatever breaks the channel (end of file, a frame that is none, a FAULT) is
recorded once and raised in everything that waits or is asked for later, so that a dead machine is noticed by its
user and never takes the daemon down.
"""

from __future__ import annotations

import math
import secrets
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio
from attrs import define, field, frozen

from thaw_agent import wire
from thawd.errors import GuestError, MachineDied
from thawd.guest.said import harmless, text
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_log = structlog.get_logger()

_READ_BYTES: Final = 64 * 1024
_LATEST_US: Final = 253_402_300_799_000_000
"""The end of year 9999: a line's time is what user code wrote, and no calendar goes further."""

TAKEN: Final = b"taken "
"""Begins the payload of the PING that goes before each event; the invocation's number follows."""
SIGN_OF_LIFE_S: Final = 5.0
"""How long an agent may take to answer that PING, which it does in 0.1 to 1 ms. Its guest may share a processor with much
else, but one that is silent for this long has gone astray, and the event can still go to another machine."""
_LOG_BURST_BYTES: Final = 16 << 20
_LOG_BYTES_PER_S: Final = 1 << 20
"""What a machine may log: at once, and for as long as it lives. Beyond it lines are lost, and how many is said."""
_LOG_LINE_BYTES: Final = 128
"""What a line weighs besides its text: the file's JSON round it, and the time of the loop."""
_SLICE: Final = 64
"""Frames taken before other tasks have their turn: a line costs some 20 us, and one read may hold thousands."""

_LONGEST_FAULT: Final = 200
"""Characters of an agent's own words that clients get; the daemon's log has all of them."""

_Answer = TypeVar("_Answer", bound=wire.Message)


class InitFailure(GuestError):
    """The function's init failed; `error_type`, `body` as the runtime posted them."""

    def __init__(self, failed: wire.InitFailed) -> None:
        super().__init__(failed.message)
        self.error_type = failed.error_type
        self.body = failed.body
        self.duration_us = failed.duration_us


class RestoreFailure(GuestError):
    """A restore step or an after-restore hook failed: this machine must be killed."""

    def __init__(self, failed: wire.RestoreFailed) -> None:
        super().__init__(failed.message)
        self.error_type = failed.error_type
        self.body = failed.body
        self.steps = failed.steps


class AgentFault(GuestError):
    """The agent in the guest said that it cannot go on. The function alone shares a machine with it."""


class RuntimeExited(GuestError):
    """The runtime process ended while an invocation was running."""

    def __init__(self, exited: wire.Exited) -> None:
        super().__init__(exited.reason or "exited without providing a reason")
        self.exited = exited


@frozen(kw_only=True)
class LogLine:
    """One line the guest wrote. `stream` is the invocation's number, 0 outside of any; time in microseconds."""

    timestamp_us: int
    source: wire.LogSource
    text: str
    stream: int


@frozen(kw_only=True)
class Reply:
    """What the runtime posted for an invocation. `error_type` is None for a response."""

    body: bytes
    error_type: str | None = None
    content_type: str = "application/json"


@define(eq=False)
class GuestInvocation:
    """One invocation under way in the guest."""

    stream: int
    _session: GuestSession
    _on_taken: Callable[[], None]
    _limit: trio.CancelScope
    """Ends the wait for the agent's first sign of life."""
    _taken: trio.Event = field(factory=trio.Event)
    _begun: bool = False
    _head: wire.Response | wire.FunctionError | None = None
    _body: bytearray = field(factory=bytearray)
    _reply: Reply | None = None
    _done: wire.Done | None = None
    _replied: trio.Event = field(factory=trio.Event)
    _finished: trio.Event = field(factory=trio.Event)

    async def taken(self) -> None:
        """Wait until the agent has shown that it takes the event. Raises what ended the session before it did.

        Nothing is sent for it and nothing waits for it in the guest: the agent answers a PING that went with the event.
        What ends an invocation before this cannot have begun: the event may be handed to another machine.
        """
        with trio.CancelScope(deadline=self._limit.deadline) as self._limit:
            await self._taken.wait()
        if self._limit.cancelled_caught:
            self._session.silent()
        if not self._begun:
            raise self._session.failure()

    async def reply(self) -> Reply:
        """Wait for the response or the error. Raises `RuntimeExited`, `GuestError`, `MachineDied`."""
        await self._replied.wait()
        if self._reply is None:
            raise self._session.failure()
        return self._reply

    async def done(self) -> wire.Done:
        """Wait until the runtime asks for the next invocation. Raises `RuntimeExited`, `GuestError`, `MachineDied`."""
        await self._finished.wait()
        if self._done is None:
            raise self._session.failure()
        return self._done

    def _take(self, frame: wire.Frame) -> None:
        if not self._begun:
            self._begun = True
            self._limit.deadline = math.inf
            self._on_taken()
            self._taken.set()
        match frame.kind:
            case wire.Kind.PONG:
                pass
            case wire.Kind.RESPONSE | wire.Kind.ERROR if self._head is not None:
                raise wire.WireError("a second response to one invocation")
            case wire.Kind.RESPONSE:
                self._head = wire.Response.decode(frame.payload)
            case wire.Kind.ERROR:
                self._head = wire.FunctionError.decode(frame.payload)
            case wire.Kind.PAYLOAD:
                if self._reply is not None:
                    raise wire.WireError("a response goes on after its end")
                self._body += frame.payload
                if len(self._body) > wire.MAX_BODY:
                    raise wire.WireError(f"response exceeds {wire.MAX_BODY} bytes")
                if frame.end:
                    self._complete()
            case _:  # DONE
                if self._reply is None:
                    raise wire.WireError("done without a response")
                self._done = harmless(wire.Done.decode(frame.payload))
                self._finished.set()

    def _complete(self) -> None:
        head = self._head
        if head is None:
            raise wire.WireError("response body without a head")
        if isinstance(head, wire.FunctionError):
            self._reply = Reply(body=bytes(self._body), error_type=head.error_type)
        else:
            self._reply = Reply(body=bytes(self._body), content_type=head.content_type)
        self._replied.set()

    def _abandon(self) -> None:
        self._taken.set()
        self._replied.set()
        self._finished.set()


@define(eq=False)
class _LogAllowance:
    """How much a machine may log: a bucket that fills with time.

    Once it is empty a second's worth must be in it before lines are taken again, so that a flood is cut into few pieces.
    """

    lost: int = 0
    """Lines since the last one that was taken."""
    _left: float = _LOG_BURST_BYTES
    _at: float = field(factory=trio.current_time)

    def takes(self, size: int) -> bool:
        now = trio.current_time()
        filled = self._left + (now - self._at) * _LOG_BYTES_PER_S
        self._left, self._at = min(filled, _LOG_BURST_BYTES), now
        needed = size + _LOG_LINE_BYTES
        if self._left < max(needed, _LOG_BYTES_PER_S if self.lost else 0):
            self.lost += 1
            return False
        self._left -= needed
        return True


def _ignore(_line: LogLine) -> None:
    """Drop a log line: the sink of a session nobody listens to."""


def _nothing() -> None:
    """Take no notice."""


@define(eq=False)
class GuestSession:
    """The channel of one machine. Made by `open_session`, which owns its reading task."""

    _stream: trio.abc.Stream
    on_log: Callable[[LogLine], None] = _ignore
    ended: trio.Event = field(factory=trio.Event)
    """Set when the channel is of no use any more; `failure()` says why."""
    _failure: GuestError | MachineDied | None = None
    _decoder: wire.Decoder = field(factory=wire.Decoder)
    _invocations: dict[int, GuestInvocation] = field(factory=dict)
    _next_stream: int = 1
    _sending: trio.Lock = field(factory=trio.Lock)
    _hello: wire.Hello | None = None
    _nonce: str = ""
    _allowance: _LogAllowance = field(factory=_LogAllowance)
    lost_lines: int = 0
    """Log lines that were more than a machine may log."""
    _answers: trio.MemorySendChannel[wire.Frame] = field(init=False)
    _answered: trio.MemoryReceiveChannel[wire.Frame] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Control requests are asked one at a time, so that one answer is ever outstanding; the guest may follow
        # it with one more (EXITED right after INIT_FAILED).
        self._answers, self._answered = trio.open_memory_channel[wire.Frame](8)

    def failure(self) -> GuestError | MachineDied:
        """Why the session ended."""
        return self._failure or GuestError("the guest's channel is closed")

    async def hello(self) -> wire.Hello:
        """Greet the agent and wait for its answer: the guest is up. Raises `GuestError`."""
        self._nonce = secrets.token_hex(8)
        greeting = wire.Hello(role="host", nonce=self._nonce, software="thawd")
        await self._send(wire.SYNC + greeting.encode())
        answer = await self._answer(wire.Hello)
        if answer.version != wire.PROTOCOL_VERSION:
            raise GuestError(
                f"the agent in the image speaks protocol {answer.version}, this daemon {wire.PROTOCOL_VERSION}",
                hint="Build the image again: thaw image build",
            )
        self._hello = answer
        return answer

    async def ping(self, payload: bytes = b"") -> None:
        """One frame there and back: the floor of every exchange with this guest."""
        await self._send(wire.encode(wire.Kind.PING, payload))
        await self._receive(wire.Kind.PONG)

    async def init(self, request: wire.Init) -> wire.InitDone | wire.SnapshotReady:
        """Start the runtime; returns when it is ready to serve or to be snapshotted.

        Raises `InitFailure` for the function's own failure, `GuestError` for ours. The caller sets the deadline.
        """
        await self._send(request.encode())
        frame = await self._receive(
            wire.Kind.INIT_DONE, wire.Kind.SNAPSHOT_READY, wire.Kind.INIT_FAILED
        )
        if frame.kind is wire.Kind.INIT_FAILED:
            raise InitFailure(self._decoded(wire.InitFailed, frame))
        if frame.kind is wire.Kind.INIT_DONE:
            return self._decoded(wire.InitDone, frame)
        return self._decoded(wire.SnapshotReady, frame)

    async def restore(self, request: wire.Restore) -> wire.Restored:
        """Greet a clone and make it unique, in one go; returns when its hooks have run.

        Raises `RestoreFailure`, `GuestError`, `MachineDied`. The caller sets the deadline.
        """
        self._nonce = secrets.token_hex(8)
        greeting = wire.Hello(role="host", nonce=self._nonce, software="thawd")
        await self._send(wire.SYNC + greeting.encode() + request.encode())
        await self._receive(wire.Kind.HELLO)
        frame = await self._receive(wire.Kind.RESTORED, wire.Kind.RESTORE_FAILED)
        if frame.kind is wire.Kind.RESTORE_FAILED:
            raise RestoreFailure(self._decoded(wire.RestoreFailed, frame))
        return self._decoded(wire.Restored, frame)

    async def invoke(
        self, request: wire.Invoke, event: bytes, *, on_taken: Callable[[], None] = _nothing
    ) -> GuestInvocation:
        """Hand an event to the runtime; wait for what comes of it on the returned object.

        `on_taken` is called when the agent takes the event, before anything that the invocation writes or answers. Raises
        `GuestError`, `MachineDied` when the session has ended or the agent does not read: then it was not taken.
        """
        if self.ended.is_set():
            raise self.failure()
        limit = trio.CancelScope(deadline=trio.current_time() + SIGN_OF_LIFE_S)
        invocation = GuestInvocation(self._next_stream, self, on_taken, limit)
        self._next_stream += 1
        self._invocations[invocation.stream] = invocation
        number = invocation.stream.to_bytes(4, "big")
        # The PING goes first: an agent that has not answered it has done nothing of what came after it.
        ping = wire.encode(wire.Kind.PING, TAKEN + number)
        head = request.encode(stream=invocation.stream)
        body = wire.encode_body(event, stream=invocation.stream)
        try:
            with limit:
                await self._send(b"".join([ping, head, *body]))
        except BaseException:
            self.forget(invocation)
            raise
        if limit.cancelled_caught:
            self.forget(invocation)
            self.silent()
            raise self.failure()
        return invocation

    def silent(self) -> None:
        """End the session of an agent that gives no sign of life."""
        self._end(MachineDied(f"the guest agent was silent for {SIGN_OF_LIFE_S:g} s"))

    def forget(self, invocation: GuestInvocation) -> None:
        """The invocation is over for the host; late frames of it are dropped."""
        self._invocations.pop(invocation.stream, None)

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._end(MachineDied("the machine went away"))
                raise self.failure() from error

    async def _receive(self, *kinds: wire.Kind) -> wire.Frame:
        while True:
            try:
                frame = await self._answered.receive()
            except trio.EndOfChannel:
                raise self.failure() from None
            if frame.kind in kinds:
                return frame

    async def _answer(self, message: type[_Answer]) -> _Answer:
        frame = await self._receive(message.KIND)
        return self._decoded(message, frame)

    def _decoded(self, message: type[_Answer], frame: wire.Frame) -> _Answer:
        """A message within a guest's bounds. Raises `GuestError`, which ends the session too."""
        try:
            return harmless(message.decode(frame.payload))
        except wire.WireError as error:
            failure = GuestError(f"the guest broke the protocol: {error}")
            self._end(failure)
            raise failure from error

    async def _read(self) -> None:
        """Take frames until the channel ends."""
        failure: GuestError | MachineDied = MachineDied("the machine closed its channel")
        try:
            while data := await self._stream.receive_some(_READ_BYTES):
                for number, frame in enumerate(self._decoder.feed(data), start=1):
                    self._take(frame)
                    if number % _SLICE == 0:
                        await trio.lowlevel.checkpoint()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except wire.WireError as error:
            failure = GuestError(f"the guest broke the protocol: {error}")
        except Exception as error:  # noqa: BLE001
            # What a guest says, and whoever listens to it, costs this guest at most. The tree above goes on.
            _log.exception("session.crashed")
            failure = GuestError(f"the guest's channel could not be read: {error!r}")
        finally:
            with suppress(Exception):  # whoever listens to it cost this guest its session already
                self._tell_lost()
        self._end(failure)

    def _take(self, frame: wire.Frame) -> None:
        kind = frame.kind
        if kind in {wire.Kind.RESPONSE, wire.Kind.ERROR, wire.Kind.PAYLOAD, wire.Kind.DONE}:
            invocation = self._invocations.get(frame.stream)
            if invocation is not None:
                invocation._take(frame)  # noqa: SLF001 - one module, two halves of one thing
        elif kind is wire.Kind.PONG and frame.payload.startswith(TAKEN):
            number = int.from_bytes(frame.payload[len(TAKEN) :], "big")
            if (invocation := self._invocations.get(number)) is not None:
                invocation._take(frame)  # noqa: SLF001
        elif kind is wire.Kind.LOG:
            if self._allowance.takes(len(frame.payload)):
                self._tell_lost()
                self._log_line(frame)
        elif kind is wire.Kind.EXITED:
            # During init and restore the agent says more (INIT_FAILED, RESTORE_FAILED) before this.
            self._end(RuntimeExited(harmless(wire.Exited.decode(frame.payload))))
        elif kind is wire.Kind.FAULT:
            fault = harmless(wire.Fault.decode(frame.payload))
            _log.error("guest.agent_failed", reason=fault.message, trace=fault.trace)
            said = (fault.message.splitlines() or [""])[0]
            self._end(AgentFault(f"the guest agent failed: {text(said, longest=_LONGEST_FAULT)}"))
        elif kind is wire.Kind.HELLO and wire.Hello.decode(frame.payload).nonce != self._nonce:
            pass  # an agent that greets on its own, or the answer to an earlier host
        else:
            try:
                self._answers.send_nowait(frame)
            except trio.WouldBlock:
                raise wire.WireError(f"unexpected {kind.name} frame") from None
            except trio.BrokenResourceError:
                pass

    def _log_line(self, frame: wire.Frame) -> None:
        timestamp_us, source, line = wire.decode_log(frame.payload)
        self.on_log(
            LogLine(
                timestamp_us=min(timestamp_us, _LATEST_US),
                source=source,
                text=line.decode(errors="replace"),
                stream=frame.stream,
            )
        )

    def _tell_lost(self) -> None:
        """Say in the log how many lines of a flood were lost."""
        lost, self._allowance.lost = self._allowance.lost, 0
        if lost:
            self.lost_lines += lost
            limit = f"more than {_LOG_BYTES_PER_S >> 20} MiB a second"
            self.on_log(
                LogLine(
                    timestamp_us=time.time_ns() // 1000,
                    source=wire.LogSource.AGENT,
                    text=f"{lost} log lines were lost: {limit}",
                    stream=wire.MACHINE_STREAM,
                )
            )

    def _end(self, failure: GuestError | MachineDied) -> None:
        if self._failure is None:
            self._failure = failure
        self.ended.set()
        self._answers.close()
        for invocation in list(self._invocations.values()):
            invocation._abandon()  # noqa: SLF001


@asynccontextmanager
async def open_session(
    stream: trio.abc.Stream, *, on_log: Callable[[LogLine], None] = _ignore
) -> AsyncIterator[GuestSession]:
    """A session over a machine's channel; its reading task ends with this scope."""
    session = GuestSession(stream, on_log)
    # Callers tell an InitFailure from a RestoreFailure by class, so errors must leave as they are.
    async with helpers() as nursery:
        nursery.start_soon(session._read)  # noqa: SLF001
        try:
            yield session
        finally:
            session._end(GuestError("the session was closed"))  # noqa: SLF001

"""One machine's channel, as the daemon sees it: requests with an answer, log lines as they come.

`open_session` owns one reading task. The first thing that breaks the channel (end of file, an invalid frame, a FAULT) is
recorded, and raised in every wait and every later call. So the user of a dead machine notices it, and the daemon lives on.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio
from attrs import define, field

from thaw_agent import wire
from thawd.errors import GuestError, MachineDied
from thawd.guest.failures import AgentFault, InitFailure, RestoreFailure, RuntimeExited
from thawd.guest.invocation import GuestInvocation
from thawd.guest.lines import Lines, LogLine, ignore
from thawd.guest.said import harmless, text
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_log = structlog.get_logger()

_READ_BYTES: Final = 64 * 1024

TAKEN: Final = b"taken "
"""Begins the payload of the PING that goes before each event; the invocation's number follows."""
SIGN_OF_LIFE_S: Final = 5.0
"""How long an agent may take to answer that PING; it takes 0.1 to 1 ms. Its guest may share a processor with many others,
but a guest that is silent for this long does not come back, and the event can still go to another machine."""

_LONGEST_FAULT: Final = 200
"""Characters of an agent's own words that clients get; the daemon's log has all of them."""

_Answer = TypeVar("_Answer", bound=wire.Message)


def _nothing() -> None:
    """Do nothing."""


async def _silence() -> str:
    """No words."""
    return ""


@define(eq=False)
class GuestSession:
    """The channel of one machine. Made by `open_session`, which owns its reading task."""

    _stream: trio.abc.Stream
    _last_words: Callable[[], Awaitable[str]]
    lines: Lines = field(factory=Lines)
    ended: trio.Event = field(factory=trio.Event)
    """Set when the channel has ended; `failure()` says why."""
    _failure: GuestError | MachineDied | None = None
    _decoder: wire.Decoder = field(factory=wire.Decoder)
    _invocations: dict[int, GuestInvocation] = field(factory=dict)
    _next_stream: int = 1
    _sending: trio.Lock = field(factory=trio.Lock)
    _hello: wire.Hello | None = None
    _nonce: str = ""
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
        """Hand an event to the runtime; the returned object waits for its answer.

        `on_taken` is called when the agent takes the event, before any line or answer of the invocation. Raises
        `GuestError`, `MachineDied` when the session has ended or the agent does not read: then it was not taken.
        """
        if self.ended.is_set():
            raise self.failure()
        limit = trio.CancelScope(deadline=trio.current_time() + SIGN_OF_LIFE_S)
        invocation = GuestInvocation(self._next_stream, self, on_taken, limit)
        self._next_stream += 1
        self._invocations[invocation.stream] = invocation
        number = invocation.stream.to_bytes(4, "big")
        # The PING goes first: an agent that has not answered it has not read the frames after it.
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
        """End the session of an agent that does not answer."""
        self._end(MachineDied(f"the guest agent was silent for {SIGN_OF_LIFE_S:g} s"))

    def forget(self, invocation: GuestInvocation) -> None:
        """The invocation is over for the host; late frames of it are dropped."""
        self._invocations.pop(invocation.stream, None)

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._end(await self._died())
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
        failure: GuestError | MachineDied | None = None
        try:
            while data := await self._stream.receive_some(_READ_BYTES):
                for frame in self._decoder.feed(data):
                    if frame.kind is wire.Kind.LOG:
                        await self.lines.hear(frame)
                    else:
                        self._take(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except wire.WireError as error:
            failure = GuestError(f"the guest broke the protocol: {error}")
        except Exception as error:  # noqa: BLE001
            # A fault in a guest's frames, or in their listener, costs this guest at most. The tree above goes on.
            _log.exception("session.crashed")
            failure = GuestError(f"the guest's channel could not be read: {error!r}")
        finally:
            with suppress(Exception):  # the listener may be what ended this session
                self.lines.tell_lost()
        self._end(failure or await self._died())

    async def _died(self) -> MachineDied:
        if said := await self._last_words():
            return MachineDied(f"the guest's kernel failed: {text(said)}")
        return MachineDied("the machine closed its channel")

    def _take(self, frame: wire.Frame) -> None:
        kind = frame.kind
        if kind in {wire.Kind.RESPONSE, wire.Kind.ERROR, wire.Kind.PAYLOAD, wire.Kind.DONE}:
            invocation = self._invocations.get(frame.stream)
            if invocation is not None:
                invocation.take(frame)
        elif kind is wire.Kind.PONG and frame.payload.startswith(TAKEN):
            number = int.from_bytes(frame.payload[len(TAKEN) :], "big")
            if (invocation := self._invocations.get(number)) is not None:
                invocation.take(frame)
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

    def _end(self, failure: GuestError | MachineDied) -> None:
        if self._failure is None:
            self._failure = failure
        self.ended.set()
        self._answers.close()
        for invocation in list(self._invocations.values()):
            invocation.abandon()


@asynccontextmanager
async def open_session(
    stream: trio.abc.Stream,
    *,
    on_log: Callable[[LogLine], None] = ignore,
    last_words: Callable[[], Awaitable[str]] = _silence,
) -> AsyncIterator[GuestSession]:
    """A session over a machine's channel; its reading task ends with this scope.

    `last_words` is asked why the guest's kernel gave up when the channel ends (`Machine.last_words`).
    """
    session = GuestSession(stream, last_words, Lines(on_log))
    # Callers tell an InitFailure from a RestoreFailure by class, so errors must leave as they are.
    async with helpers() as nursery:
        nursery.start_soon(session._read)  # noqa: SLF001
        try:
            yield session
        finally:
            session._end(GuestError("the session was closed"))  # noqa: SLF001

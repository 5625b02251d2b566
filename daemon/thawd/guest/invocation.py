"""One invocation under way in a guest: what comes back for its event."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import define, field, frozen

from thaw_agent import wire
from thawd.guest.said import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from thawd.errors import GuestError, MachineDied


class Session(Protocol):
    """The part of a session that an invocation needs."""

    def failure(self) -> GuestError | MachineDied:
        """Why the session ended."""

    def silent(self) -> None:
        """The agent has not answered in time: end the session."""


@frozen(kw_only=True)
class Reply:
    """The runtime's answer to an invocation. `error_type` is None for a response."""

    body: bytes
    error_type: str | None = None
    content_type: str = "application/json"


@define(eq=False)
class GuestInvocation:
    """One invocation under way in the guest."""

    stream: int
    _session: Session
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
        """Wait until the agent has shown that it takes the event. Raises the failure that ended the session before.

        This costs no round trip: the agent answers a PING that was sent with the event. An invocation that ends before
        has not begun, so its event may be given to another machine.
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

    def take(self, frame: wire.Frame) -> None:
        """A frame of its stream, or the PONG that shows that the agent has it. Raises `WireError`."""
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

    def abandon(self) -> None:
        """The session has ended: whoever waits gets its failure."""
        self._taken.set()
        self._replied.set()
        self._finished.set()

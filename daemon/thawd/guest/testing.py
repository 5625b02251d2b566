"""An agent and a function without a guest, for tests of everything above the channel. Speaks the real protocol.

Give `FakeFunction.guest` to `engines.testing.FakeEngine`. What a clone must inherit lies in the machine's `memory`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path  # noqa: TC003  part of this module's types
from typing import Literal, Protocol

import trio
from attrs import define, field

from thaw_agent import wire
from thawd.guest.session import TAKEN


class GuestMachine(Protocol):
    """The part of a fake machine that the guest uses."""

    code: Path
    memory: dict[str, object]
    restored: bool


Handler = Callable[[bytes, wire.Invoke, dict[str, object]], Awaitable[bytes]]
Say = Callable[[str], Awaitable[None]]


async def echo(event: bytes, _request: wire.Invoke, _memory: dict[str, object]) -> bytes:
    """A handler that returns its event."""
    return event


class Exit(Exception):
    """Raised by a handler: the runtime process ends with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class AgentFails(Exception):
    """Raised by a handler: the agent itself fails, and says this."""


class HandlerError(Exception):
    """Raised by a handler: it raised an exception, which the runtime posts. `more` are further members of what it posts."""

    def __init__(
        self,
        message: str,
        *,
        error_type: str = "HandlerError",
        more: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.more = more or {}


class InitError(Exception):
    """Raised by `FakeFunction.initialise`: the function's module raised an exception of this type."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@define(eq=False)
class FakeFunction:
    """How the function behaves. Times in seconds; `inf` hangs."""

    handler: Handler = echo
    init_s: float = 0.0
    init_error: str = ""
    restore_s: float = 0.0
    restore_error: str = ""
    mute: bool = False
    """Whether clones never answer."""
    protected: bool = True
    """Whether thaw_runtime is in the image."""
    lose: Callable[[GuestMachine, trio.abc.Stream], Awaitable[bool]] | None = None
    """Called with machine and port when an event comes, before the agent has taken it. True when it lost the machine."""
    after: Literal["", "exit", "fault", "silence", "lost"] = ""
    """What comes in the place of the request for the next event, when the response was posted."""
    log: tuple[str, ...] = ()
    records: Callable[[str], Sequence[dict[str, object]]] = lambda _phase: ()
    """What a traced process records during `init`, `restore` and `invoke`."""
    freeze_report: dict[str, object] = field(factory=lambda: {"fixers": []})
    thaw_report: dict[str, object] = field(factory=dict)
    inits: int = 0
    restores: list[wire.Restore] = field(factory=list)

    async def guest(self, port: trio.abc.Stream, machine: GuestMachine) -> None:
        """Play the agent of one machine until its channel ends."""
        agent = _Agent(self, port, machine)
        try:
            await agent.run()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def initialise(self, _request: wire.Init, _machine: GuestMachine) -> None:
        """Initialise as the attributes say. Raises `InitError`."""
        await _take_time(self.init_s)
        if self.init_error:
            raise InitError(self.init_error, "init went wrong")

    async def respond(
        self, event: bytes, request: wire.Invoke, machine: GuestMachine, say: Say
    ) -> bytes:
        """What an invocation returns; `say` writes a line of its log. Raises `HandlerError`, `Exit`."""
        for line in self.log:
            await say(line)
        return await self.handler(event, request, machine.memory)


@define(eq=False)
class _Agent:
    _function: FakeFunction
    _port: trio.abc.Stream
    _machine: GuestMachine
    _decoder: wire.Decoder = field(factory=wire.Decoder)
    _bodies: dict[int, tuple[wire.Invoke, bytearray]] = field(factory=dict)

    async def run(self) -> None:
        while data := await self._port.receive_some():
            for frame in self._decoder.feed(data):
                if not await self._take(frame):
                    return

    async def _take(self, frame: wire.Frame) -> bool:
        """Answer one frame; False ends the guest."""
        match frame.kind:
            case wire.Kind.HELLO if self._function.mute and self._machine.restored:
                pass
            case wire.Kind.HELLO:
                nonce = wire.Hello.decode(frame.payload).nonce
                await self._port.send_all(
                    wire.SYNC + wire.Hello(role="guest", nonce=nonce).encode()
                )
            case wire.Kind.PING if await self._lost(frame):
                return False
            case wire.Kind.PING:
                await self._port.send_all(wire.encode(wire.Kind.PONG, frame.payload))
            case wire.Kind.INIT:
                return await self._init(wire.Init.decode(frame.payload))
            case wire.Kind.RESTORE:
                return await self._restore(wire.Restore.decode(frame.payload))
            case wire.Kind.INVOKE:
                self._bodies[frame.stream] = (wire.Invoke.decode(frame.payload), bytearray())
            case wire.Kind.PAYLOAD:
                request, body = self._bodies[frame.stream]
                body += frame.payload
                if frame.end:
                    del self._bodies[frame.stream]
                    return await self._invoke(frame.stream, request, bytes(body))
            case _:
                await self._port.send_all(
                    wire.Fault(message=f"unexpected {frame.kind.name}").encode()
                )
        return True

    async def _lost(self, ping: wire.Frame) -> bool:
        lose = self._function.lose
        return (
            ping.payload.startswith(TAKEN)
            and lose is not None
            and await lose(self._machine, self._port)
        )

    async def _init(self, request: wire.Init) -> bool:
        function = self._function
        function.inits += 1
        try:
            await function.initialise(request, self._machine)
        except InitError as error:
            message = str(error)
            body = json.dumps(
                {"errorType": error.error_type, "errorMessage": message, "stackTrace": []}
            )
            failed = wire.InitFailed(error_type="Runtime.Unknown", message=message, body=body)
            exited = wire.Exited(code=1, reason="exit status 1")
            await self._port.send_all(failed.encode() + exited.encode())
            return False
        self._machine.memory["function"] = request.function_name
        self._machine.memory["init"] = function.inits
        self._machine.memory["trace"] = request.trace
        self._machine.memory["skip_fixers"] = request.skip_fixers
        await self._record("init")
        snapshot = request.initialization_type == "snap-start"
        ready: wire.Message = (
            wire.SnapshotReady(
                duration_us=2000,
                report=function.freeze_report if function.protected else {},
                connections=["10.0.0.5:5432"] if request.trace else [],
            )
            if snapshot
            else wire.InitDone(duration_us=1000, counted_us=round(function.init_s * 1e6))
        )
        await self._port.send_all(ready.encode())
        return True

    async def _restore(self, request: wire.Restore) -> bool:
        function = self._function
        function.restores.append(request)
        await _take_time(function.restore_s)
        if function.restore_error:
            failed = wire.RestoreFailed(
                error_type=function.restore_error, message="hook went wrong"
            )
            await self._port.send_all(failed.encode())
            return False
        await self._record("restore")
        restored = wire.Restored(
            steps={"clock": 10}, runtime_us=1500, clock_off_ms=40, report=function.thaw_report
        )
        await self._port.send_all(restored.encode())
        return True

    async def _record(self, phase: str, stream: int = wire.MACHINE_STREAM) -> None:
        for record in self._function.records(phase) if self._machine.memory.get("trace") else ():
            line = json.dumps(record).encode()
            await self._port.send_all(
                wire.encode_log(line, wire.LogSource.RECORD, timestamp_us=1, stream=stream)
            )

    async def _invoke(self, stream: int, request: wire.Invoke, event: bytes) -> bool:
        async def say(line: str) -> None:
            source = wire.LogSource.STDOUT
            frame = wire.encode_log(line.encode(), source, timestamp_us=1, stream=stream)
            await self._port.send_all(frame)

        await self._record("invoke", stream)
        head: wire.Message
        try:
            body = await self._function.respond(event, request, self._machine, say)
            head = wire.Response()
        except HandlerError as error:
            posted = {"errorType": error.error_type, "errorMessage": str(error), **error.more}
            body = json.dumps(posted).encode()
            head = wire.FunctionError(error_type="Function.Unknown")
        except Exit as end:
            await self._port.send_all(
                wire.Exited(code=end.code, reason=f"exit status {end.code}").encode()
            )
            return False
        except AgentFails as fault:
            await self._port.send_all(wire.Fault(message=str(fault), trace="Traceback").encode())
            return False
        ending: dict[str, bytes] = {
            "": wire.Done(duration_us=1234, max_memory_bytes=30 << 20).encode(stream=stream),
            "exit": wire.Exited(code=3, reason="exit status 3").encode(),
            "fault": wire.Fault(message="broken", trace="Traceback").encode(),
        }
        await self._port.send_all(
            head.encode(stream=stream)
            + b"".join(wire.encode_body(body, stream=stream))
            + ending.get(self._function.after, b"")
        )
        return self._function.after in {"", "silence"}


async def _take_time(seconds: float) -> None:
    if seconds == math.inf:
        await trio.sleep_forever()
    await trio.sleep(seconds)

"""The agent itself: takes the host's messages, runs the function's runtime, tells the host what came of it.

One object, one thread, one loop. Its life: base (waits for INIT) -> init -> either serving (on demand), or frozen
(SNAPSHOT_READY was the last thing it wrote) -> restoring (RESTORE) -> serving.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import time
from collections.abc import Callable
from typing import Any, Final

from . import init as machine
from . import supervisor, system, wire
from .cgroup import Cgroup
from .channel import Channel
from .credentials import Credentials
from .http import Request, Server
from .logs import Logs
from .loop import READ, Loop
from .restore import sequence
from .runtime_api import Event, RuntimeApi

API_PORT: Final = 9001
"""Of the Runtime API and the credentials endpoint, on the guest's loopback."""
_CLOCK_SLACK_NS: Final = 5_000_000
"""How far a guest's clock may be off before an invocation steps it: a paused machine's stands still."""
_FLUSH_WITHIN_S: Final = 20.0
_CONTROL_BYTES: Final = 1 << 20


class Agent:
    """One guest. `real` is False in tests without a machine: then no privileged operation is done."""

    def __init__(
        self,
        loop: Loop,
        descriptor: int,
        *,
        real: bool = True,
        port: int = API_PORT,
        argv: Callable[[wire.Init], list[str]] = supervisor.command,
    ) -> None:
        self._loop = loop
        self._real = real
        self._argv = argv
        self._channel = Channel(loop, descriptor, self._on_frame, persistent=real)
        self._logs = Logs(loop, self._channel, self._running_stream)
        self._credentials = Credentials()
        self._server = Server(
            loop, ("127.0.0.1", port), self._on_request, body_limit=wire.MAX_BODY
        )
        self._cgroup = Cgroup()
        self._api: RuntimeApi | None = None
        self._runtime: supervisor.Runtime | None = None
        self._init: wire.Init | None = None
        self._report: dict[str, Any] = {}
        self._steps: dict[str, int] = {}
        self._phase_began = 0
        self._incoming: dict[int, tuple[wire.Invoke, bytearray]] = {}
        self._phase = "base"
        loop.on_child_exit(self._reap)

    # From the host ----------------------------------------------------------------------------------------------------

    def _on_frame(self, frame: wire.Frame) -> None:
        kind = frame.kind
        if kind is wire.Kind.PAYLOAD:
            self._on_payload(frame)
        elif kind is wire.Kind.INVOKE:
            self._incoming[frame.stream] = (wire.Invoke.decode(frame.payload), bytearray())
        elif kind is wire.Kind.PING:
            self._channel.send(wire.encode(wire.Kind.PONG, frame.payload))
        elif kind is wire.Kind.RESTORE:
            self._on_restore(wire.Restore.decode(frame.payload))
        elif kind is wire.Kind.INIT:
            self._on_init(wire.Init.decode(frame.payload))
        else:
            raise wire.WireError(f"unexpected {kind.name} frame from the host")

    def _on_payload(self, frame: wire.Frame) -> None:
        request, body = self._incoming[frame.stream]
        body += frame.payload
        if not frame.end:
            return
        del self._incoming[frame.stream]
        if self._api is None:
            raise wire.WireError("an invocation before INIT")
        if self._real and abs(request.clock_ns - time.time_ns()) > _CLOCK_SLACK_NS:
            system.set_clock(request.clock_ns)
        self._api.invoke(Event(frame.stream, request, bytes(body)))

    def _on_init(self, init: wire.Init) -> None:
        if self._phase != "base":
            raise wire.WireError("a second INIT")
        self._phase = "init"
        self._phase_began = time.monotonic_ns()
        self._init = init
        self._credentials.replace(init.credentials)
        snap_start = init.initialization_type == "snap-start"
        directory = os.getcwd()
        if self._real:
            sequence.run(sequence.own_steps(init))
            machine.mount_tmp(init.ephemeral_mib)
            supervisor.mount_code()
            self._cgroup.create(memory_mib=init.memory_mib + init.ephemeral_mib)
            directory = supervisor.TASK_ROOT
        self._api = RuntimeApi(self, snap_start=snap_start)
        address = f"127.0.0.1:{self._server.port}"
        variables = supervisor.environment(init, api=address, token=self._credentials.token)
        if not self._real:
            variables = {**os.environ, **variables, "PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        self._runtime = supervisor.Runtime.start(
            self._argv(init),
            variables,
            self._cgroup if self._real else None,
            self._logs.add,
            directory=directory,
        )
        self._tell_runtime({"type": "start", "skip_fixers": init.skip_fixers, "trace": init.trace})
        self._loop.watch(self._runtime.control.fileno(), READ, lambda _events: self._hear_runtime())

    def _on_restore(self, restore: wire.Restore) -> None:
        if self._phase != "frozen" or self._api is None:
            raise wire.WireError("a RESTORE that no snapshot preceded")
        self._phase = "restoring"
        self._credentials.replace(restore.credentials)
        self._report = {}
        # The kernel's generator gets the host's bytes, the language's generators get others made of them.
        secret = hmac.digest(bytes.fromhex(restore.entropy), b"thaw_runtime", "sha512")
        try:
            if self._real:
                steps = sequence.own_steps(restore, reseed=restore.reseed_kernel)
                steps += sequence.function_steps(self._cgroup, api_port=self._server.port)
                self._steps = sequence.run(steps)
            self._tell_runtime(
                {
                    "type": "thaw",
                    "generation": restore.generation,
                    "entropy": secret.hex(),
                    "clock_ns": restore.clock_ns,
                }
            )
        except sequence.StepFailed as error:
            failed = wire.RestoreFailed(error_type="Sandbox.Failure", message=str(error))
            self._channel.send(failed.encode())
            return
        self._phase_began = time.monotonic_ns()
        self._api.release()

    # From the runtime -------------------------------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        if (self._api is not None and self._api.handle(request)) or self._credentials.handle(request):
            return
        request.answer(404, b"404 page not found\n", (("Content-Type", "text/plain; charset=utf-8"),))

    def snapshot_ready(self) -> None:
        """See `runtime_api.Observer`: freeze, tell the host, and touch nothing until it is back."""
        took = (time.monotonic_ns() - self._phase_began) // 1000
        self._hear_runtime()
        self._logs.drain(flush=True)
        steps: dict[str, int] = {}
        if self._real:
            self._cgroup.sample()
            began = time.perf_counter_ns()
            self._cgroup.freeze()
            steps["freeze"] = (time.perf_counter_ns() - began) // 1000
            self._logs.drain(flush=True)
        self._phase = "frozen"
        ready = wire.SnapshotReady(duration_us=took, steps=steps, report=self._report)
        self._channel.send(ready.encode())
        if not self._channel.flush(deadline_s=_FLUSH_WITHIN_S):
            raise wire.WireError("the host does not read: no snapshot can be taken")

    def ready(self) -> None:
        """See `runtime_api.Observer`."""
        took = (time.monotonic_ns() - self._phase_began) // 1000
        self._hear_runtime()
        self._logs.drain()
        if self._phase == "restoring":
            self._phase = "serving"
            restored = wire.Restored(steps=self._steps, runtime_us=took, report=self._report)
            self._channel.send(restored.encode())
        else:
            self._phase = "serving"
            self._channel.send(wire.InitDone(duration_us=took).encode())

    def responded(self, stream: int, body: bytes, content_type: str) -> None:
        """See `runtime_api.Observer`."""
        head = wire.Response(content_type=content_type).encode(stream=stream)
        self._channel.send(head, *wire.encode_body(body, stream=stream))

    def failed(self, stream: int, body: bytes, error_type: str) -> None:
        """See `runtime_api.Observer`."""
        head = wire.FunctionError(error_type=error_type).encode(stream=stream)
        self._channel.send(head, *wire.encode_body(body, stream=stream))

    def done(self, stream: int, duration_us: int) -> None:
        """See `runtime_api.Observer`."""
        self._logs.drain()
        memory = self._cgroup.sample() if self._real else 0
        self._channel.send(wire.Done(duration_us=duration_us, max_memory_bytes=memory).encode(stream=stream))

    def init_failed(self, body: bytes, error_type: str) -> None:
        """See `runtime_api.Observer`."""
        self._phase = "failed"
        self._logs.drain(flush=True)
        took = (time.monotonic_ns() - self._phase_began) // 1000
        text = body.decode(errors="replace")
        failed = wire.InitFailed(
            error_type=error_type, message=_message(text, error_type), body=text, duration_us=took
        )
        self._channel.send(failed.encode())

    def restore_failed(self, body: bytes, error_type: str) -> None:
        """See `runtime_api.Observer`."""
        self._phase = "failed"
        self._hear_runtime()
        self._logs.drain(flush=True)
        text = body.decode(errors="replace")
        failed = wire.RestoreFailed(
            error_type=error_type, message=_message(text, error_type), body=text, steps=self._steps
        )
        self._channel.send(failed.encode())

    def _tell_runtime(self, message: dict[str, Any]) -> None:
        # A runtime that does not listen (another language) has a full or closed socket; it loses nothing.
        if self._runtime is not None:
            with contextlib.suppress(OSError):
                self._runtime.control.send(json.dumps(message).encode())

    def _hear_runtime(self) -> None:
        """Take what thaw_runtime reports: what it froze, what it thawed."""
        runtime = self._runtime
        if runtime is None or runtime.control.fileno() < 0:
            return
        while True:
            try:
                data = runtime.control.recv(_CONTROL_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.forget(runtime.control.fileno())
                runtime.control.close()
                return
            with contextlib.suppress(ValueError):
                message = json.loads(data)
                if isinstance(message, dict) and isinstance(message.get("report"), dict):
                    self._report = {**self._report, **message["report"]}

    # Processes --------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """As PID 1 every orphan is ours; the runtime's end is news for the host."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._runtime is not None and pid == self._runtime.pid:
                self._on_exit(status)

    def _on_exit(self, status: int) -> None:
        memory = self._cgroup.sample() if self._real else 0
        gone = supervisor.exited(status, max_memory_bytes=memory)
        self._hear_runtime()
        self._logs.drain(flush=True)
        reason = (
            f"Runtime exited with error: {gone.reason}" if gone.reason else "Runtime exited without providing a reason"
        )
        if self._phase == "init":
            took = (time.monotonic_ns() - self._phase_began) // 1000
            failed = wire.InitFailed(error_type="Runtime.ExitError", message=reason, duration_us=took)
            self._channel.send(failed.encode())
        elif self._phase == "restoring":
            lost = wire.RestoreFailed(error_type="Runtime.ExitError", message=reason, steps=self._steps)
            self._channel.send(lost.encode())
        self._phase = "failed"
        self._channel.send(gone.encode())

    def _running_stream(self) -> int:
        return self._api.stream if self._api is not None else wire.MACHINE_STREAM

    def fault(self, text: str) -> None:
        """Tell the host, if that is still possible, that this agent cannot go on."""
        with contextlib.suppress(OSError, ValueError):
            self._channel.send(wire.Fault(message=text[-4000:]).encode())
            self._channel.flush(deadline_s=1.0)


def _message(body: str, otherwise: str) -> str:
    """The error's own message, for a person."""
    try:
        value = json.loads(body)
    except ValueError:
        return body[:500] or otherwise
    message = value.get("errorMessage") if isinstance(value, dict) else None
    return str(message or otherwise)

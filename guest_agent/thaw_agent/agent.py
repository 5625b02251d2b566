"""The agent itself: takes the host's messages, runs the function's runtime, tells the host what came of it.

One object, one thread, one loop. Its life is its phase: BASE (waits for INIT) -> INIT -> either SERVING (on demand), or
FROZEN (SNAPSHOT_READY was the last thing it wrote) -> RESTORING (RESTORE) -> SERVING. FAILED: the runtime is of no use.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import select
import socket
import struct
import time
from _blake2 import blake2b
from typing import TYPE_CHECKING, Any, Final

from . import control, environment, processes, supervisor, wire
from . import init as machine
from .addresses import API_HOST, KEYS_HOST, PORT
from .cgroup import Cgroup
from .channel import Channel
from .credentials import Credentials
from .http import Request, Server
from .init_limit import InitLimit
from .logs import Logs
from .loop import READ, Loop
from .restore import address_book, sequence
from .runtime_api import Event, RuntimeApi

if TYPE_CHECKING:
    from .language import Language
    from .system import System

_CLOCK_SLACK_NS: Final = 5_000_000
"""How far a guest's clock may be off before an invocation steps it: a paused machine's stands still."""
_FLUSH_WITHIN_S: Final = 20.0
_ENTROPY_BYTES: Final = 64
_MOST_CONNECTIONS: Final = 100
"""Far ends that are told of connections shut; all are shut."""
_MOST_RECORDS: Final = 512
"""Of a runtime at once, more than its socket holds: one that never stops writing must not keep the agent from its work."""
_LARGEST_BODY: Final = wire.MAX_PAYLOAD // 2
"""Bytes of a posted error within INIT_FAILED or RESTORE_FAILED, escapes included."""
_LONGEST_MESSAGE: Final = 4000
"""Characters of an error's message for a person; twice escaped and with its body still far below a frame."""
_LONGEST_TYPE: Final = 200
_LONGEST_TRACE: Final = 20
_LONGEST_PLACE: Final = 300
"""Characters of an error's type, items of its stack trace and characters of each, where its body is cut."""
_LONGEST_FAULT: Final = 500
_MOST_EXITS: Final = 2048
"""Ended processes that are reaped at once: under a fork bomb there is always one more."""

_CREDENTIALS: Final = struct.Struct("iII")
_CREDENTIALS_ROOM: Final = socket.CMSG_SPACE(_CREDENTIALS.size)
_NOT_CALLED: Final = (
    "the runtime client asked for an event without a word of the snapshot, as clients do that are older than SnapStart: "
    "no hook was called, and what the fixers of hooks renew is not renewed"
)

BASE: Final = "base"
INIT: Final = "init"
FROZEN: Final = "frozen"
RESTORING: Final = "restoring"
SERVING: Final = "serving"
FAILED: Final = "failed"

_REPORT_OF: Final = {INIT: control.FROZEN, RESTORING: control.THAWED}
"""The report that is expected in a phase."""


class Agent:
    """One guest. Tests give it a `system` of their own, another `language`, and an `api` address that they have."""

    def __init__(
        self,
        loop: Loop,
        channel: int,
        system: System,
        language: Language,
        *,
        api: tuple[str, int] = (API_HOST, PORT),
        persistent: bool = True,
    ) -> None:
        self._loop = loop
        self._system = system
        self._language = language
        self.phase = BASE
        self._channel = Channel(loop, channel, self._on_frame, persistent=persistent)
        self._logs = Logs(loop, self._channel, self._running_stream)
        self._credentials = Credentials()
        self._host = api[0]
        also = () if self._host == KEYS_HOST else (KEYS_HOST,)
        self.server = Server(loop, api, self._on_request, body_limit=wire.MAX_BODY, also=also)
        self._cgroup = Cgroup(system)
        self._api: RuntimeApi | None = None
        self._runtime: supervisor.Runtime | None = None
        self._init_limit: InitLimit | None = None
        self._report: dict[str, Any] = {}
        self._opened: dict[str, Any] = {}
        """What a runtime said when it began: its report, where no FROZEN is to come."""
        self._hooks = True
        self._book: tuple[control.Book, int] | None = None
        """The generators that the runtime named, and the process that they are in."""
        self._generators: address_book.AddressBook | None = None
        self._refused = 0
        """Datagrams on the control socket that were no records, since INIT or RESTORE."""
        self._steps: dict[str, int] = {}
        self._phase_began = 0
        self._clock_off_ms = 0
        self._traced = False
        self._incoming: dict[int, tuple[wire.Invoke, bytearray]] = {}
        loop.on_child_exit(self._on_child_exit)

    # From the host

    def _on_frame(self, frame: wire.Frame) -> None:
        kind = frame.kind
        if kind is wire.Kind.PAYLOAD:
            self._on_payload(frame)
        elif kind is wire.Kind.INVOKE:
            self._on_invoke(frame.stream, wire.Invoke.decode(frame.payload))
        elif kind is wire.Kind.PING:
            self._channel.send(wire.encode(wire.Kind.PONG, frame.payload))
        elif kind is wire.Kind.RESTORE:
            self._on_restore(wire.Restore.decode(frame.payload))
        elif kind is wire.Kind.INIT:
            self._on_init(wire.Init.decode(frame.payload))
        elif kind is wire.Kind.HELLO:
            self._incoming.clear()  # a new host: what another one began to send will not be finished
        else:
            raise wire.WireError(f"unexpected {kind.name} frame from the host")

    def _on_invoke(self, stream: int, request: wire.Invoke) -> None:
        off_ns = request.clock_ns - time.time_ns()
        if request.clock_ns and abs(off_ns) > _CLOCK_SLACK_NS:
            self._system.set_clock(request.clock_ns)
        self._incoming[stream] = (request, bytearray())

    def _on_payload(self, frame: wire.Frame) -> None:
        if frame.stream not in self._incoming:
            raise wire.WireError(f"an event for stream {frame.stream}, which no INVOKE opened")
        request, body = self._incoming[frame.stream]
        body += frame.payload
        if len(body) > wire.MAX_BODY:
            raise wire.WireError(f"event exceeds {wire.MAX_BODY} bytes")
        if frame.end:
            del self._incoming[frame.stream]
            if self._api is None:
                raise wire.WireError("an invocation before INIT")
            self._api.invoke(Event(frame.stream, request, bytes(body)))

    def _on_init(self, init: wire.Init) -> None:
        if self.phase != BASE:
            raise wire.WireError("a second INIT")
        self.phase = INIT
        self._phase_began = time.monotonic_ns()
        system = self._system
        self._steps = sequence.run(
            [
                *sequence.identity_steps(system, init),
                ("tmp", lambda: machine.mount_tmp(system, init.ephemeral_mib)),
                ("code", lambda: supervisor.mount_code(system)),
                (
                    "cgroup",
                    lambda: self._cgroup.create(memory_mib=init.memory_mib + init.ephemeral_mib),
                ),
            ]
        )
        # Not earlier: until now every clone of the base snapshot would have drawn the same token.
        token = self._credentials.new_token()
        self._credentials.replace(init.credentials)
        self._api = RuntimeApi(self, snap_start=init.initialization_type == "snap-start")
        port = self.server.port
        api, keys = f"{self._host}:{port}", f"{KEYS_HOST}:{port}"
        self._traced = init.trace
        self._runtime = supervisor.Runtime.start(
            system,
            self._language.command(init),
            environment.variables(system, init, self._language, api=api, keys=keys, token=token),
            self._cgroup,
            self._logs.add,
            first_message=control.start(init.skip_fixers, trace=init.trace),
        )
        self._loop.watch(self._runtime.control.fileno(), READ, lambda _events: self._hear_runtime())
        if init.limit_ms:
            self._init_limit = InitLimit(
                self._loop,
                self._cgroup,
                limit_us=init.limit_ms * 1000,
                slow_down=init.slow_down,
                over=lambda: self._fail_init(
                    wire.INIT_TIMED_OUT, f"the init took longer than {init.limit_ms} ms"
                ),
            )

    def _on_restore(self, restore: wire.Restore) -> None:
        if self.phase != FROZEN or self._api is None:
            raise wire.WireError("a RESTORE that no snapshot preceded")
        self.phase = RESTORING
        self._logs.gentle = True
        self._clock_off_ms = (restore.clock_ns - time.time_ns()) // 1_000_000
        self._credentials.replace(restore.credentials)
        self._report = {}
        self._refused = 0
        self._tell_runtime(
            control.thaw(
                restore.generation, restore.clock_ns, _secret(bytes.fromhex(restore.entropy))
            )
        )
        system = self._system
        try:
            self._steps = sequence.run(
                [
                    *sequence.identity_steps(system, restore, reseed=restore.reseed_kernel),
                    *self._renewal(bytes.fromhex(restore.entropy)),
                    ("thaw", self._cgroup.thaw),
                ]
            )
        except sequence.StepError as error:
            # Fail closed: whether or not the function runs by now, it gets no answer and the host ends the machine.
            self.phase = FAILED
            failed = wire.RestoreFailed(
                error_type="Sandbox.Failure", message=str(error), steps=error.took
            )
            self._channel.send(failed.encode())
            return
        self._phase_began = time.monotonic_ns()
        self._api.release()

    # From the runtime

    def _on_request(self, request: Request) -> None:
        api = self._api
        if (api is not None and api.handle(request)) or self._credentials.handle(request):
            return
        request.answer(
            404, b"404 page not found\n", (("Content-Type", "text/plain; charset=utf-8"),)
        )

    def snapshot_ready(self) -> None:
        """See `runtime_api.Observer`: freeze, tell the host, and touch nothing until it is back."""
        took = self._phase_us()
        self._hear_runtime()
        self._cgroup.most_bytes()
        if self._traced:
            # The kernel reseeds itself some seconds after the last time: in a clone whose kernel is left as it was on
            # purpose, what the function draws now has to show.
            self._system.add_entropy(os.urandom(_ENTROPY_BYTES))
        self._fall_back_on_opened()
        ended: list[str] = []
        try:
            self._steps |= sequence.run(
                sequence.standstill(
                    self._system,
                    self._cgroup,
                    ended,
                    api_port=self.server.port,
                    search=self._find_generators if self._book is not None else None,
                )
            )
        except sequence.StepError as error:
            # The machine was set up well before: it is the function that cannot be brought to a standstill.
            self._fail_init("Sandbox.Failure", str(error))
            return
        # After the freeze: what nobody can write any more need not be looked for again in every clone.
        self._logs.drain()
        gc.collect()
        gc.freeze()
        self.phase = FROZEN
        ready = wire.SnapshotReady(
            duration_us=took,
            steps=self._steps,
            report=self._told(),
            connections=ended[:_MOST_CONNECTIONS],
        )
        self._channel.send(ready.encode())
        if not self._channel.flush(deadline_s=_FLUSH_WITHIN_S):
            raise wire.WireError("the host does not read: no snapshot can be taken")

    def ready(self) -> None:
        """See `runtime_api.Observer`."""
        took = self._phase_us()
        self._hear_runtime()
        restoring = self.phase == RESTORING
        self.phase = SERVING
        self._logs.gentle = False
        if restoring:
            message: wire.Message = wire.Restored(
                steps=self._steps,
                runtime_us=took,
                clock_off_ms=self._clock_off_ms,
                report=self._told(),
            )
            self._forget_generators()
        else:
            counted = self._init_limit.end() if self._init_limit is not None else took
            message = wire.InitDone(duration_us=took, counted_us=counted)
        self._logs.drain()
        self._channel.send(message.encode())

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
        if self._traced:
            self._hear_runtime()
            self._record({"kind": "files", "names": machine.files_in_tmp(self._system)})
        memory = self._cgroup.most_bytes()
        if self._runtime is not None:
            # What came and went between two looks at the group shows in the process's own high-water mark.
            memory = max(memory, processes.most_bytes(self._system, self._runtime.pid))
        done = wire.Done(duration_us=duration_us, max_memory_bytes=memory)
        self._channel.send(done.encode(stream=stream))

    def init_failed(self, body: bytes, error_type: str) -> None:
        """See `runtime_api.Observer`."""
        self._fail_init(error_type, *_error(body, error_type))

    def restore_failed(self, body: bytes, error_type: str) -> None:
        """See `runtime_api.Observer`."""
        self._fail_restore(error_type, *_error(body, error_type))

    def _fail_init(self, error_type: str, message: str, body: str = "") -> None:
        self.phase = FAILED
        if self._init_limit is not None:
            self._init_limit.end()
        self._logs.drain()
        failed = wire.InitFailed(
            error_type=error_type, message=message, body=body, duration_us=self._phase_us()
        )
        self._channel.send(failed.encode())

    def _fail_restore(self, error_type: str, message: str, body: str = "") -> None:
        self._hear_runtime()  # in the phase that it belongs to
        self.phase = FAILED
        self._logs.drain()
        failed = wire.RestoreFailed(
            error_type=error_type, message=message, body=body, steps=self._steps
        )
        self._channel.send(failed.encode())

    def _tell_runtime(self, record: bytes) -> None:
        # A runtime that does not listen (another language) has closed its end, or never reads; it loses nothing.
        if self._runtime is not None and self._runtime.control.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._runtime.control.send(record)

    def _hear_runtime(self) -> None:
        """Take what the runtime reports: what it froze, what it thawed, how long hooks took."""
        for _ in range(_MOST_RECORDS):
            end = self._runtime.control if self._runtime is not None else None
            if end is None or end.fileno() < 0:
                return
            try:
                data, notes, *_ = end.recvmsg(control.LARGEST, _CREDENTIALS_ROOM)
            except BlockingIOError:
                return
            except OSError:
                data, notes = b"", []
            # Of nothing, only the poll tells whether it is the end or a datagram that holds nothing.
            if not data and _hung_up(end.fileno()):
                self._loop.forget(end.fileno())
                end.close()
                return
            try:
                self._take_record(_sender(notes), *control.split(data))
            except control.Malformed:
                self._refused += 1

    def _take_record(self, pid: int, kind: int, flags: int, body: bytes) -> None:
        if kind == control.OPENED and self.phase == INIT:
            self._opened = control.report(flags, body)
            self._hooks = not flags & control.NO_HOOKS
            self._report = {}
        elif kind == control.BOOK and self.phase == INIT:
            book = control.book(body)
            self._book = (book, pid) if book.entries else None
        elif kind == control.RECORD:
            if self._traced:
                try:
                    self._record(control.record(body))
                except RecursionError as error:
                    raise control.Malformed("a record nested too deep") from error
        elif kind == _REPORT_OF.get(self.phase):
            self._report = control.report(flags, body)
            self._steps |= control.steps_of(self._report)
        else:
            raise control.Malformed(f"a record of kind {kind} while {self.phase}")

    def _told(self) -> dict[str, Any]:
        """The runtime's report, with the number of datagrams that nobody could read, if there were any."""
        told = self._report
        if self._generators is not None:
            told = self._generators.add_to(told)
        refused = {"refused": self._refused} if told and self._refused else {}
        return {**told, **refused}

    def _fall_back_on_opened(self) -> None:
        """A function whose hooks nobody calls: what its runtime said when it began is all that it will say."""
        skipped = self._api is not None and self._api.asks_for_events
        if self._report or not self._opened or (self._hooks and not skipped):
            return
        self._report = self._opened
        if self._hooks:
            self._report = {**self._opened, "notes": [*self._opened["notes"], _NOT_CALLED]}

    def _find_generators(self) -> None:
        """Of the stopped function, by the book of its runtime. Raises `OSError`, `ValueError`."""
        if self._book is None:
            return
        book, pid = self._book
        if pid not in self._cgroup.processes():
            raise ValueError(f"process {pid}, which named its generators, is gone")
        found = address_book.AddressBook(book, self._system.memory_of(pid))
        self._generators = found
        found.find(between=lambda: address_book.pause(self._cgroup.thaw, self._cgroup.freeze))

    def _forget_generators(self) -> None:
        if self._generators is not None:
            self._generators.close()
            self._generators = None

    def _renewal(self, entropy: bytes) -> list[sequence.Step]:
        found = self._generators
        if found is None:
            return []
        return [("generators", lambda: found.renew(_secret(entropy, b"thaw_memory")))]

    def _record(self, record: dict[str, Any]) -> None:
        """Something a traced function did, to whoever checks it (`thaw check`)."""
        line = json.dumps(record).encode()
        now = time.time_ns() // 1000
        stream = self._running_stream()
        self._channel.send(
            wire.encode_log(line, wire.LogSource.RECORD, timestamp_us=now, stream=stream)
        )

    # Processes

    def _on_child_exit(self) -> None:
        ended = list(itertools.islice(processes.reap(), _MOST_EXITS))
        for pid, status, most_bytes in ended:
            if self._runtime is not None and pid == self._runtime.pid:
                memory = max(self._cgroup.most_bytes(), most_bytes)
                self._on_exit(supervisor.exited(status, max_memory_bytes=memory))
        if len(ended) == _MOST_EXITS:
            self._loop.after(0.0, self._on_child_exit)

    def _on_exit(self, gone: wire.Exited) -> None:
        reason = (
            f"Runtime exited with error: {gone.reason}"
            if gone.reason
            else "Runtime exited without providing a reason"
        )
        if self.phase == INIT:
            self._fail_init("Runtime.ExitError", reason)
        elif self.phase == RESTORING:
            self._fail_restore("Runtime.ExitError", reason)
        else:
            # What the runtime posted before it went is what counts.
            self.phase = FAILED
            self._logs.drain()
        self._channel.send(gone.encode())

    def _phase_us(self) -> int:
        return (time.monotonic_ns() - self._phase_began) // 1000

    def _running_stream(self) -> int:
        return self._api.stream if self._api is not None else wire.MACHINE_STREAM

    def fault(self, error: Exception, trace: str) -> None:
        """Tell the host, if that is still possible, that this agent cannot go on. The trace is for its log alone."""
        message = f"{type(error).__name__}: {error}"[:_LONGEST_FAULT]
        with contextlib.suppress(OSError, ValueError):
            self._channel.send(
                wire.Fault(message=message, trace=trace[-_LONGEST_MESSAGE:]).encode()
            )
            self._channel.flush(deadline_s=1.0)


def _hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return bool(poll.poll(0))


def _sender(notes: list[tuple[int, int, bytes]]) -> int:
    """The process that sent a datagram, by the kernel's word for it (unix(7), SCM_CREDENTIALS); 0 for none."""
    for level, kind, data in notes:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(
            data
        ) >= _CREDENTIALS.size:
            pid: int = _CREDENTIALS.unpack_from(data)[0]
            return pid
    return 0


def _secret(entropy: bytes, purpose: bytes = b"thaw_runtime") -> bytes:
    """64 bytes for the language's generators, made of the host's so that they are not those that the kernel gets."""
    # Not by way of hashlib, which brings OpenSSL with it: in every clone this would be its first use.
    return blake2b(key=entropy, person=purpose).digest()


def _error(body: bytes, otherwise: str) -> tuple[str, str]:
    """An error body's own message, for a person, and the body as text.

    What user code posts may be of any size and need not be JSON, but a message to the host has to fit its frame: of a
    body that does not, the type, and the beginnings of message and stack trace, are left.
    """
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = {"errorMessage": text[:500]}
    if not isinstance(value, dict):
        value = {}
    # JSON can spell half a surrogate pair (os.fsdecode makes them), which the host refuses as no text.
    message = str(value.get("errorMessage") or otherwise)[:_LONGEST_MESSAGE]
    message = message.encode(errors="replace").decode()
    if len(text) > _LARGEST_BODY or len(json.dumps(text)) > _LARGEST_BODY:
        kind, trace = value.get("errorType"), value.get("stackTrace")
        cut: dict[str, Any] = {
            "errorMessage": message,
            "errorType": kind[:_LONGEST_TYPE] if isinstance(kind, str) and kind else otherwise,
        }
        if isinstance(trace, list):
            places = [one for one in trace if isinstance(one, str)]
            cut["stackTrace"] = [one[:_LONGEST_PLACE] for one in places[-_LONGEST_TRACE:]]
        text = json.dumps(cut)
    return message, text

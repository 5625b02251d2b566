"""Frames and messages between the daemon and the guest agent. Used by both ends.

The channel is one reliable byte stream (a virtio-serial port, later vsock). Whoever connects first sends
`SYNC` and a HELLO frame; the other end answers in kind. A frame is::

    magic  2 bytes  b"Tw"
    kind   1 byte   what the payload is (`Kind`)
    flags  1 byte   bit 0 (`END`): last frame of this stream in this direction
    stream 4 bytes  big-endian; 0 is the machine itself, every invocation has its own number
    length 4 bytes  big-endian, at most `MAX_PAYLOAD`
    payload

Control payloads are one JSON object, the fields of the message class of that kind. Bodies (events, responses)
travel as PAYLOAD frames on their stream and may be interleaved with other streams' frames. Log lines are binary.

Why `SYNC`: when the host's end goes away in the middle of a frame (a daemon that was killed, a clone that was
snapshotted while the other clone's bytes were on their way), the reader cannot know where the next frame begins.
After an end of file a reader calls `Decoder.reset()` and throws bytes away until the next `SYNC`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Final, NamedTuple, Self

PROTOCOL_VERSION: Final = 1
SYNC: Final = b"\x00\xffthawd-sync-v1\n"
MAGIC: Final = b"Tw"
HEADER: Final = struct.Struct(">2sBBII")
LOG_HEADER: Final = struct.Struct(">QB")
MAX_PAYLOAD: Final = 256 * 1024
"""Bytes in one frame. Small enough that a 6 MB response does not hold up a log line for long."""
END: Final = 1
MACHINE_STREAM: Final = 0

PORT_NAME: Final = "thaw.agent"
"""Name of the virtio-serial port that carries the channel."""

MAX_BODY: Final = 6_291_556
"""Lambda's limit in bytes on an event or a response (6 MB and a little; Lambda quotas page, Runtime API 413)."""


class WireError(Exception):
    """The bytes on the channel are not this protocol; the machine at the other end cannot be used any more."""


class Kind(IntEnum):
    """What a frame's payload is. `>` goes to the guest, `<` to the host."""

    HELLO = 1  # <> Hello, after SYNC
    PING = 2  # > any bytes
    PONG = 3  # < the same bytes
    INIT = 10  # > Init
    INIT_DONE = 11  # < InitDone: an on-demand runtime asked for its first invocation
    INIT_FAILED = 12  # < InitFailed
    SNAPSHOT_READY = 13  # < SnapshotReady: the last frame before the snapshot, user code is frozen
    RESTORE = 20  # > Restore
    RESTORED = 21  # < Restored: hooks have run, the runtime asked for its first invocation
    RESTORE_FAILED = 22  # < RestoreFailed: kill the machine
    INVOKE = 30  # > Invoke, then PAYLOAD frames of the event on the same stream, the last with END
    PAYLOAD = 31  # <> body bytes
    RESPONSE = 32  # < Response, then PAYLOAD frames, the last with END
    ERROR = 33  # < FunctionError, then PAYLOAD frames of the error body, the last with END
    DONE = 34  # < Done: the runtime asked for the next invocation
    EXITED = 40  # < Exited: the runtime process ended
    LOG = 50  # < LOG_HEADER and a line's bytes (of STDOUT and STDERR: one or more lines), on their invocation's stream
    FAULT = 60  # < Fault: the agent itself failed; kill the machine


class LogSource(IntEnum):
    """Where a log line came from."""

    STDOUT = 1
    STDERR = 2
    TELEMETRY_TEXT = 3  # the runtime's framed log descriptor, text format
    TELEMETRY_JSON = 4
    AGENT = 5
    RECORD = 6  # not the function's words: a JSON object that tells what a traced function did


_KINDS: Final = {int(kind): kind for kind in Kind}
"""Looked up faster than an enumeration calls."""


class Frame(NamedTuple):
    """One frame as read from the channel."""

    kind: Kind
    stream: int
    payload: bytes
    end: bool = False


def encode(
    kind: Kind, payload: bytes = b"", *, stream: int = MACHINE_STREAM, end: bool = False
) -> bytes:
    """One frame's bytes. Raises `ValueError` for a payload over `MAX_PAYLOAD`; see `encode_body`."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"frame payload of {len(payload)} bytes exceeds {MAX_PAYLOAD}")
    return HEADER.pack(MAGIC, kind, END if end else 0, stream, len(payload)) + payload


def encode_body(body: bytes, *, stream: int) -> list[bytes]:
    """A body as PAYLOAD frames, the last with END. An empty body is one empty frame."""
    view = memoryview(body)
    starts = range(0, len(body), MAX_PAYLOAD) if body else [0]
    return [
        encode(
            Kind.PAYLOAD,
            bytes(view[start : start + MAX_PAYLOAD]),
            stream=stream,
            end=start + MAX_PAYLOAD >= len(body),
        )
        for start in starts
    ]


def encode_log(line: bytes, source: LogSource, *, timestamp_us: int, stream: int) -> bytes:
    """A log line, or several of standard output or error with newlines between (at most `MAX_PAYLOAD` less the header; longer ones are cut) as one frame."""
    head = LOG_HEADER.pack(timestamp_us, source)
    return encode(Kind.LOG, head + line[: MAX_PAYLOAD - len(head)], stream=stream)


def decode_log(payload: bytes) -> tuple[int, LogSource, bytes]:
    """Timestamp in microseconds since the epoch (guest clock), source and line of a LOG frame."""
    try:
        timestamp_us, source = LOG_HEADER.unpack_from(payload)
        return timestamp_us, LogSource(source), payload[LOG_HEADER.size :]
    except (struct.error, ValueError) as error:
        raise WireError(f"malformed log frame: {error}") from error


class Decoder:
    """Bytes in, frames out. Holds at most one frame's bytes between calls.

    Starts in the unsynchronised state: bytes are dropped until `SYNC`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._synchronised = False

    def reset(self) -> None:
        """The other end went away: forget the half frame and wait for the next `SYNC`."""
        self._buffer.clear()
        self._synchronised = False

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Take bytes as they came; return the frames they complete. Raises `WireError`."""
        buffer = self._buffer
        buffer += data
        if not self._synchronised and not self._find_sync():
            return []
        frames: list[Frame] = []
        position = 0
        while len(buffer) - position >= HEADER.size:
            if buffer.startswith(SYNC, position):
                # The other end reconnected at a frame boundary, without our having seen an end of file.
                position += len(SYNC)
                continue
            magic, kind, flags, stream, length = HEADER.unpack_from(buffer, position)
            if magic != MAGIC:
                if SYNC.startswith(bytes(buffer[position : position + len(SYNC)])):
                    break
                raise WireError(f"bad frame magic {bytes(magic)!r}")
            if length > MAX_PAYLOAD:
                raise WireError(f"frame of {length} bytes exceeds {MAX_PAYLOAD}")
            if flags & ~END:
                raise WireError(f"unknown frame flags {flags:#x}")
            known = _KINDS.get(kind)
            if known is None:
                raise WireError(f"unknown frame kind {kind}")
            start = position + HEADER.size
            if len(buffer) < start + length:
                break
            frames.append(
                Frame(known, stream, bytes(buffer[start : start + length]), bool(flags & END))
            )
            position = start + length
        del buffer[:position]
        return frames

    def _find_sync(self) -> bool:
        found = self._buffer.find(SYNC)
        if found < 0:
            # Keep a tail that may be the beginning of SYNC.
            del self._buffer[: max(0, len(self._buffer) - len(SYNC) + 1)]
            return False
        del self._buffer[: found + len(SYNC)]
        self._synchronised = True
        return True


# A clone decodes its first message with code that an emulated processor has never seen, and every function on that way
# costs. So: one encoder and one decoder, without what json.dumps() and json.loads() do around them, and the fields by
# the class's annotations (strings, in this module) instead of dataclasses.fields().
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
_DECODE: Final = json.JSONDecoder().raw_decode


def _is(value: object, kind: str) -> bool:
    """Whether a JSON value has the type of a message's field: what comes from a guest is a stranger's word."""
    if kind.endswith(" | None"):
        return value is None or _is(value, kind.removesuffix(" | None"))
    if kind == "str":
        # JSON can spell half a surrogate pair, which no text that leaves us again can.
        return isinstance(value, str) and (value.isascii() or _is_unicode(value))
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "list[str]":
        return isinstance(value, list) and all(_is(item, "str") for item in value)
    if not isinstance(value, dict):
        return False
    items = kind.removeprefix("dict[str, ").removesuffix("]")
    return items == "Any" or all(_is(key, "str") and _is(value[key], items) for key in value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A control payload: a JSON object of the class's fields.

    Unknown fields are ignored, so that either end may be the newer one within one `PROTOCOL_VERSION`.
    """

    KIND: ClassVar[Kind]

    def encode(self, *, stream: int = MACHINE_STREAM, end: bool = False) -> bytes:
        """This message as one frame."""
        values = {name: getattr(self, name) for name in self.__annotations__}
        return encode(self.KIND, _ENCODE(values).encode(), stream=stream, end=end)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The message in a frame's payload. Raises `WireError`."""
        try:
            text = payload.decode().strip()
            data, end = _DECODE(text)
        except (ValueError, RecursionError) as error:
            raise WireError(f"{cls.__name__}: not JSON: {error}") from error
        if not isinstance(data, dict) or end != len(text):
            raise WireError(f"{cls.__name__}: not a JSON object")
        values: dict[str, Any] = {}
        for name, kind in cls.__annotations__.items():
            if name in data:
                values[name] = data[name]
                if not _is(data[name], kind):
                    raise WireError(f"{cls.__name__}: {name} is not {kind}")
        try:
            return cls(**values)
        except TypeError as error:
            raise WireError(f"{cls.__name__}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """First frame of both ends. The answer repeats the other end's nonce, which tells it from an old one."""

    KIND = Kind.HELLO
    version: int = PROTOCOL_VERSION
    role: str  # "host" | "guest"
    nonce: str
    software: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Init(Message):
    """Start the function's runtime. The code is on the second disk (/var/task, /opt)."""

    KIND = Kind.INIT
    function_name: str
    function_version: str
    handler: str
    runtime: str  # as the function names it
    memory_mib: int
    ephemeral_mib: int = 512
    timeout_s: int = 3
    initialization_type: str  # "snap-start" | "on-demand"
    environment: dict[str, str] = field(default_factory=dict)
    region: str = "us-east-1"
    log_format: str = "Text"
    log_level: str = ""  # for the runtime, with log_format JSON; "" for the runtime's own default
    log_group: str = ""
    log_stream: str = ""
    clock_ns: int
    entropy: str  # 64 bytes, hex
    hostname: str
    machine_id: str  # 32 hex digits
    boot_id: str  # a UUID
    credentials: dict[str, str] | None = None  # AccessKeyId, SecretAccessKey, Token, Expiration
    skip_fixers: list[str] = field(default_factory=list)  # names, or "*"
    limit_ms: int = 0  # that an on-demand init may take; 0: only the host limits it
    slow_down: int = 1  # of emulated processors: by this the function's processor time is divided before it counts
    trace: bool = (
        False  # `thaw check`: record what the function asks for, keeps and sends, from init on
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InitDone(Message):
    """An on-demand runtime asked for its first invocation. `counted_us` is the part of `limit_ms` that it took."""

    KIND = Kind.INIT_DONE
    duration_us: int
    counted_us: int = 0


INIT_TIMED_OUT: Final = "Sandbox.Timedout"
"""`InitFailed.error_type` of an init over its limit. What a runtime posts never has this form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitFailed(Message):
    """The runtime posted init/error, exited, or took longer than its limit (`INIT_TIMED_OUT`).

    `body` is the error JSON as the runtime posted it.
    """

    KIND = Kind.INIT_FAILED
    error_type: str
    message: str
    body: str = ""
    duration_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReady(Message):
    """Init and before-snapshot hooks are done, the user cgroup is frozen, the agent writes nothing more.

    `steps` are microseconds by name; `report` is what thaw_runtime said of its freeze(); `connections` are the far ends of
    the TCP connections that were shut (`10.0.0.5:5432`).
    """

    KIND = Kind.SNAPSHOT_READY
    duration_us: int
    steps: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    connections: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(Message):
    """First message to a clone: who it is and what makes it unique."""

    KIND = Kind.RESTORE
    generation: int
    clock_ns: int
    entropy: str  # 64 bytes, hex
    hostname: str
    machine_id: str
    boot_id: str
    credentials: dict[str, str] | None = None
    restore_limit_ms: int = 10_000
    reseed_kernel: bool = True  # False only in `thaw check`'s worst-case mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(Message):
    """The clone is ready. `steps`: microseconds of each of the agent's steps and of the runtime's hooks.

    `runtime_us` runs from answering restore/next to the first invocation/next (Billed Restore Duration). `clock_off_ms` is
    how far the clone's clock was behind when it woke.
    """

    KIND = Kind.RESTORED
    steps: dict[str, int] = field(default_factory=dict)
    runtime_us: int = 0
    clock_off_ms: int = 0
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFailed(Message):
    """A step of the restore failed, or an after-restore hook did (then `body` is the error JSON it posted)."""

    KIND = Kind.RESTORE_FAILED
    error_type: str
    message: str
    body: str = ""
    steps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke(Message):
    """One invocation; its event follows in PAYLOAD frames on the same stream."""

    KIND = Kind.INVOKE
    request_id: str
    deadline_ms: int  # since the epoch
    function_arn: str  # as invoked
    trace_id: str = ""
    client_context: str = ""
    cognito_identity: str = ""
    clock_ns: int = 0  # host wall clock; the guest steps its own if it is off


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    """The handler's response follows in PAYLOAD frames."""

    KIND = Kind.RESPONSE
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionError(Message):
    """The error body follows in PAYLOAD frames. `error_type` is the validated error-type header."""

    KIND = Kind.ERROR
    error_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Message):
    """The runtime asked for the next invocation. `duration_us`: from handing out the event to the posted response."""

    KIND = Kind.DONE
    duration_us: int
    max_memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(Message):
    """The runtime process ended; `reason` as Lambda words it, such as `exit status 1` or `signal: killed`."""

    KIND = Kind.EXITED
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    max_memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Message):
    """The agent failed in a way it cannot answer for. `message` is one line; `trace` is for the daemon's own log."""

    KIND = Kind.FAULT
    message: str
    trace: str = ""

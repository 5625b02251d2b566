"""The function's output as log entries: standard output and error line by line, the telemetry descriptor by frame."""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from . import wire
from .loop import READ, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from .channel import Channel

_FRAME: Final = struct.Struct(">IIQ")
_FRAME_MAGIC: Final = b"\xa5\x5a"
_JSON_TYPES: Final = frozenset({0x02, 0x0A, 0x0E, 0x12, 0x16, 0x1A})
_READ_BYTES: Final = 8 * 1024
"""In one turn of the loop: a thread that never stops printing must not keep the agent from anything else."""
_READS: Final = 8
"""Of one pipe when all of it is wanted: together what a pipe holds (pipe(7))."""
_REST_S: Final = 0.002
"""As long as a read of `_READ_BYTES` takes on an emulated processor: half of it is left to others, and a traceback of
megabytes is still read in a second."""
LONGEST: Final = wire.MAX_PAYLOAD - wire.LOG_HEADER.size
"""Bytes of one entry; what is longer comes as several."""

Entry: TypeAlias = tuple[wire.LogSource, int, bytes]
"""Source, microseconds since the epoch, text."""


class Reader(Protocol):
    """Bytes of one descriptor in, entries out."""

    def feed(self, data: bytes) -> list[Entry]:
        """Take bytes as they came; return the entries they complete."""

    def flush(self, *, final: bool) -> list[Entry]:
        """What is there without its end. `final`: nothing more will come."""


class Logs:
    """Reads the function's pipes and sends what it reads; stops reading while the channel is full."""

    def __init__(self, loop: Loop, channel: Channel, stream: Callable[[], int]) -> None:
        self._loop = loop
        self._channel = channel
        self._stream = stream
        self._pipes: dict[int, Reader] = {}
        self.gentle = False
        """Let a pipe rest after a full read: a thread that floods it blocks meanwhile, and others have the processor."""

    def add(self, descriptor: int, source: wire.LogSource) -> None:
        """Read this pipe from now on, and close it at its end."""
        os.set_blocking(descriptor, False)
        framed = source is wire.LogSource.TELEMETRY_TEXT
        self._pipes[descriptor] = Frames() if framed else Lines(source)
        self._watch(descriptor)

    def drain(self) -> None:
        """Send all that was written so far, also a last line without its end."""
        for descriptor in list(self._pipes):
            for _ in range(_READS):
                if not self._take(descriptor):
                    break
            reader = self._pipes.get(descriptor)
            if reader is not None:
                self._send(reader.flush(final=False))

    def _watch(self, descriptor: int) -> None:
        # A pipe may have come to its end while the channel was full.
        if descriptor in self._pipes:
            self._loop.watch(descriptor, READ, lambda _events: self._ready(descriptor))

    def _ready(self, descriptor: int) -> None:
        if self._channel.congested:
            # The host is slow: let the function block on its pipe rather than fill our memory.
            self._loop.forget(descriptor)
            self._channel.when_room(lambda: self._watch(descriptor))
            return
        if self._take(descriptor) and self.gentle:
            self._loop.forget(descriptor)
            self._loop.after(_REST_S, lambda: self._watch(descriptor))

    def _take(self, descriptor: int) -> bool:
        """Read once; False when there is nothing more now."""
        reader = self._pipes[descriptor]
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._send(reader.feed(data))
            return len(data) == _READ_BYTES
        self._send(reader.flush(final=True))
        del self._pipes[descriptor]
        self._loop.forget(descriptor)
        os.close(descriptor)
        return False

    def _send(self, entries: list[Entry]) -> None:
        if entries:
            stream = self._stream()
            # Joined: a pipe full of line ends is 65,536 entries, and each as a part of its own would take 300 bytes.
            self._channel.send(
                b"".join(
                    wire.encode_log(text, source, timestamp_us=timestamp_us, stream=stream)
                    for source, timestamp_us, text in entries
                )
            )


class Lines:
    """Lines of text, as many in one entry as came at once: a flood of short lines must not keep the agent busy.

    The time of a line is that of reading it.
    """

    def __init__(self, source: wire.LogSource) -> None:
        self._source = source
        self._rest = b""

    def feed(self, data: bytes) -> list[Entry]:
        """See `Reader`."""
        now = time.time_ns() // 1000
        lines, newline, rest = (self._rest + data).rpartition(b"\n")
        entries = [(self._source, now, piece) for piece in _pieces(lines)] if newline else []
        *full, self._rest = _pieces(rest)
        return entries + [(self._source, now, piece) for piece in full]

    def flush(self, *, final: bool) -> list[Entry]:  # noqa: ARG002 - a line may be cut at any time
        """See `Reader`."""
        rest, self._rest = self._rest, b""
        return [(self._source, time.time_ns() // 1000, rest)] if rest else []


class Frames:
    """What runtime interface clients write to `_LAMBDA_TELEMETRY_LOG_FD`.

    Big-endian type, length and microseconds, then one entry of any number of lines (awslambdaric,
    `FramedTelemetryLogSink`). The type tells text from JSON, and the level.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._source = wire.LogSource.TELEMETRY_TEXT
        self._timestamp_us = 0
        self._left = 0
        """Bytes still to come of the entry that is being read."""
        self._lines: Lines | None = None
        """Set once somebody wrote to the descriptor without framing: from then on it is shown as it is."""

    def feed(self, data: bytes) -> list[Entry]:
        """See `Reader`. An entry longer than a frame of ours goes on its way in pieces, as it comes."""
        if self._lines is not None:
            return self._lines.feed(data)
        entries: list[Entry] = []
        buffer = self._buffer
        buffer += data
        while True:
            if self._left == 0:
                if not _FRAME_MAGIC.startswith(bytes(buffer[: len(_FRAME_MAGIC)])):
                    self._lines = Lines(wire.LogSource.TELEMETRY_TEXT)
                    return entries + self._lines.feed(bytes(buffer))
                if len(buffer) < _FRAME.size:
                    return entries
                kind, self._left, self._timestamp_us = _FRAME.unpack_from(buffer)
                is_json = kind & 0xFF in _JSON_TYPES
                self._source = (
                    wire.LogSource.TELEMETRY_JSON if is_json else wire.LogSource.TELEMETRY_TEXT
                )
                del buffer[: _FRAME.size]
                continue
            take = min(self._left, LONGEST)
            if len(buffer) < take:
                return entries
            self._left -= take
            text = bytes(buffer[:take])
            del buffer[:take]
            entries.append(
                (self._source, self._timestamp_us, text if self._left else text.rstrip(b"\n"))
            )

    def flush(self, *, final: bool) -> list[Entry]:
        """See `Reader`. Half an entry is not cut before the end: its other half would be no entry."""
        if self._lines is not None:
            return self._lines.flush(final=final)
        if not final or not self._left:
            return []
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [(self._source, self._timestamp_us, rest)] if rest else []


def _pieces(line: bytes) -> list[bytes]:
    """A line in pieces of at most `LONGEST`; at least one, which may be empty."""
    if len(line) <= LONGEST:
        return [line]
    return [line[start : start + LONGEST] for start in range(0, len(line), LONGEST)]

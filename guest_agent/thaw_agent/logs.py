"""The function's output as log lines: standard output and error line by line, the telemetry descriptor by frame.

Framed logs are what the runtime interface clients write to `_LAMBDA_TELEMETRY_LOG_FD`: big-endian type, length and
microseconds, then one entry of any number of lines (awslambdaric, `FramedTelemetryLogSink`).
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Final

from . import wire
from .channel import Channel
from .loop import READ, Loop

_FRAME: Final = struct.Struct(">IIQ")
_FRAME_MAGIC: Final = 0xA55A0000
_JSON_TYPES: Final = frozenset({0x02, 0x0A, 0x0E, 0x12, 0x16, 0x1A})
_READ_BYTES: Final = 64 * 1024
_LONGEST: Final = wire.MAX_PAYLOAD - wire.LOG_HEADER.size
"""Bytes of one entry; what is longer comes as several."""


class Logs:
    """Reads the function's pipes and sends what it reads; stops reading while the channel is full."""

    def __init__(self, loop: Loop, channel: Channel, stream: Callable[[], int]) -> None:
        self._loop = loop
        self._channel = channel
        self._stream = stream
        self._pipes: list[Pipe] = []

    def add(self, descriptor: int, source: wire.LogSource) -> None:
        """Read this pipe from now on."""
        os.set_blocking(descriptor, False)
        framed = source is wire.LogSource.TELEMETRY_TEXT
        pipe = Pipe(descriptor, source, framed=framed)
        self._pipes.append(pipe)
        self._loop.watch(descriptor, READ, lambda _events: self._ready(pipe))

    def drain(self, *, flush: bool = False) -> None:
        """Send all that was written so far; with `flush` also a last line without its end."""
        for pipe in list(self._pipes):
            while self._take(pipe):
                pass
            if flush:
                self._send(pipe.flush())

    def _ready(self, pipe: Pipe) -> None:
        if self._channel.congested:
            # The host is slow: let the function block on its pipe rather than fill our memory.
            self._loop.forget(pipe.descriptor)
            self._channel.when_room(lambda: self._loop.watch(pipe.descriptor, READ, lambda _events: self._ready(pipe)))
            return
        self._take(pipe)

    def _take(self, pipe: Pipe) -> bool:
        """Read once; False when there is nothing more now."""
        try:
            data = os.read(pipe.descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._send(pipe.flush())
            self._loop.forget(pipe.descriptor)
            os.close(pipe.descriptor)
            self._pipes.remove(pipe)
            return False
        self._send(pipe.feed(data))
        return True

    def _send(self, entries: list[tuple[wire.LogSource, int, bytes]]) -> None:
        stream = self._stream()
        for source, timestamp_us, text in entries:
            self._channel.send(wire.encode_log(text, source, timestamp_us=timestamp_us, stream=stream))


class Pipe:
    """Bytes of one descriptor in, (source, microseconds, text) entries out."""

    def __init__(self, descriptor: int, source: wire.LogSource, *, framed: bool) -> None:
        self.descriptor = descriptor
        self._source = source
        self._framed = framed
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[wire.LogSource, int, bytes]]:
        """Take bytes; return the entries they complete."""
        self._buffer += data
        return self._frames() if self._framed else self._lines()

    def flush(self) -> list[tuple[wire.LogSource, int, bytes]]:
        """What is left without an end."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [(self._source, time.time_ns() // 1000, rest)] if rest else []

    def _lines(self) -> list[tuple[wire.LogSource, int, bytes]]:
        now = time.time_ns() // 1000
        *lines, rest = bytes(self._buffer).split(b"\n")
        while len(rest) > _LONGEST:
            lines.append(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        self._buffer = bytearray(rest)
        return [
            (self._source, now, line[start : start + _LONGEST])
            for line in lines
            for start in range(0, max(1, len(line)), _LONGEST)
        ]

    def _frames(self) -> list[tuple[wire.LogSource, int, bytes]]:
        entries: list[tuple[wire.LogSource, int, bytes]] = []
        buffer = self._buffer
        while len(buffer) >= _FRAME.size:
            kind, length, timestamp_us = _FRAME.unpack_from(buffer)
            if kind & 0xFFFF0000 != _FRAME_MAGIC:
                # Somebody wrote to the descriptor without framing: show it as it is.
                self._framed = False
                return entries + self._lines()
            if len(buffer) < _FRAME.size + length:
                break
            text = bytes(buffer[_FRAME.size : _FRAME.size + length]).rstrip(b"\n")
            del buffer[: _FRAME.size + length]
            json_form = kind & 0xFF in _JSON_TYPES
            source = wire.LogSource.TELEMETRY_JSON if json_form else wire.LogSource.TELEMETRY_TEXT
            entries += [
                (source, timestamp_us, text[start : start + _LONGEST])
                for start in range(0, max(1, len(text)), _LONGEST)
            ]
        return entries

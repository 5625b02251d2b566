"""The byte stream to the daemon: frames in, frames out, neither blocking the loop."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from . import __version__, wire
from .loop import READ, WRITE, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS: Final = "/sys/class/virtio-ports"
_READ_BYTES: Final = 64 * 1024
_SMALL: Final = 32 * 1024
"""Bytes; what Linux's virtio port driver takes in one write."""
_HIGH_WATER: Final = 1 << 20
"""Bytes waiting to be sent above which nobody should add more: a host that does not read must not fill our memory."""
_HOST_AWAY_S: Final = 0.002
"""A virtio port without a host reads as end of file at once, again and again; this is how often we look."""


def open_port(name: str = wire.PORT_NAME, *, deadline_s: float = 10.0) -> int:
    """Open the virtio-serial port of this name. Raises `FileNotFoundError` when the machine has none."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        for port in os.listdir(_PORTS) if os.path.isdir(_PORTS) else ():
            with open(f"{_PORTS}/{port}/name") as file:
                if file.read().strip() == name:
                    return os.open(f"/dev/{port}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        time.sleep(0.005)  # the driver is still probing; nothing else runs yet
    raise FileNotFoundError(f"no virtio-serial port named {name}")


class Channel:
    """Frames over one descriptor. HELLO is answered here; then `on_frame` gets it, as it gets every other frame.

    At the end of file a `persistent` descriptor (a virtio port) is read again until the host is back; with any other
    the loop is stopped.
    """

    def __init__(
        self,
        loop: Loop,
        descriptor: int,
        on_frame: Callable[[wire.Frame], None],
        *,
        persistent: bool = True,
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._on_frame = on_frame
        self._persistent = persistent
        self._decoder = wire.Decoder()
        self._out: deque[memoryview] = deque()
        self._waiting = 0
        self._on_room: list[Callable[[], None]] = []
        self._away = False
        os.set_blocking(descriptor, False)
        self._loop.watch(descriptor, READ, self._ready)

    @property
    def congested(self) -> bool:
        """More waits to be sent than should; see `when_room`."""
        return self._waiting > _HIGH_WATER

    def when_room(self, call: Callable[[], None]) -> None:
        """Call once when the queue is short again."""
        self._on_room.append(call)

    def send(self, *parts: bytes) -> None:
        """Send frames, now as far as the descriptor takes them, the rest when it does."""
        size = sum(map(len, parts))
        # One write for what is small: every write to a virtio port is an exit to the VMM.
        joined = [b"".join(parts)] if size <= _SMALL else parts
        self._out.extend(memoryview(part) for part in joined)
        self._waiting += size
        self._write()

    def flush(self, *, deadline_s: float) -> bool:
        """Block until everything has left; False when the host did not take it in time."""
        end = time.monotonic() + deadline_s
        while self._out and time.monotonic() < end:
            self._write()
            if self._out:
                time.sleep(0.001)  # nothing else may happen now: the next thing is the snapshot
        return not self._out

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._write()
        if events & ~WRITE:
            self._read()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""  # a socket's way of saying it
            if not data:
                self._host_away()
                return
            for frame in self._decoder.feed(data):
                if frame.kind is wire.Kind.HELLO:
                    self._greet(wire.Hello.decode(frame.payload))
                self._on_frame(frame)
            if len(data) < _READ_BYTES:
                return

    def _greet(self, hello: wire.Hello) -> None:
        answer = wire.Hello(role="guest", nonce=hello.nonce, software=f"thaw_agent {__version__}")
        self.send(wire.SYNC + answer.encode())

    def _host_away(self) -> None:
        # What is half read or half written will never be whole; the next host begins with SYNC.
        self._decoder.reset()
        self._loop.forget(self._descriptor)
        self._away = True
        if self._persistent:
            self._loop.after(_HOST_AWAY_S, self._look)
        else:
            self._loop.stop()

    def _look(self) -> None:
        self._away = False
        self._loop.watch(self._descriptor, READ, self._ready)
        self._write()
        self._read()

    def _write(self) -> None:
        while self._out:
            part = self._out[0]
            try:
                written = os.write(self._descriptor, part)
            except BlockingIOError:
                break
            except (BrokenPipeError, ConnectionResetError):
                # A socket whose other end has gone; a port without a host says EAGAIN instead.
                self._out.clear()
                self._waiting = 0
                break
            self._waiting -= written
            if written < len(part):
                self._out[0] = part[written:]
            else:
                self._out.popleft()
        if not self._away:
            self._loop.watch(self._descriptor, READ | WRITE if self._out else READ, self._ready)
        if self._on_room and not self.congested:
            calls, self._on_room = self._on_room, []
            for call in calls:
                call()

"""Two protocols of systemd: readiness notification (sd_notify(3)) and socket activation (sd_listen_fds(3)).

Both protocols are an environment variable and a few bytes, so no library is needed. Without systemd everything here
does nothing, and says so by its return value.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import MutableMapping

FIRST_FD: Final = 3
"""SD_LISTEN_FDS_START."""


@define(eq=False)
class Notifier:
    """Tells the service manager how the daemon is. Made by `from_environment`; a closed one says nothing.

    The variables are taken out of the environment, so that no child process (a VMM, say) speaks in our name.
    """

    _socket: socket.socket | None = None
    watchdog_interval_s: float | None = field(default=None)
    """How often `WATCHDOG=1` is due, half of what systemd waits; None when the unit has no watchdog."""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Take NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of `environ`."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        watchdog_pid = environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls()
        # A leading @ stands for the zero byte of an abstract address.
        path = "\0" + address[1:] if address.startswith("@") else address
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            return cls()
        connection.setblocking(False)
        interval = None
        if microseconds.isdigit() and watchdog_pid in {"", str(os.getpid())}:
            interval = int(microseconds) / 2 / 1e6
        return cls(connection, interval)

    def __bool__(self) -> bool:
        return self._socket is not None

    def send(self, *assignments: str) -> bool:
        """Send assignments such as `READY=1` in one datagram. False when nobody listens or the queue is full."""
        if self._socket is None:
            return False
        try:
            self._socket.send("\n".join(assignments).encode())
        except OSError:
            return False  # systemd is restarting or gone; the next message is another chance
        return True

    def ready(self, status: str = "") -> bool:
        """The daemon serves: every listener is open."""
        return self.send("READY=1", f"STATUS={status}" if status else "STATUS=Serving")

    def stopping(self, within_s: float) -> bool:
        """The daemon has begun to stop, which takes at most `within_s`: systemd waits so long, whatever the unit says."""
        return self.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}")

    async def watchdog(self) -> None:
        """Say `WATCHDOG=1` until cancelled; return at once without a watchdog.

        Owned by the daemon's outermost nursery: a loop that hangs, or a tree that ended, falls silent, and systemd
        restarts the service.
        """
        if self.watchdog_interval_s is None or self._socket is None:
            return
        while True:
            self.send("WATCHDOG=1")
            await trio.sleep(self.watchdog_interval_s)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def activated_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """Listening sockets systemd passed to this process, with their names (FileDescriptorName=, or "unknown").

    Takes LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES out of `environ`. The sockets are close-on-exec and non-blocking and
    belong to the caller. Empty when this process was not activated. Raises `OSError` when a descriptor is not a socket.
    """
    count = environ.pop("LISTEN_FDS", "")
    pid = environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    passed = []
    for index, fd in enumerate(range(FIRST_FD, FIRST_FD + int(count))):
        os.set_inheritable(fd, False)
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        passed.append((name, listener))
    return passed

"""The privileged operations of a guest: mounts, clock, random numbers, processes. The seam that tests replace.

Through ctypes, because the standard library has no mount(2), prctl(2) or pidfd_getfd(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import time
from typing import Final

_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_BIND: Final = 4096
_PR_SET_NO_NEW_PRIVS: Final = 38
_SYS_PIDFD_GETFD: Final = 438
_RNDADDENTROPY: Final = 0x40085203
_RNDRESEEDCRNG: Final = 0x5207
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def mount(source: str, target: str, kind: str, *, read_only: bool = False, options: str = "") -> None:
    """mount(2), always nosuid and nodev."""
    flags = _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if read_only else 0)
    arguments = [text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*arguments, flags, options.encode()), f"mount {kind} on {target}")


def bind(source: str, target: str) -> None:
    """A bind mount."""
    _check(_libc.mount(source.encode(), target.encode(), b"none", _MS_BIND, None), f"bind {source} on {target}")


def loopback_up() -> None:
    """Bring `lo` up; the kernel gives it 127.0.0.1 by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def set_clock(nanoseconds: int) -> None:
    """Step CLOCK_REALTIME."""
    time.clock_settime_ns(time.CLOCK_REALTIME, nanoseconds)


def add_entropy(data: bytes) -> None:
    """Make the kernel's generator another one than that of every other clone.

    RNDADDENTROPY puts the bytes into the input pool, RNDRESEEDCRNG makes the generator draw from it now. Either one
    alone leaves clones with identical output (measured on 6.1 and 6.12). Raises `OSError` when the kernel refuses.
    """
    descriptor = os.open("/dev/random", os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _RNDADDENTROPY, struct.pack("ii", len(data) * 8, len(data)) + data)
        fcntl.ioctl(descriptor, _RNDRESEEDCRNG)
    finally:
        os.close(descriptor)


def no_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS for this process and all it starts."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def foreign_descriptor(pidfd: int, number: int) -> int:
    """A copy of another process's descriptor (pidfd_getfd(2)). Raises `OSError`."""
    return _check(_libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0), "pidfd_getfd")


def write(path: str, text: str) -> None:
    """Write a small file in one go, as files in /proc, /sys and cgroups want it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    """A small file's text."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65536).decode()
    finally:
        os.close(descriptor)

"""What a guest's PID 1 may do and a test may not: mounts, clock, random numbers, other processes.

`System` is the seam: the agent does every privileged operation through one object of it, and tests give it another.
Through ctypes, because the standard library has no mount(2), prctl(2) or pidfd_getfd(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from .memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_PR_SET_NO_NEW_PRIVS: Final = 38
_SYS_PIDFD_GETFD: Final = 438
_RNDADDENTROPY: Final = 0x40085203
_RNDRESEEDCRNG: Final = 0x5207
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_IFF_UP: Final = 1
_READ_BYTES: Final = 16384
_LEAST_ENTROPY: Final = 32
"""Bytes; 256 bits are what the kernel's generator (ChaCha20) has for a key."""
_DESCRIPTORS: Final = 1024
_PROCESSES: Final = 742
_CORE_BYTES: Final = 10 << 30
_LOCKED_BYTES: Final = 64 << 10
_LIMITS: Final = (
    (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    (resource.RLIMIT_NPROC, _PROCESSES),
    (resource.RLIMIT_CORE, _CORE_BYTES),
    (resource.RLIMIT_MEMLOCK, _LOCKED_BYTES),
)
"""Lambda's limits, soft and hard, as seen in its environments."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


class System:
    """The kernel of the machine this process is PID 1 of. Every method raises `OSError` when the kernel refuses."""

    def path(self, path: str) -> str:
        """Where a path of the guest is. Here it is where it says."""
        return path

    def read(self, path: str) -> str:
        """A small file's text. Files in /proc come in pieces, so this reads until there is no more."""
        descriptor = os.open(self.path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = b""
            while piece := os.read(descriptor, _READ_BYTES):
                data += piece
        finally:
            os.close(descriptor)
        return data.decode()

    def write(self, path: str, text: str) -> None:
        """Write a small file in one go, as files in /proc, /sys and cgroups want it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(self.path(path), flags, 0o644)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def make_directory(self, path: str) -> None:
        """Make a directory and what leads to it, unless it is there."""
        os.makedirs(self.path(path), exist_ok=True)

    def mount(
        self, source: str, target: str, kind: str, *, read_only: bool = False, options: str = ""
    ) -> None:
        """Mount, always nosuid and nodev (mount(2))."""
        flags = _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if read_only else 0)
        names = [text.encode() for text in (source, target, kind)]
        _check(_libc.mount(*names, flags, options.encode()), f"mount {kind} on {target}")

    def bind(self, source: str, target: str, *, read_only: bool = False) -> None:
        """A bind mount. Being read-only is a second step: the first ignores every other flag (mount(2))."""
        names = [text.encode() for text in (source, target, "none")]
        _check(_libc.mount(*names, _MS_BIND, None), f"bind {source} on {target}")
        if read_only:
            flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
            _check(_libc.mount(*names, flags, None), f"make {target} read-only")

    def loopback_up(self) -> None:
        """Bring `lo` up; the kernel gives it 127.0.0.1 by itself."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))

    def loopback_address(self, address: str, number: int) -> None:
        """Give `lo` one more IPv4 address, its `number`th (netdevice(7): an alias is a name of its own)."""
        name = f"lo:{number}".encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            # The address alone: by its class the kernel would take all of 169.254/16 for this machine's own.
            for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
                packed = struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value))
                fcntl.ioctl(any_socket, request, packed)

    def set_clock(self, nanoseconds: int) -> None:
        """Step CLOCK_REALTIME."""
        time.clock_settime_ns(time.CLOCK_REALTIME, nanoseconds)

    def add_entropy(self, data: bytes) -> None:
        """Make the kernel's generator another one than that of every other clone.

        RNDADDENTROPY puts the bytes into the input pool, RNDRESEEDCRNG makes the generator draw from it now. Either
        one alone leaves clones with identical output (measured on 6.1 and 6.12). The second fails with ENODATA when
        the pool was never filled, so that both succeeding is the proof that the bytes count. Raises `ValueError` for
        too few bytes, which the kernel would take without a word.
        """
        if len(data) < _LEAST_ENTROPY:
            raise ValueError(f"{len(data)} bytes of entropy; at least {_LEAST_ENTROPY} are needed")
        descriptor = os.open("/dev/random", os.O_WRONLY | os.O_CLOEXEC)
        try:
            head = struct.pack("ii", len(data) * 8, len(data))
            fcntl.ioctl(descriptor, _RNDADDENTROPY, head + data)
            fcntl.ioctl(descriptor, _RNDRESEEDCRNG)
        finally:
            os.close(descriptor)

    def allow_descriptors(self, most: int) -> None:
        """Let this process have so many descriptors; what becomes the function's runtime gets fewer."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def set_hostname(self, name: str) -> None:
        """sethostname(2)."""
        socket.sethostname(name)

    def become(self, uid: int, gid: int) -> None:
        """Give up everything, for good: for the child that is to be the function's runtime."""
        for limit, value in _LIMITS:
            resource.setrlimit(limit, (value, value))
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    def memory_of(self, pid: int) -> Memory:
        """Another process's memory; the caller closes it."""
        return Memory(pid)

    def sockets_of(self, pid: int) -> Iterator[socket.socket]:
        """Copies of the sockets another process holds (pidfd_getfd(2)); each is closed when the next is asked for.

        What ends or closes meanwhile is left out: a process or a socket that is gone holds nothing.
        """
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            pidfd = os.pidfd_open(pid)
            try:
                for number in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(FileNotFoundError):
                        if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                            continue
                        what = f"pidfd_getfd of process {pid}"
                        copy = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(number), 0)
                        with socket.socket(fileno=_check(copy, what)) as ours:
                            yield ours
            finally:
                os.close(pidfd)

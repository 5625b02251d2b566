"""Shut down the function's TCP connections: their other ends knew the template, or nobody.

A pool that finds its connection at end of file opens another one at once; without this it would write into a dead
connection and wait. Connections to the agent itself stay, for the blocked `restore/next` must survive.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable

from .. import system


def shut(processes: Iterable[int], *, keep_port: int) -> int:
    """Shut every connected TCP socket of these processes but those to or from loopback's `keep_port`; how many."""
    if not _any_connection(keep_port):
        return 0
    count = 0
    for pid in processes:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                count += _shut_one(pid, pidfd, int(number), keep_port)
        finally:
            os.close(pidfd)
    return count


def _any_connection(keep_port: int) -> bool:
    """Whether the kernel knows a connection that is not the agent's own. The usual answer is no, and cheap."""
    kept = f":{keep_port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = system.read(table).splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            _, local, remote, state = line.split(None, 4)[:4]
            if state != "0A" and not local.endswith(kept) and not remote.endswith(kept):
                return True
    return False


def _shut_one(pid: int, pidfd: int, number: int, keep_port: int) -> int:
    try:
        if not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
            return 0
        copy = socket.socket(fileno=system.foreign_descriptor(pidfd, number))
    except OSError:
        return 0  # closed meanwhile
    with copy:
        if copy.family not in {socket.AF_INET, socket.AF_INET6} or copy.type != socket.SOCK_STREAM:
            return 0
        try:
            ports = {copy.getsockname()[1], copy.getpeername()[1]}
        except OSError:
            return 0  # listening, or not connected
        if keep_port in ports:
            return 0
        with contextlib.suppress(OSError):
            copy.shutdown(socket.SHUT_RDWR)
            return 1
    return 0

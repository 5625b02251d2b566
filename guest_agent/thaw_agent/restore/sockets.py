"""Shut down the function's TCP connections: their other ends knew the template, or nobody.

A pool that finds its connection at end of file opens another one at once; without this it would write into a dead
connection and wait. Connections to the agent itself stay, for the blocked `restore/next` must survive.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw_agent.system import System

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN: Final = 10
_CLOSED: Final = 7
"""States of a TCP socket (Linux, include/net/tcp_states.h), the first byte of TCP_INFO."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::ffff:127.0.0.1"})


def shut(system: System, processes: Iterable[int], *, api_port: int) -> int:
    """Shut the TCP connections of these processes, but those to 127.0.0.1's `api_port`; returns how many."""
    if not _any(system, api_port):
        return 0
    return sum(_shut(one, api_port) for pid in processes for one in system.sockets_of(pid))


def _any(system: System, api_port: int) -> bool:
    """Whether the kernel knows a connection that is not the agent's own. The usual answer is no, and cheap."""
    ours = f"0100007F:{api_port:04X}"  # as the tables have it; in tcp6 with what makes it a mapped address before it
    for table in _TABLES:
        try:
            lines = system.read(table).splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            _, local, remote, state, *_ = line.split(None, 4)
            if state != "0A" and not local.endswith(ours) and not remote.endswith(ours):
                return True
    return False


def _shut(one: socket.socket, api_port: int) -> bool:
    if one.family not in {socket.AF_INET, socket.AF_INET6} or one.type != socket.SOCK_STREAM:
        return False
    if one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in {_LISTEN, _CLOSED}:
        return False
    with contextlib.suppress(OSError):  # a connection still being made has no peer yet
        host, port = one.getpeername()[:2]
        if port == api_port and host in _LOOPBACK:
            return False
    with contextlib.suppress(OSError):  # ended meanwhile
        one.shutdown(socket.SHUT_RDWR)
    return True

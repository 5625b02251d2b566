"""Shut down the function's TCP connections before the snapshot: many clones cannot go on with one connection.

A pool that finds its connection at end of file opens another one at once; without this it would write into a dead
connection and wait. Connections to the agent itself stay, for the blocked `restore/next` must survive.

In the template and not in every clone: the function is frozen from here until the clone thaws it, so it cannot tell the
difference, and the other end hears of it while there still is one connection (in a clone under TCG this took 70 ms).
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from thaw_agent.addresses import API_HOST, KEYS_HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw_agent.system import System

_LISTEN: Final = 10
_CLOSED: Final = 7
"""States of a TCP socket (Linux, include/net/tcp_states.h), the first byte of TCP_INFO."""
_OURS: Final = frozenset({API_HOST, KEYS_HOST, f"::ffff:{API_HOST}", f"::ffff:{KEYS_HOST}"})


def shut(system: System, processes: Iterable[int], *, api_port: int) -> list[str]:
    """Shut the TCP connections of these processes, but those to the agent's `api_port`; returns their far ends."""
    ends = (_shut(one, api_port) for pid in processes for one in system.sockets_of(pid))
    return [end for end in ends if end is not None]


def _shut(one: socket.socket, api_port: int) -> str | None:
    if one.family not in {socket.AF_INET, socket.AF_INET6} or one.type != socket.SOCK_STREAM:
        return None
    with contextlib.suppress(OSError):  # of another protocol than TCP (MPTCP): shut too
        if one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in {_LISTEN, _CLOSED}:
            return None
    end = "not connected yet"
    with contextlib.suppress(OSError):  # a connection still being made has no peer yet
        host, port = one.getpeername()[:2]
        if port == api_port and host in _OURS:
            return None
        end = f"{host}:{port}"
    with contextlib.suppress(OSError):  # ended meanwhile
        one.shutdown(socket.SHUT_RDWR)
    return end

"""Sockets to listen on; one that cannot be had is told with its cause and the way out."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from thawd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def open_unix_listener(
    path: Path, *, mode: int = 0o660, backlog: int = 512
) -> Iterator[trio.SocketListener]:
    """A listener on a Unix socket at `path`, removed at the end.

    A socket file left by a daemon that died is replaced. Raises `ConfigError` when another process answers there, or
    the path cannot be bound.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Cannot make {path.parent}: {error.strerror or error}",
            hint="Choose another socket path in `listen`",
        ) from error
    if path.is_socket():
        _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            os.fchmod(
                sock.fileno(), mode
            )  # before bind, so that the file is never more open than this
            sock.bind(str(path))
            path.chmod(mode)  # bind applied the umask
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            raise ConfigError(
                f"Cannot listen on {path}: {error.strerror or error}",
                hint="Choose another socket path in `listen`",
            ) from error
        ours = path.stat()
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        finally:
            sock.close()
            with suppress(FileNotFoundError):
                if os.path.samestat(ours, path.stat()):
                    path.unlink()
    finally:
        sock.close()


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a full backlog: a daemon is there
                raise ConfigError(f"Cannot use {path}: {error.strerror}") from error
    raise ConfigError(
        f"Another daemon answers on {path}",
        hint="Stop it, or give this one another socket path in `listen`",
    )


async def open_tcp_listener(host: str, port: int) -> trio.SocketListener:
    """A listener on a literal address of this machine; the caller closes it.

    Raises `ConfigError` when the port is taken, or the address or TCP itself cannot be had.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        [listener] = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        hint = {
            errno.EADDRINUSE: (
                f"Stop the program that has the port (ss -ltnp sport = :{port}), or choose another port in `listen`"
            ),
            errno.EADDRNOTAVAIL: "Choose an address of this machine in `listen` (ip address)",
            errno.EACCES: "Choose a port from 1024 on in `listen`",
            errno.EAFNOSUPPORT: (
                "Under systemd's unit let the socket unit open the port, as systemd/README.md says under "
                '"Serve TCP too"; elsewhere choose an IPv4 address in `listen`'
            ),
        }.get(error.errno or 0, "Choose another address in `listen`")
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"Cannot listen on tcp:{place}: {reason}", hint=hint) from error
    return listener

"""A child process of the function, as the snapshot meets it: the other end of `children`.

It has fixers of its own from its first line, as the function has. A thread waits for the parent's word, freezes the
process at the first and renews it at the second. Between the two the process's other threads, its main thread among
them, stand at their next line (`gate`), and renew what is theirs alone when they go on.

Nothing is raised into the child's program: one that cannot take part does not connect, and is named in the report.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from _thread import start_new_thread
from functools import partial
from typing import Any

from thaw_runtime import plain
from thaw_runtime.children import DONE, FREEZE, LARGEST, THAW, VARIABLE
from thaw_runtime.draw import Draw
from thaw_runtime.gate import Gate
from thaw_runtime.registry import Registry


def join(invitation: str) -> None:
    """In a program that was started: set up fixers, and take part. Does nothing where the parent is past its freeze."""
    name, *skip = invitation.split()
    connection = _connect(name)
    if connection is None:
        return
    own = os.environ.get("THAW_SKIP_FIXERS", "").replace(",", " ").split()
    registry = Registry(skip=[*skip, *own])
    registry.start()
    os.register_at_fork(after_in_child=partial(forked, registry, name))
    _take_part(registry, connection)


def forked(registry: Registry, invitation: str) -> None:
    """In a forked child: take part with the parent's fixers, which the fork has copied in the middle of their work."""
    name = invitation.partition(" ")[0]
    if registry.frozen:
        return
    connection = _connect(name)
    if connection is not None:
        _take_part(registry, connection)


def _connect(name: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    try:
        connection.connect(f"\0{name}")
    except OSError:
        connection.close()
        return None
    connection.setblocking(True)
    return connection


def _take_part(registry: Registry, connection: socket.socket) -> None:
    start_new_thread(_Child(registry, connection).serve, ())


class _Child:
    """This process's part in one snapshot and its restores."""

    def __init__(self, registry: Registry, connection: socket.socket) -> None:
        self._registry = registry
        self._connection = connection
        self._gate = Gate()
        # A forked child has copies of its parent's hooks, which run in the parent.
        self._before, self._after = (len(hooks) for hooks in _hooks())

    def serve(self) -> None:
        """Both steps, each answered. Ends without a word where the parent has ended, or goes on without this child."""
        with self._connection:
            try:
                if self._connection.recv(LARGEST) != FREEZE:
                    return
                self._answer(self._freeze)
                said = self._connection.recv(LARGEST)
                if said.startswith(THAW):
                    self._answer(partial(self._thaw, said.removeprefix(THAW)))
            except OSError:
                pass
            finally:
                self._gate.open()

    def _answer(self, step: Any) -> None:
        try:
            step()
        except Exception as error:
            self._connection.send(plain.described(error).encode(errors="replace")[:LARGEST])
        else:
            self._connection.send(DONE)

    def _freeze(self) -> None:
        for function, args, kwargs in reversed(_hooks()[0][self._before :]):
            function(*args, **kwargs)
        gc.collect()
        self._registry.freeze()
        os.environ.pop(VARIABLE, None)
        gc.freeze()
        self._gate.close(per_thread=self._registry.per_thread)

    def _thaw(self, secret: bytes) -> None:
        draw = Draw(secret)
        self._registry.thaw(draw)
        renew = partial(self._registry.thaw_thread_or_end, draw)
        self._gate.open(renew if self._registry.per_thread else None)
        for function, args, kwargs in _hooks()[1][self._after :]:
            function(*args, **kwargs)


def _hooks() -> tuple[list[Any], list[Any]]:
    """Before the snapshot and after the restore, as AWS's package keeps them."""
    package = sys.modules.get("snapshot_restore_py")
    if package is None:
        return [], []
    return package.get_before_snapshot(), package.get_after_restore()

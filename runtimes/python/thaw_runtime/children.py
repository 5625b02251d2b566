"""The function's child processes: which live in the snapshot, who started them, and their renewal where they take part.

A clone has copies of them all, with the generators that they had. A Python child with this package in it takes part
(`child`): it finds the name of a socket among its variables, or inherits it in a fork, and connects. At freeze each is
asked to freeze itself, after the restore to renew itself, with bytes of its own, and to run its hooks. Every
child that lives is named in the report with the line that started it, since what it keeps is the same in every clone;
and of the others (a program that is not Python, or got an environment of its own) nothing at all is renewed.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from thaw_runtime import callsite, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from thaw_runtime.bundle import Bundle
    from thaw_runtime.draw import Draw

VARIABLE: Final = "THAW_PARENT"
"""Of a child: the name of the socket, and names of fixers to leave out."""
FREEZE: Final = b"freeze"
THAW: Final = b"thaw"
DONE: Final = b"done"
LARGEST: Final = 4096
"""Bytes of a message. An answer other than `DONE` says what went wrong."""
_STARTERS: Final = {
    "os": ("fork", "forkpty", "posix_spawn", "posix_spawnp"),
    "_posixsubprocess": ("fork_exec",),
}
_LONGEST_FREEZE_S: Final = 5.0
_LONGEST_THAW_S: Final = 8.0
"""Of the guest's time, for all children together: a restore may take 10 s."""
_BACKLOG: Final = 1024
_MOST_STARTED: Final = 65_536
_CREDENTIALS: Final = struct.Struct("iii")


class ChildFailed(Exception):
    """A child process took part in the snapshot and could not renew itself: this machine must be killed."""


class Process(NamedTuple):
    """One line of /proc: a process that is not a zombie."""

    pid: int
    parent: int
    name: str


class Children:
    """`start` early, `freeze` before the snapshot, `thaw` after the restore."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._places: dict[int, str] = {}
        self._originals: list[tuple[Any, str, Any]] = []
        self._listener: socket.socket | None = None
        self._taking_part: list[_Member] = []

    def start(self) -> None:
        """Watch who starts what."""
        for name, functions in _STARTERS.items():
            module = __import__(name)
            for function in functions:
                original = getattr(module, function, None)
                if original is not None:
                    self._originals.append((module, function, original))
                    setattr(module, function, _Tapped(original, self._saw))

    def invite(self, skip: Iterable[str]) -> str:
        """Let children take part, with these fixers left out. Returns what `child.join` takes."""
        name = f"thaw_runtime-{os.getpid()}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(f"\0{name}")
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        invitation = " ".join((name, *skip))
        os.environ[VARIABLE] = invitation
        return invitation

    def freeze(self) -> list[str]:
        """Ask those that take part to freeze. Returns what is to be said of each that lives."""
        self._untap()
        os.environ.pop(VARIABLE, None)
        members = {member.pid: member for member in self._accept()}
        living = descendants(os.getpid())
        asked = [members[each.pid] for each in living if each.pid in members]
        failures = _ask(asked, lambda _: FREEZE, _LONGEST_FREEZE_S)
        self._taking_part = [m for m in asked if m.pid not in failures]
        for member in members.values():
            if member not in self._taking_part:
                member.connection.close()
        renewed = {member.pid for member in self._taking_part}
        parents = {each.pid: each.parent for each in living}
        notes = [
            _note(each, self._place(each.pid, parents), each.pid in renewed, failures)
            for each in living
        ]
        self._places.clear()
        return list(dict.fromkeys(notes))

    def thaw(self, draw: Draw) -> None:
        """Renew them. Raises `ChildFailed`."""
        if not self._taking_part:
            return
        failures = _ask(self._taking_part, lambda _: THAW + draw(64), _LONGEST_THAW_S)
        for member in self._taking_part:
            member.connection.close()
        self._taking_part.clear()
        if failures:
            raise ChildFailed("; ".join(f"child process {p}: {w}" for p, w in failures.items()))

    def leave(self) -> None:
        """In a forked child: let go of its copy of the socket, which would answer when its parent's is closed."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _saw(self, pid: int, caller: FrameType) -> None:
        if len(self._places) < _MOST_STARTED:
            self._places[pid] = self._bundle.line_of(caller) or _outside(caller)

    def _untap(self) -> None:
        for module, function, original in self._originals:
            setattr(module, function, original)
            # `subprocess` has taken it by name.
            taken = plain.module_dict(plain.lookup(sys.modules, "subprocess"))
            if type(plain.lookup(taken, f"_{function}")) is _Tapped:
                setattr(sys.modules["subprocess"], f"_{function}", original)
        self._originals.clear()

    def _accept(self) -> Iterable[_Member]:
        if self._listener is None:
            return
        with self._listener:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except BlockingIOError:
                    break
                credentials = connection.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
                )
                yield _Member(_CREDENTIALS.unpack(credentials)[0], connection)
        self._listener = None

    def _place(self, pid: int, parents: dict[int, int]) -> str:
        """Where it was started, or the nearest of its parents that this process started."""
        while pid in parents and pid not in self._places:
            pid = parents[pid]
        return self._places.get(pid, "?")


class _Member(NamedTuple):
    pid: int
    connection: socket.socket


class _Tapped:
    """Stands where a function stood that starts a process."""

    def __init__(self, call: Callable[..., Any], saw: Callable[[int, FrameType], None]) -> None:
        self.__wrapped__ = call
        self.__name__ = self.__qualname__ = call.__name__
        self.__module__ = call.__module__
        self.__doc__ = call.__doc__
        self._saw = saw

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value = self.__wrapped__(*args, **kwargs)
        pid = value[0] if type(value) is tuple else value
        if pid:
            self._saw(pid, sys._getframe(1))
        return value


def descendants(pid: int) -> list[Process]:
    """The processes that this one started, and those that they did, in the order of their ids."""
    family: set[int] = {pid}
    found: list[Process] = []
    everybody = sorted(_processes())
    while True:
        more = [each for each in everybody if each.parent in family and each.pid not in family]
        if not more:
            return sorted(found)
        found += more
        family.update(each.pid for each in more)


def _processes() -> Iterable[Process]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                head, _, tail = file.read().rpartition(")")
        except OSError:  # ended meanwhile
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            yield Process(int(name), int(parent), head.partition("(")[2])


def _ask(
    members: Iterable[_Member], message: Callable[[_Member], bytes], longest_s: float
) -> dict[int, str]:
    """Ask all at once, and wait for all. Returns what went wrong, by process id."""
    failures: dict[int, str] = {}
    asked = []
    for member in members:
        try:
            member.connection.send(message(member))
            asked.append(member)
        except OSError as error:
            failures[member.pid] = plain.described(error)
    end = time.monotonic() + longest_s
    for member in asked:
        try:
            member.connection.settimeout(max(0.001, end - time.monotonic()))
            answer = member.connection.recv(LARGEST)
        except OSError as error:
            failures[member.pid] = plain.described(error)
            continue
        if answer != DONE:
            failures[member.pid] = plain.shown(answer.decode(errors="replace")) or "it has ended"
    return failures


def _note(process: Process, place: str, renewed: bool, failures: dict[int, str]) -> str:  # noqa: FBT001
    start = (
        f"a child process started at {place} ({plain.shown(process.name)}) lives on in every clone"
    )
    if renewed:
        return f"{start}: its generators are renewed, its hooks run, and values that it keeps are the same"
    why = failures.get(process.pid)
    return (
        f"{start}, and nothing in it is renewed"
        + (f" ({why})" if why else "")
        + ": start it in an after-restore hook"
    )


def _outside(frame: FrameType | None) -> str:
    """The nearest line that is not the standard library's."""
    library = os.path.dirname(os.__file__) + "/"
    here = frame
    while here is not None and (plain.text(here.f_code.co_filename) or "").startswith(
        (library, "<frozen ")
    ):
        here = here.f_back
    found = here or frame
    return callsite.location(found) if found is not None else "?"

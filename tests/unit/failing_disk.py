"""A disk that refuses: each write below a directory, and each change of a database in it, may fail.

`FailingDisk.patch` puts itself before the calls of `os`, `open()` and mkfs.erofs; `database()` before a connection. Reads
always work, so that what is seen afterwards is what is there.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

if TYPE_CHECKING:
    import pytest

_CHANGES: Final = {
    # Which arguments name what is changed.
    "write": (0,),
    "open": (0,),
    "fsync": (0,),
    "mkdir": (0,),
    "rmdir": (0,),
    "unlink": (0,),
    "rename": (0, 1),
    "replace": (0, 1),
    "symlink": (1,),
    "truncate": (0,),
    "ftruncate": (0,),
    "posix_fallocate": (0,),
    "chmod": (0,),
    "fchmod": (0,),
}
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

ERRORS: Final = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


@define(eq=False)
class FailingDisk:
    """Counts changes below `directory`; refuses those whose number is in one of `refused` (ranges)."""

    directory: Path
    refused: tuple[range, ...]
    error: int
    short: bool = False
    """Whether a write that is refused writes half of it, as a disk does that becomes full."""
    rolls_back: bool = False
    """Whether a database that refuses to commit has rolled back by itself."""
    armed: bool = False
    changes: int = 0
    refusals: int = 0
    _real: dict[str, Any] = field(factory=dict)

    def refuses(self) -> bool:
        """Count a change."""
        if not self.armed:
            return False
        number = self.changes
        self.changes += 1
        refused = any(number in numbers for numbers in self.refused)
        self.refusals += refused
        return refused

    def raised(self) -> OSError:
        """What the kernel would say."""
        return OSError(self.error, os.strerror(self.error))

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Put this before every call that changes files."""
        for name, places in _CHANGES.items():
            self._real[name] = getattr(os, name)
            patch.setattr(os, name, self._refusing(name, places))
        real_open, real_run = io.open, subprocess.run

        def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if not (set(mode) & set("wax+")) or not self._is_ours(file):
                return real_open(file, mode, *arguments, **named)
            if not isinstance(file, int) and self.refuses():
                raise self.raised()
            raw = _FailingFile(file, mode.replace("b", "").replace("t", ""), self)
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding="utf-8")

        def run(command: Any, *arguments: Any, **named: Any) -> Any:
            if self.refuses():
                reason = os.strerror(self.error)
                raise subprocess.CalledProcessError(1, command, stderr=f"<E> erofs: {reason}")
            return real_run(command, *arguments, **named)

        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        patch.setattr(subprocess, "run", run)

    def database(self, real: sqlite3.Connection) -> FailingDatabase:
        """A connection whose changes are refused too."""
        return FailingDatabase(real, self)

    def _refusing(self, name: str, places: tuple[int, ...]) -> Any:
        real = self._real[name]

        def call(*arguments: Any, **named: Any) -> Any:
            if not self.armed or (name == "open" and not arguments[1] & _WRITING):
                return real(*arguments, **named)
            folder = named.get("dir_fd")
            ours = any(self._is_ours(arguments[place]) for place in places)
            if (ours or (folder is not None and self._is_ours(folder))) and self.refuses():
                if name == "write" and self.short:
                    return real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise self.raised()
            return real(*arguments, **named)

        return call

    def _is_ours(self, file: Any) -> bool:
        """Whether a path or a descriptor is below the directory."""
        try:
            name = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else file
        except OSError:
            return False
        return os.fspath(name).startswith(f"{self.directory}/")


class _FailingFile(io.FileIO):
    def __init__(self, file: Any, mode: str, disk: FailingDisk) -> None:
        super().__init__(file, mode)
        self._disk = disk

    def write(self, data: Any) -> int:
        if self._disk.refuses():
            raise self._disk.raised()
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        if self._disk.refuses():
            raise self._disk.raised()
        return super().truncate(size)


@define(eq=False)
class FailingDatabase:
    """A SQLite connection on a failing disk."""

    _real: sqlite3.Connection
    _disk: FailingDisk

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not statement.lstrip().startswith("SELECT") and self._disk.refuses():
            full = self._disk.error in {errno.ENOSPC, errno.EDQUOT}
            if self._disk.rolls_back and self._real.in_transaction:
                self._real.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        return self._real.execute(statement, *values)

    def close(self) -> None:
        self._real.close()

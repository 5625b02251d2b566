"""Room kept free for the moment when the disk is full.

A full disk must not end what is under way. The catalog has to be able to say that a version could not be made, and a
machine that runs may need a page of its snapshot that was a hole until now. A reserve is a file of zeros. It is given up
when something finds no room, and laid in again once writing works.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from pathlib import Path

CATALOG_BYTES: Final = 256 * 1024
"""A change writes some five pages of 4 KiB to the log file, twice that when it is checkpointed."""
MACHINE_BYTES: Final = 64 << 20
"""What the clones of a few invocations touch of the holes in their snapshots: some 10 MiB each were seen on a file
system in memory. Others need no room for a hole that is read."""
_FULL_BYTES: Final = 8 << 20
"""A file system with less room than this is full."""
_SMALL: Final = 4
"""A reserve is laid in only where so many of it have room: a small disk is for what it is there for."""


@define
class Reserve:
    """The file at `path`, of `size` bytes. No method raises an `OSError`."""

    path: Path
    size: int
    _laid_in: bool = False

    def lay_in(self) -> None:
        """Take the room, if it is not held already."""
        if self._laid_in:
            return
        with suppress(OSError):
            if shutil.disk_usage(self.path.parent).free < _SMALL * self.size:
                return
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
                self._laid_in = True
            except OSError:
                self.path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def ease(self) -> None:
        """Give the room up if the disk is full: called before a machine runs, and takes a few microseconds."""
        if self._laid_in:
            with suppress(OSError):
                if shutil.disk_usage(self.path.parent).free < _FULL_BYTES:
                    self.give_up()

    def give_up(self) -> None:
        """Free the room."""
        self._laid_in = False
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

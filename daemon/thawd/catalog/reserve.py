"""A little room kept free beside the catalog, for the moment when the disk is full.

The catalog must be able to say that the disk is full: a version that could not be made has to become Failed then, and not
to stay Pending until room was made. The reserve is a file of zeros. It is given up when SQLite finds no room, and laid in
again once writing works.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from pathlib import Path

_BYTES: Final = 256 * 1024
"""A change writes some five pages of 4 KiB to the log file, twice that when it is checkpointed."""


@define
class Reserve:
    """The file at `path`. No method raises an `OSError`."""

    path: Path
    _laid_in: bool = False

    def lay_in(self) -> None:
        """Take the room, if it is not held already."""
        if self._laid_in:
            return
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _BYTES)
                self._laid_in = True
            except OSError:
                self.path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def give_up(self) -> None:
        """Free the room."""
        self._laid_in = False
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

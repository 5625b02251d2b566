"""Failures a caller can meet. Every message names the cause and the way out."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_room(path: Path) -> str:
    """The way out where the file system of this path is full."""
    return f"Make room on the file system of {path} (`df -h {path}`), and try again"


def is_no_room(error: BaseException | None) -> bool:
    """Whether an error says that a disk, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def room_on(path: Path, error: OSError) -> str:
    """The way out of an error that says that a disk is full; nothing for any other."""
    return make_room(path) if is_no_room(error) else ""


class ThawError(Exception):
    """Base of all errors this package raises on purpose.

    `hint` is the way out, shown to people after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ConfigError(ThawError):
    """The configuration file or a command-line setting cannot be used."""


class ImageError(ThawError):
    """A guest image is missing, damaged or cannot be built."""


class BundleError(ThawError):
    """A function's zip file cannot be used: too large, unsafe paths, not a zip."""


class PackageRefused(BundleError):
    """A deployment package that Lambda refuses too. `message` is Lambda's own, word for word; `hint` is ours."""


class EngineError(ThawError):
    """The virtual machine monitor is missing, failed to start, or refused a command."""


class MachineDied(EngineError):
    """A machine's process ended while something was expected of it."""


class SnapshotError(ThawError):
    """A snapshot is missing, damaged, or was made by another engine version."""


class GuestError(ThawError):
    """The agent in the guest broke the protocol, reported a fault or went silent."""


class CatalogError(ThawError):
    """The catalog refused a change (unknown function, state conflict, stale revision)."""


class StorageError(ThawError):
    """The file system refuses a write that is needed: it is full, read-only or broken."""


@contextmanager
def storing(what: str, directory: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` that names `what` (a noun phrase) and the way out."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{what} cannot be stored: {error}",
            hint=room_on(directory, error) or f"See `dmesg` and `findmnt -T {directory}`",
        ) from error


class DaemonUnreachable(ThawError):
    """No daemon answers on the socket."""

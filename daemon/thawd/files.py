"""Files that are complete or invisible, and whose content can be proved.

A file that the daemon keeps is written under another name, synced, and renamed. Files that it made itself carry a digest,
so that a later start can tell whether they are as they were written.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final

import structlog
import trio
from attrs import define, field

from .errors import EngineError, is_no_room, make_room

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from pathlib import Path

_log = structlog.get_logger()

_CHUNK: Final = 1 << 20
_FULL_BYTES: Final = 4 << 20
"""A file system with less room than this counts as full: a memory file needs more."""


class Damaged(Exception):
    """A file of the daemon's own says what the daemon never wrote: it was cut off, overwritten, or is another program's."""


@contextmanager
def reading_ours() -> Iterator[None]:
    """Whatever a damaged file makes of the code that reads it becomes `Damaged`; an `OSError` stays one.

    JSON of a thousand brackets is a RecursionError, an infinite number an OverflowError, a missing member a KeyError:
    each reader that lists them itself forgets one.
    """
    try:
        yield
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        ExceptionGroup,  # of cattrs: what does not fit a class
    ) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def remove_tree(path: Path) -> None:
    """Remove a directory that nothing refers to. A refusal of the file system is logged; the next start tries again."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        _log.warning("leftover.not_removed", path=str(path))


def sync(path: Path) -> None:
    """Make a file's content, or renames inside a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a small file: afterwards it has all its new bytes, or is as it was before. Raises `OSError`."""
    new = path.with_name(f".new-{secrets.token_hex(6)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor, for its mode
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)


def _data_extents(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that hold data, as (offset, length)."""
    descriptor, position = file.fileno(), 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end - start
        position = end


def digest_sparse(path: Path) -> str:
    """BLAKE2b-256 over size and data of a file, skipping holes. Raises `OSError`.

    Pages of zeroes count like holes, so that the digest does not depend on how a file system stores them.
    """
    digest = hashlib.blake2b(digest_size=32)
    zeroes = bytes(_CHUNK)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(size.to_bytes(8, "big"))
        done = 0
        for start, length in _data_extents(file, size):
            # Chunks lie on a grid of their own size, whatever the extents are.
            for offset in range(max(done, start - start % _CHUNK), start + length, _CHUNK):
                done = offset + _CHUNK
                file.seek(offset)
                chunk = file.read(_CHUNK)
                if chunk != zeroes[: len(chunk)]:
                    digest.update(offset.to_bytes(8, "big"))
                    digest.update(chunk)
    return digest.hexdigest()


@define(eq=False)
class Proven:
    """The files that this daemon has proved to be whole, so that each is read once and not at each use.

    `prove` runs a check once for each key; concurrent callers wait for the same check. After a check that failed the next
    caller runs it again.
    """

    _known: set[Hashable] = field(factory=set)
    _checking: dict[Hashable, trio.Lock] = field(factory=dict)

    async def prove(self, key: Hashable, check: Callable[[], None]) -> None:
        """Run `check` in a worker thread unless it has passed before. Raises what it raises."""
        if key in self._known:
            return
        lock = self._checking.setdefault(key, trio.Lock())
        try:
            async with lock:
                if key not in self._known:
                    await trio.to_thread.run_sync(check)
                    self._known.add(key)
        finally:
            if not lock.statistics().tasks_waiting:
                self._checking.pop(key, None)

    def add(self, key: Hashable) -> None:
        """This process has just written it."""
        self._known.add(key)

    def forget(self, key: Hashable) -> None:
        """It is gone, or was changed."""
        self._known.discard(key)


def is_full(path: Path) -> bool:
    """Whether the file system of an existing path has no room left for anything large."""
    try:
        return shutil.disk_usage(path).free < _FULL_BYTES
    except OSError:
        return False


def require_room(path: Path, needed: int) -> None:
    """Raise `EngineError` if the file system of an existing path has less room than what is about to be written."""
    with suppress(OSError):
        free = shutil.disk_usage(path).free
        if free < needed:
            raise EngineError(
                f"there is no space left on the file system of {path}: {free >> 20} MiB are free, and about "
                f"{needed >> 20} MiB are needed",
                hint=make_room(path),
            )


@contextmanager
def telling_a_full_disk(path: Path) -> Iterator[None]:
    """If the disk is full, raise an error that says so, in place of the errors that follow from it.

    The kernel kills a VMM whose memory file cannot grow, or its guest goes silent. Neither error would make a person look
    at the disk.
    """
    try:
        yield
    except (EngineError, OSError, trio.TooSlowError) as error:
        said = error if isinstance(error, OSError) else error.__cause__
        silent = not isinstance(error, OSError) and is_full(path)
        if not (silent or is_no_room(said)):
            raise
        raise EngineError(
            f"there is no space left on the file system of {path}", hint=make_room(path)
        ) from error

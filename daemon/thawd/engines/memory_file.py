"""Memory files: a guest's RAM on disk, sparse where the guest never wrote."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from pathlib import Path

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the blocks, copy on write. Btrfs and XFS have it."""
_NO_REFLINK: Final = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}
)
_NO_COPY_RANGE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


def create_memory_file(path: Path, size: int) -> None:
    """A new file of `size` bytes, all hole, that only its owner may read: memory holds secrets."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


async def copy_memory_file(source: Path, target: Path) -> None:
    """Copy a memory file, holes as holes, sharing blocks where the file system can.

    In a worker thread, for file I/O blocks; a cancelled caller waits for it, so that no thread writes into a
    directory that is being removed. Raises `OSError`.
    """
    await trio.to_thread.run_sync(_copy, source, target)


def _copy(source: Path, target: Path) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(reading).st_size
        create_memory_file(target, size)
        writing = os.open(target, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not _reflink(reading, writing):
                _copy_data(reading, writing, size)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _reflink(reading: int, writing: int) -> bool:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def _copy_data(reading: int, writing: int, size: int) -> None:
    position = 0
    while position < size:
        try:
            start = os.lseek(reading, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        position = os.lseek(reading, start, os.SEEK_HOLE)
        _copy_range(reading, writing, start, position)


def _copy_range(reading: int, writing: int, start: int, end: int) -> None:
    while start < end:
        try:
            copied = os.copy_file_range(reading, writing, end - start, start, start)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            copied = os.pwrite(writing, os.pread(reading, min(end - start, 1 << 20), start), start)
        if copied == 0:
            raise OSError(errno.EIO, "the memory file became shorter while it was copied")
        start += copied

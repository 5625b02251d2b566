"""The memory of another process: what of it is private and resident, and its bytes, to read and to write.

By way of /proc: `mem` needs no copy of whole mappings, `pagemap` tells which pages exist, so that a search neither reads
nor populates the gigabytes that a runtime only reserves.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = 4096
_PRESENT: Final = 1 << 63 | 1 << 62
"""Bits of an entry of /proc/PID/pagemap: the page is in memory, or swapped out."""
_CHUNK: Final = 8 << 20
"""Bytes that are read at once."""
_MAPPING: Final = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)")


class Mapping(NamedTuple):
    """One line of /proc/PID/maps."""

    start: int
    stop: int
    permissions: str
    path: str

    @property
    def private(self) -> bool:
        """Writable memory with no file behind it: heaps, arenas, stacks, large allocations."""
        return self.permissions.startswith("rw") and (
            not self.path or self.path == "[heap]" or self.path.startswith("[anon")
        )


class Memory:
    """One process's. Whoever made it closes it. Every method raises `OSError` when the process is gone."""

    def __init__(self, pid: int) -> None:
        self._folder = f"/proc/{pid}"
        self._memory = os.open(f"{self._folder}/mem", os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._memory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def mappings(self) -> list[Mapping]:
        """All mappings in the order of their addresses."""
        with open(f"{self._folder}/maps", "rb") as file:
            found = [match for line in file if (match := _MAPPING.match(line)) is not None]
        return [
            Mapping(int(one[1], 16), int(one[2], 16), one[3].decode(), os.fsdecode(one[5].strip()))
            for one in found
        ]

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Address and bytes of all private memory that is resident, a few MiB at a time."""
        pagemap = os.open(f"{self._folder}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for one in self.mappings():
                if one.private:
                    for start, stop in _resident(pagemap, one):
                        for base in range(start, stop, _CHUNK):
                            with contextlib.suppress(
                                OSError
                            ):  # a page that cannot be read, as the kernel's own
                                yield base, os.pread(self._memory, min(_CHUNK, stop - base), base)
        finally:
            os.close(pagemap)

    def read(self, address: int, size: int) -> bytes:
        """Bytes from this address on; fewer, or none, where no memory is."""
        try:
            return os.pread(self._memory, size, address)
        except (OSError, OverflowError):
            return b""

    def write(self, address: int, data: bytes) -> None:
        """Write all of it. Raises `OSError` where no memory is."""
        if os.pwrite(self._memory, data, address) != len(data):
            raise OSError(f"memory at {address:#x} could not be written whole")


def _resident(pagemap: int, one: Mapping) -> list[tuple[int, int]]:
    """The ranges of a mapping that have pages."""
    ranges: list[tuple[int, int]] = []
    for base in range(one.start, one.stop, _CHUNK * _PAGE // 8):
        pages = (min(base + _CHUNK * _PAGE // 8, one.stop) - base) // _PAGE
        entries = os.pread(pagemap, pages * 8, base // _PAGE * 8)
        if not any(entries):
            continue
        at = base
        for (entry,) in struct.iter_unpack("<Q", entries):
            if entry & _PRESENT:
                if ranges and ranges[-1][1] == at:
                    ranges[-1] = (ranges[-1][0], at + _PAGE)
                else:
                    ranges.append((at, at + _PAGE))
            at += _PAGE
    return ranges

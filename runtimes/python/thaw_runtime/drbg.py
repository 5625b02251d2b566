"""Random generators of OpenSSL copies that export nothing: found by their structure, made to reseed themselves.

A stripped or statically linked libcrypto has no RAND_add to call. But every one of OpenSSL 3's and 4's generators
(providers/implementations/rands/drbg_local.h, `struct prov_drbg_st`) holds, among its limits::

    unsigned int generate_counter, reseed_interval      reseed_interval is 256 (primary) or 65536 (the others)
    time_t       reseed_time
    time_t       reseed_time_interval                   3600 s (primary) or 420 s

Nothing else in a process looks like that, and before it in the structure stand pointers into the code of the very
copy it belongs to, which says which file, and so which version, it is. Writing 1 to `reseed_time` makes the
generator take entropy from the kernel before it gives out the next byte.
"""

from __future__ import annotations

import ctypes
import re
import struct
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from thaw_runtime import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INTERVALS_S: Final = (3600, 420)
_RESEED_INTERVALS: Final = (256, 65536)
_LONGEST_AGO_S: Final = 400 * 86_400
_POINTERS_BEFORE: Final = 0x180
"""Bytes before the counters in which the structure's function pointers stand (0x28 to 0x130 in 3.0 to 4.0)."""
_ENOUGH_POINTERS: Final = 3
_LARGEST_REGION: Final = 256 * 1024 * 1024
_SMALLEST_COPY: Final = 1_500_000
"""Bytes: a libcrypto with a DRBG has never been smaller than twice this."""
_BANNER_START: Final = b"OpenSSL "
_BANNER: Final = re.compile(rb"OpenSSL (\d+)\.(\d+)\.(\d+)[a-z0-9-]* +\d+ [A-Z][a-z]{2} 20\d\d")
KNOWN: Final = ((3, 0), (4, 0))
"""First and last OpenSSL version in which the structure was checked."""


class Generator(NamedTuple):
    """One DRBG in this process's memory."""

    address: int  # of reseed_time
    library: str


def versions(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Files that contain an OpenSSL of their own, with its major and minor version.

    Its banner stands among a library's constants, so only what is mapped read-only is searched, and that only in
    files that are neither the distribution's nor too small to hold one.
    """
    wanted = frozenset(path for path in paths if not native.is_system(path))
    constants: dict[str, list[tuple[int, int]]] = {}
    for region in native.mappings():
        if region.path in wanted and region.permissions.startswith("r--"):
            end = region.offset + region.stop - region.start
            constants.setdefault(region.path, []).append((region.offset, end))
    found: dict[str, tuple[int, int]] = {}
    for path, ranges in constants.items():
        banner = _find_banner(path, ranges)
        if banner is not None:
            found[path] = banner
    return found


def _find_banner(path: str, ranges: list[tuple[int, int]]) -> tuple[int, int] | None:
    import mmap

    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            if len(view) < _SMALLEST_COPY:
                return None
            for begin, end in ranges:
                # find() first: it is many times faster than the expression.
                start = view.find(_BANNER_START, begin, end)
                while start >= 0:
                    match = _BANNER.match(view, start)
                    if match is not None:
                        return int(match[1]), int(match[2])
                    start = view.find(_BANNER_START, start + 1, end)
    except (OSError, ValueError):
        pass  # deleted since it was mapped: what cannot be read cannot be judged
    return None


def find(libraries: Iterable[str]) -> list[Generator]:
    """Generators that belong to these files' code, in all anonymous writable memory of this process."""
    regions = native.mappings()
    owner = _code_owner(regions, frozenset(libraries))
    found: list[Generator] = []
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for region in regions:
            size = region.stop - region.start
            if not (
                region.anonymous and region.permissions.startswith("rw") and size <= _LARGEST_REGION
            ):
                continue
            try:
                memory.seek(region.start)
                data = memory.read(size)
            except OSError:
                continue  # guard pages, a mapping that went away
            found += [
                Generator(region.start + offset, library)
                for offset, library in _scan(data, owner, now_s=int(time.time()))
            ]
    return found


def poke(address: int) -> None:
    """Let the generator whose `reseed_time` is here reseed before its next output."""
    ctypes.c_int64.from_address(address).value = 1


def _scan(data: bytes, owner: Callable[[int], str | None], *, now_s: int) -> list[tuple[int, str]]:
    """Offsets of `reseed_time` in a region's bytes, with the file whose generator it is."""
    found: list[tuple[int, str]] = []
    for interval_s in _INTERVALS_S:
        # Its two low bytes are rare; the eight with their zeros would match slowly in memory that is mostly zeros.
        needle = interval_s.to_bytes(2, "little")
        at = data.find(needle)
        while at >= 0:
            if at % 8 == 0 and at >= 16 and data[at + 2 : at + 8] == b"\0" * 6:
                _counter, reseed_interval, reseed_time = struct.unpack_from("<IIq", data, at - 16)
                plausible = (
                    reseed_time == 0 or now_s - _LONGEST_AGO_S < reseed_time <= now_s + 86_400
                )
                if reseed_interval in _RESEED_INTERVALS and plausible:
                    library = _library_of(data, at - 16, owner)
                    if library is not None:
                        found.append((at - 8, library))
            at = data.find(needle, at + 1)
    return found


def _library_of(data: bytes, end: int, owner: Callable[[int], str | None]) -> str | None:
    start = max(0, end - _POINTERS_BEFORE)
    start += (end - start) % 8
    owners = [owner(word) for (word,) in struct.iter_unpack("<Q", data[start:end])]
    for library in dict.fromkeys(owners):
        if library is not None and owners.count(library) >= _ENOUGH_POINTERS:
            return library
    return None


def _code_owner(
    regions: list[native.Mapping], libraries: frozenset[str]
) -> Callable[[int], str | None]:
    code = [r for r in regions if "x" in r.permissions and r.path in libraries]
    starts = [region.start for region in code]

    def owner(address: int) -> str | None:
        index = bisect_right(starts, address) - 1
        return code[index].path if index >= 0 and address < code[index].stop else None

    return owner

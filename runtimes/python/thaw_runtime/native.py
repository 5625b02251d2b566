"""Native libraries in this process: their mappings, and functions found in them. For freeze only, never for thaw."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOADED_ALREADY: Final = os.RTLD_NOW | getattr(os, "RTLD_NOLOAD", 4)

_SYSTEM: Final = ("/lib/", "/lib64/", "/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/")


class Mapping(NamedTuple):
    """One line of /proc/self/maps."""

    start: int
    stop: int
    permissions: str
    offset: int
    inode: int
    path: str

    @property
    def anonymous(self) -> bool:
        """Memory with no file behind it: heap, arenas, large allocations."""
        return self.inode == 0 and (
            not self.path or self.path == "[heap]" or self.path.startswith("[anon")
        )


def mappings() -> list[Mapping]:
    """All of this process's mappings, in address order."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        return [parse_mapping(line) for line in lines]


def parse_mapping(line: str) -> Mapping:
    """One line of proc_pid_maps(5)."""
    addresses, permissions, offset, _device, inode, *path = line.rstrip("\n").split(None, 5)
    start, _, stop = addresses.partition("-")
    return Mapping(
        int(start, 16),
        int(stop, 16),
        permissions,
        int(offset, 16),
        int(inode),
        path[0] if path else "",
    )


def wiped_on_fork() -> list[Mapping]:
    """What the kernel would empty in a forked child (MADV_WIPEONFORK), where it can be written to.

    Without getrandom()'s own state in the C library, which is droppable (`dp`): the kernel's reseeding renews it.
    """
    with open("/proc/self/smaps", encoding="utf-8", errors="surrogateescape") as lines:
        return parse_wiped_on_fork(lines)


def parse_wiped_on_fork(lines: Iterable[str]) -> list[Mapping]:
    """The same of the lines of proc_pid_smaps(5)."""
    found: list[Mapping] = []
    header = ""
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "VmFlags":
            flags = rest.split()
            if "wf" in flags and "wr" in flags and "dp" not in flags:
                found.append(parse_mapping(header))
        elif "-" in name.split(" ", 1)[0]:
            header = line
    return found


def libraries() -> list[str]:
    """Files with executable mappings, each once."""
    paths = [m.path for m in mappings() if "x" in m.permissions and m.path.startswith("/")]
    return list(dict.fromkeys(paths))


def functions(name: str, paths: list[str]) -> dict[str, Any]:
    """Every distinct exported function of this name, by the file it was found through.

    Looked up library by library, since several copies of one library (the system's, each wheel's own) export the
    same name. A lookup also searches a library's dependencies, so the same address is met many times; libraries
    named after the function's home come first, so that the path tells which copy it is.
    """
    found: dict[str, Any] = {}
    addresses: set[int] = set()
    for path in sorted(paths, key=lambda path: "libcrypto" not in path and "libsqlite" not in path):
        try:
            function = getattr(ctypes.CDLL(path, mode=_LOADED_ALREADY), name)
        except (OSError, AttributeError):
            continue  # not loaded through the dynamic linker, deleted since, or without such a function
        address = ctypes.cast(function, ctypes.c_void_p).value
        if address is not None and address not in addresses:
            addresses.add(address)
            found[path] = function
    return found


def is_system(path: str) -> bool:
    """Is this file the distribution's or Python's own, and so known?"""
    return path.startswith((*_SYSTEM, os.path.dirname(os.__file__) + "/lib-dynload/"))

"""The initramfs: a cpio archive of the `newc` kind (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

Written here because cpio(1) would need a device node on disk, and making one needs root.
"""

from __future__ import annotations

import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIGN: Final = 4
_MOUNT_POINTS: Final = ("dev", "lower", "proc", "root", "sys", "upper")
"""What /init mounts on."""


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """An archive of these files (path -> permissions, content), the directories they need, and /dev/console."""
    directories = set(_MOUNT_POINTS)
    for name in files:
        directories.update(str(parent) for parent in PurePosixPath(name).parents[:-1])
    out = bytearray()
    for name in sorted(directories):  # the kernel makes no parents: they come first
        out += _entry(name, stat.S_IFDIR | 0o755, b"")
    out += _entry("dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))
    for name, (mode, data) in files.items():
        out += _entry(name, stat.S_IFREG | mode, data)
    out += _entry("TRAILER!!!", 0, b"")
    return bytes(out)


def _entry(name: str, mode: int, data: bytes, *, device: tuple[int, int] = (0, 0)) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device, special device, name length, checksum
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _pad(head + path) + _pad(data)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)

"""PID 1's duties before anything else: mounts, loopback, the files that identify a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .cgroup import ROOT
from .restore import identity

if TYPE_CHECKING:
    from .system import System

_MOUNTS = (
    # source, target, type, options
    ("cgroup2", ROOT, "cgroup2", ""),
    ("run", "/run", "tmpfs", "mode=0755,size=16m"),
    ("shm", "/dev/shm", "tmpfs", "mode=1777,size=64m"),
    ("devpts", "/dev/pts", "devpts", "mode=0620"),
)

_MOST_FILES: Final = 1000


def set_up(system: System) -> None:
    """Bring the machine from the initramfs's hands to what the agent needs."""
    for source, target, kind, options in _MOUNTS:
        system.make_directory(target)
        if not os.path.ismount(system.path(target)):
            system.mount(source, target, kind, options=options)
    system.loopback_up()
    identity.prepare(system)


def mount_tmp(system: System, mebibytes: int) -> None:
    """/tmp of the configured size."""
    system.make_directory("/tmp")
    system.mount("tmp", "/tmp", "tmpfs", options=f"mode=1777,size={mebibytes}m")


def files_in_tmp(system: System) -> list[str]:
    """Names of files under /tmp, relative to it, sorted; at most `_MOST_FILES`."""
    root = system.path("/tmp")
    found: list[str] = []
    for folder, _, files in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files]
        if len(found) >= _MOST_FILES:
            break
    return sorted(found)[:_MOST_FILES]

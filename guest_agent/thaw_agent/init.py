"""PID 1's duties before anything else: mounts, loopback, the files that identify a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .addresses import API_HOST
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

_DESCRIPTORS: Final = 4096
"""For this process: four times the connections that its HTTP server takes."""
_SYSCTLS: Final = (
    # A user namespace would give the function every capability in it, and with them much more of the kernel to attack.
    ("user/max_user_namespaces", "0"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("dev/tty/ldisc_autoload", "0"),
    # A program that crashes may leave a core (RLIMIT_CORE is Lambda's), and nobody reads it: /tmp is memory.
    ("kernel/core_pattern", "/dev/null"),
)
"""Lambda's functions cannot make these calls either. What a kernel does not have, it need not be told."""
_MOST_FILES: Final = 1000
_MOST_FOLDERS: Final = 10_000


def set_up(system: System) -> None:
    """Bring the machine from the initramfs's hands to what the agent needs."""
    for source, target, kind, options in _MOUNTS:
        system.make_directory(target)
        if not os.path.ismount(system.path(target)):
            system.mount(source, target, kind, options=options)
    for name, value in _SYSCTLS:
        if os.path.exists(system.path(f"/proc/sys/{name}")):
            system.write(f"/proc/sys/{name}", value)
    system.allow_descriptors(_DESCRIPTORS)
    system.loopback_up()
    system.loopback_address(API_HOST, 1)
    identity.prepare(system)


def mount_tmp(system: System, mebibytes: int) -> None:
    """/tmp of the configured size."""
    system.make_directory("/tmp")
    system.mount("tmp", "/tmp", "tmpfs", options=f"mode=1777,size={mebibytes}m")


def files_in_tmp(system: System) -> list[str]:
    """Names of files under /tmp, relative to it, sorted; at most `_MOST_FILES`."""
    root = system.path("/tmp")
    found: list[str] = []
    for number, (folder, _, files) in enumerate(os.walk(root)):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files]
        if len(found) >= _MOST_FILES or number >= _MOST_FOLDERS:
            break
    return sorted(found)[:_MOST_FILES]

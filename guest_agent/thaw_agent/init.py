"""PID 1's duties before anything else: mounts, loopback, the files that identify a machine."""

from __future__ import annotations

import os

from . import system
from .cgroup import ROOT
from .restore import identity

_MOUNTS = (
    # source, target, type, options
    ("cgroup2", ROOT, "cgroup2", ""),
    ("run", "/run", "tmpfs", "mode=0755,size=16m"),
    ("shm", "/dev/shm", "tmpfs", "mode=1777,size=64m"),
    ("devpts", "/dev/pts", "devpts", "mode=0620"),
)


def set_up() -> None:
    """Bring the machine from the initramfs's hands to what the agent needs."""
    for source, target, kind, options in _MOUNTS:
        os.makedirs(target, exist_ok=True)
        system.mount(source, target, kind, options=options)
    system.loopback_up()
    identity.prepare()


def mount_tmp(mebibytes: int) -> None:
    """/tmp of the configured size."""
    os.makedirs("/tmp", exist_ok=True)
    system.mount("tmp", "/tmp", "tmpfs", options=f"mode=1777,size={mebibytes}m")

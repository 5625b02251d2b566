"""Host name, machine id, boot id: three files and a system call that must differ between clones."""

from __future__ import annotations

import os
import socket
from typing import Final

from .. import system

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_OUR_BOOT_ID: Final = "/run/thaw/boot_id"


def prepare() -> None:
    """Once, before the base snapshot: /proc's boot id cannot be written, so a file of ours is bound over it."""
    os.makedirs("/run/thaw", exist_ok=True)
    system.write(_OUR_BOOT_ID, system.read(_BOOT_ID))
    system.bind(_OUR_BOOT_ID, _BOOT_ID)


def assume(hostname: str, machine_id: str, boot_id: str) -> None:
    """Become this machine."""
    socket.sethostname(hostname)
    system.write("/etc/hostname", hostname + "\n")
    system.write("/etc/hosts", f"127.0.0.1 localhost {hostname}\n::1 localhost\n")
    system.write("/etc/machine-id", machine_id + "\n")
    system.write(_OUR_BOOT_ID, boot_id + "\n")

"""Host name, machine id, boot id: three files and a system call that must differ between clones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thaw_agent.system import System

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_OURS: Final = "/run/thaw"
_OUR_BOOT_ID: Final = f"{_OURS}/boot_id"


def prepare(system: System) -> None:
    """Once, before the base snapshot: /proc's boot id cannot be written, so a file of ours is bound over it."""
    system.make_directory(_OURS)
    system.write(_OUR_BOOT_ID, system.read(_BOOT_ID))
    system.bind(_OUR_BOOT_ID, _BOOT_ID)


def assume(system: System, *, hostname: str, machine_id: str, boot_id: str) -> None:
    """Become this machine."""
    system.set_hostname(hostname)
    system.write("/etc/hostname", f"{hostname}\n")
    system.write("/etc/hosts", f"127.0.0.1 localhost {hostname}\n::1 localhost\n")
    system.write("/etc/machine-id", f"{machine_id}\n")
    system.write(_OUR_BOOT_ID, f"{boot_id}\n")

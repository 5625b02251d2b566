"""QEMU's command lines, as pure functions.

A clone's command line must equal its snapshot's but for what is named in `Wiring`: the device state that is loaded
refers to every device by its place. Measured recipe and reasons for each option: ARCHITECTURE.md.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

from thaw_agent.wire import PORT_NAME
from thawd.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from thawd.engines.machine import MachineSpec

RECIPE: Final = 2
"""Raised whenever a change here makes old snapshots unfit for new command lines. Part of `Engine.identity`."""

SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""What QEMU's own system call filter denies. A binary built without it is not used."""

_KERNEL_OPTIONS: Final = (
    # quiet: every byte on the console is an exit to QEMU (68 us under nested KVM). A guest that panics or reboots
    # ends QEMU (-no-reboot), so a broken guest is a dead machine and not a silent one.
    "console=ttyS0 quiet panic=-1 reboot=t init_on_alloc=0 cryptomgr.notests rcupdate.rcu_expedited=1 "
    "audit=0 apparmor=0 selinux=0 lsm="
)
_TCG_KERNEL_OPTIONS: Final = (
    # Emulated code has no speculation to mitigate. tsc=reliable: the emulated TSC is the host's.
    # clearcpuid=cx16: QEMU 7.2 returns garbage flags from the kernel's CMPXCHG16B now and then, which panics in
    # kmalloc (seen in 1 of 4 boots under load). The kernel does without it; programs still see and may use it.
    "mitigations=off nopti nokaslr tsc=reliable no_timer_check clearcpuid=cx16"
)


class Platform(Enum):
    """The board and accelerator a machine runs on. The value is the engine's short name."""

    TCG = "qemu-tcg"
    """Emulation, everywhere. Board q35: with TCG, microvm sometimes hangs while it calibrates its clock."""
    KVM = "qemu-kvm"
    """Hardware virtualisation on the microvm board."""

    @property
    def binaries(self) -> tuple[str, ...]:
        """Programs that can run it, best first; Debian's package qemu-system-x86 has both.

        The small one starts in 18 ms instead of 32 ms, but knows nothing but KVM, and Debian 12's has no sandbox.
        """
        full = "qemu-system-x86_64"
        return (full,) if self is Platform.TCG else (f"{full}-microvm", full)

    @property
    def kernel_options(self) -> str:
        """What the engine tells every guest kernel."""
        return (
            f"{_KERNEL_OPTIONS} {_TCG_KERNEL_OPTIONS}" if self is Platform.TCG else _KERNEL_OPTIONS
        )

    def device(self, name: str) -> str:
        """Name of a virtio device on this board's bus."""
        return f"virtio-{name}-pci" if self is Platform.TCG else f"virtio-{name}-device"


@frozen(kw_only=True)
class Wiring:
    """What differs between a snapshot's machine and its clones.

    Descriptors are connected sockets that QEMU inherits: nothing to connect, so nothing to wait for and nothing left
    in the file system. `generation` is told to the kernel by the board (VMGENID), where the board can.
    """

    memory: Path
    memory_shared: bool
    memory_read_only: bool
    """Open the memory file for reading alone (QEMU 8.2 and newer; needs `memory_shared` false)."""
    code: Path
    monitor: int
    channel: int
    console: int
    generation: UUID
    incoming: bool


def quote(path: Path) -> str:
    """A path inside an option, where a comma separates (QEMU: doubled stands for itself)."""
    return str(path).replace(",", ",,")


def _board(platform: Platform, spec: MachineSpec) -> list[str]:
    if platform is Platform.TCG:
        # What the guest does not use costs start-up time. la57 off: a page walk less in emulation.
        unused = "smm=off,sata=off,usb=off,smbus=off,vmport=off"
        return [
            "-accel", "tcg,thread=multi,tb-size=64",
            "-M", f"q35,{unused},memory-backend=ram",
            "-cpu", "max,-la57",
            "-smp", str(spec.vcpus),
        ]  # fmt: skip
    return [
        "-accel", "kvm",
        # Without a real-time clock the kernel waits for it for four seconds.
        "-M", "microvm,rtc=on,memory-backend=ram",
        "-cpu", "host",
        "-smp", str(spec.vcpus),
    ]  # fmt: skip


def _memory(spec: MachineSpec, wiring: Wiring) -> list[str]:
    backend = f"memory-backend-file,id=ram,size={spec.memory_mib}M,mem-path={quote(wiring.memory)}"
    backend += ",share=on" if wiring.memory_shared else ",share=off"
    if wiring.memory_read_only:
        backend += ",readonly=on,rom=off"
    return ["-m", str(spec.memory_mib), "-object", backend]


def _disk(platform: Platform, name: str, path: Path) -> list[str]:
    return [
        "-blockdev", f"driver=file,node-name={name},read-only=on,filename={quote(path)}",
        "-device", f"{platform.device('blk')},drive={name},serial={name}",
    ]  # fmt: skip


def command_line(binary: Path, platform: Platform, spec: MachineSpec, wiring: Wiring) -> list[str]:
    """The whole command line of a machine. Raises `EngineError` for what this engine cannot give it."""
    if spec.network is not None:
        raise EngineError(
            "machines have no network card yet", hint="Leave the machine's network unset"
        )
    append = f"{platform.kernel_options} {spec.command_line}".rstrip()
    command = [
        str(binary),
        *("-nodefaults", "-no-user-config", "-nographic", "-no-reboot"),
        *("-sandbox", SANDBOX),
        *_board(platform, spec),
        *_memory(spec, wiring),
        *("-kernel", str(spec.kernel), "-initrd", str(spec.initrd), "-append", append),
        *("-chardev", f"socket,id=console,fd={wiring.console}", "-serial", "chardev:console"),
        *_disk(platform, "root", spec.root),
        *_disk(platform, "code", wiring.code),
        *("-device", f"{platform.device('serial')},max_ports=2"),
        *("-chardev", f"socket,id=agent,fd={wiring.channel}"),
        *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
        *("-chardev", f"socket,id=qmp,fd={wiring.monitor}", "-mon", "chardev=qmp,mode=control"),
    ]
    if platform is Platform.TCG:
        # The microvm board accepts the device, but shows the guest nothing of it.
        command += ["-device", f"vmgenid,guid={wiring.generation}"]
    if wiring.incoming:
        command += ["-incoming", "defer", "-S"]
    return command

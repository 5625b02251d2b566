"""QEMU's command lines, as pure functions.

A clone's command line must equal its snapshot's but for what is named in `Wiring`: the device state that is loaded
refers to every device by its place. The reason for each option stands beside it; times are of QEMU 10 and a guest with
Linux 6.12, by emulation unless said.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

from thaw_agent.wire import PORT_NAME

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from thawd.engines.machine import MachineSpec

RECIPE: Final = 3
"""Raised whenever a change here makes old snapshots unfit for new command lines. Part of `Engine.identity`."""

SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""What QEMU's own system call filter denies. A binary built without it is not used."""

_KERNEL_OPTIONS: Final = (
    "console=ttyS0",  # for the console's tail in error messages
    "quiet",  # every byte on the console is an exit to QEMU (68 us under nested KVM)
    # A fault in the kernel ends the machine. Else it ends the one thread that met it, and the others wait for that
    # thread for ever.
    "oops=panic",
    "panic=-1",  # reboot at once: with -no-reboot a broken guest is a dead machine and not a silent one
    "reboot=t",  # by a triple fault, which needs no device and no firmware
    "init_on_alloc=0",  # zeroing pages before their use costs time, and room in the snapshot
    "cryptomgr.notests",  # no self-tests of algorithms while it boots
    "rcupdate.rcu_expedited=1",  # do not wait long for other processors, of which there are none or few
    "audit=0",  # nobody reads it
    "apparmor=0",  # the machine is the boundary: no security module to set up, these three
    "selinux=0",
    "lsm=",
)
_TCG_KERNEL_OPTIONS: Final = (
    "mitigations=off",  # emulated code does not speculate, so there is nothing to mitigate
    "nopti",
    "nokaslr",  # moving the kernel to a random place takes time
    "tsc=reliable",  # the emulated TSC is the host's: no watchdog need compare it with other clocks
    "no_timer_check",  # nor must the timer's interrupt be tried while it boots
    # QEMU 7.2 returns garbage flags from the kernel's CMPXCHG16B now and then, which panics in kmalloc (seen in 1 of 4
    # boots under load). The kernel does without it; programs still see and may use it.
    "clearcpuid=cx16",
)


class Platform(Enum):
    """The board and accelerator a machine runs on. The value is the engine's short name."""

    TCG = "qemu-tcg"
    """Emulation, everywhere. Board q35: with TCG, microvm sometimes hangs while it calibrates its clock."""
    KVM = "qemu-kvm"
    """Hardware virtualisation on the microvm board."""

    @property
    def emulated(self) -> bool:
        """Whether the guest's processor is software."""
        return self is Platform.TCG

    @property
    def shows_generation(self) -> bool:
        """Whether the board shows the guest its generation id. microvm accepts the device and shows nothing of it."""
        return self is Platform.TCG

    @property
    def binaries(self) -> tuple[str, ...]:
        """Programs that can run it, best first; Debian's package qemu-system-x86 has both.

        The small one starts in 18 ms instead of 32 ms, but knows nothing but KVM, and Debian 12's has no sandbox.
        """
        full = "qemu-system-x86_64"
        return (full,) if self is Platform.TCG else (f"{full}-microvm", full)

    @property
    def kernel_options(self) -> str:
        """The engine's options for every guest kernel."""
        more = _TCG_KERNEL_OPTIONS if self is Platform.TCG else ()
        return " ".join((*_KERNEL_OPTIONS, *more))

    def device(self, name: str) -> str:
        """Name of a virtio device on this board's bus."""
        return f"virtio-{name}-pci" if self is Platform.TCG else f"virtio-{name}-device"


@frozen(kw_only=True)
class Wiring:
    """The differences between a snapshot's machine and its clones.

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
        return [
            # A host thread a processor. 64 MiB for translated code: 32 MiB made a boot 15 % slower, more changed nothing.
            "-accel", "tcg,thread=multi,tb-size=64",
            # Devices that the guest does not use would cost 2 ms of each start.
            # memory-backend names the object that is the guest's RAM (`_memory`).
            "-M", "q35,smm=off,sata=off,usb=off,smbus=off,vmport=off,memory-backend=ram",
            # Without five-level paging each page walk in emulation is a step shorter. SMAP must be off: when a program
            # executes IRET, as .NET 8 does after every exception, QEMU 7.2 reads its stack as the kernel, which SMAP forbids.
            # Its gain, one more guard within the guest's kernel, is small where the machine is the boundary.
            "-cpu", "max,-la57,-smap",
            "-smp", str(spec.vcpus),
        ]  # fmt: skip
    return [
        "-accel", "kvm",
        # Without a real-time clock the kernel waits for it for seconds.
        "-M", "microvm,rtc=on,memory-backend=ram",
        # All that the host's processor has; a snapshot is restored on the same model only (`Engine.identity`).
        "-cpu", "host",
        "-smp", str(spec.vcpus),
    ]  # fmt: skip


def _memory(spec: MachineSpec, wiring: Wiring) -> list[str]:
    # A file, so that a snapshot need not write the memory. Shared: the guest's writes go to the file. Not shared: a
    # clone's writes stay its own, and pages that are only read exist once for all clones (loading takes 1.5 ms instead of
    # 43, whatever the size).
    backend = f"memory-backend-file,id=ram,size={spec.memory_mib}M,mem-path={quote(wiring.memory)}"
    backend += ",share=on" if wiring.memory_shared else ",share=off"
    if wiring.memory_read_only:
        backend += ",readonly=on,rom=off"
    return ["-m", str(spec.memory_mib), "-object", backend]


def _disk(platform: Platform, name: str, path: Path) -> list[str]:
    return [
        # Read-only all through: any number of machines may open one file, and none needs a lock on it.
        "-blockdev", f"driver=file,node-name={name},read-only=on,filename={quote(path)}",
        "-device", f"{platform.device('blk')},drive={name},serial={name}",
    ]  # fmt: skip


def command_line(binary: Path, platform: Platform, spec: MachineSpec, wiring: Wiring) -> list[str]:
    """The whole command line of a machine."""
    append = f"{platform.kernel_options} {spec.command_line}".rstrip()
    command = [
        str(binary),
        "-nodefaults",  # no network card, disk drive or screen that was not asked for
        "-no-user-config",  # nor what the host's configuration of QEMU says
        "-nographic",
        "-no-reboot",  # end when the guest reboots, which is what it does when it panics
        *("-sandbox", SANDBOX),
        *_board(platform, spec),
        *_memory(spec, wiring),
        # The kernel is an ELF file: QEMU enters it directly (PVH) and nothing is unpacked, which saves 1.2 s of a boot.
        *("-kernel", str(spec.kernel), "-initrd", str(spec.initrd), "-append", append),
        *("-chardev", f"socket,id=console,fd={wiring.console}", "-serial", "chardev:console"),
        *_disk(platform, "root", spec.root),
        *_disk(platform, "code", wiring.code),
        # A virtio port for the agent. vsock devices of QEMU cannot be migrated, so no snapshot could hold them, and a
        # virtio console is a terminal, which hangs on 6 MiB. Of two ports the first is reserved for a console.
        *("-device", f"{platform.device('serial')},max_ports=2"),
        *("-chardev", f"socket,id=agent,fd={wiring.channel}"),
        *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
        *("-chardev", f"socket,id=qmp,fd={wiring.monitor}", "-mon", "chardev=qmp,mode=control"),
    ]
    if platform.shows_generation:
        command += ["-device", f"vmgenid,guid={wiring.generation}"]
    if wiring.incoming:
        # Wait to be told what to load (`x-ignore-shared` must be set before), and stay paused afterwards.
        command += ["-incoming", "defer", "-S"]
    return command

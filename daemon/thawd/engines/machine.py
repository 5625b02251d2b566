"""The interface between thawd and whatever runs microVMs, small and the same for every engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path  # noqa: TC003  manifests are turned into these classes at run time
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    import trio

CODE_DISK_BYTES: Final = 1 << 30
"""Every code disk is padded (sparse) to this size: the guest learnt the size of its second disk when the base
snapshot was made, so every disk that is put there afterwards must have it."""


@frozen(kw_only=True)
class NetworkCard:
    """Place of the network card that a later version gives a machine. Guests have loopback only for now."""

    tap: str
    mac: str


@frozen(kw_only=True)
class MachineSpec:
    """What a machine is made of. Everything that must be equal in a snapshot and its clones.

    `memory_mib` is the guest's RAM, not Lambda's MemorySize. Disks are read-only: `root` is the image's root file
    system (/dev/vda), `code` the function's code disk of `CODE_DISK_BYTES` (/dev/vdb), which may be another file of
    the same size at each restore.
    """

    kernel: Path
    initrd: Path
    root: Path
    code: Path
    memory_mib: int
    vcpus: int = 1
    command_line: str = ""
    network: NetworkCard | None = None


@frozen(kw_only=True)
class Snapshot:
    """A saved machine on disk: `memory` (RAM, never written again) and `state` (devices), both in `directory`.

    `engine` names engine, accelerator and version (`Engine.identity`): a snapshot is restored by the same only.
    """

    directory: Path
    spec: MachineSpec
    engine: str

    @property
    def memory(self) -> Path:
        """The memory file, `spec.memory_mib` long and sparse."""
        return self.directory / "memory"

    @property
    def state(self) -> Path:
        """The device state, some hundred KiB."""
        return self.directory / "state"


@frozen(kw_only=True)
class MachineStatistics:
    """Figures of one running machine; memory in bytes, `timings_ms` by step of its start."""

    pid: int
    resident_bytes: int
    proportional_bytes: int
    private_bytes: int
    cpu_s: float
    timings_ms: dict[str, float] = field(factory=dict)


class Machine(ABC):
    """One running microVM. Owned by the scope of `Engine.boot` or `Engine.restore`; gone when that ends."""

    spec: MachineSpec
    pid: int
    timings_ms: Mapping[str, float]
    """Milliseconds by step of its start: `copy_ms` (a private memory file), `spawn_ms`, `qmp_ms`, `load_ms`."""

    @abstractmethod
    def channel(self) -> trio.abc.Stream:
        """The byte stream to the guest agent, connected before the machine runs."""

    @abstractmethod
    async def pause(self) -> None:
        """Stop the virtual CPUs; takes about half a millisecond. Idempotent."""

    @abstractmethod
    async def resume(self) -> None:
        """Let the virtual CPUs run. Idempotent. The guest's clocks continue from where they stopped."""

    @abstractmethod
    async def snapshot(self, directory: Path) -> Snapshot:
        """Pause and save into `directory` (must exist, same file system as the machine's memory file).

        Needs a machine whose memory is its own (`boot`, or `restore(writable=True)`). Files are synced to disk.
        The machine stays paused and must be killed afterwards: its memory file now belongs to the snapshot.
        """

    @abstractmethod
    def kill(self) -> None:
        """End the VMM process at once. The scope's end waits for it and removes what it left."""

    @abstractmethod
    async def wait(self) -> int:
        """Wait for the end of the VMM process; returns its exit code, negative for a signal."""

    @abstractmethod
    def statistics(self) -> MachineStatistics:
        """Figures read now from /proc. Raises `MachineDied` when the process is gone."""

    @abstractmethod
    def console_tail(self) -> str:
        """The last few KiB the guest wrote to its serial console, for error messages."""


class Engine(ABC):
    """Starts machines."""

    name: str
    """Short name: `qemu-kvm`, `qemu-tcg`."""

    identity: str
    """Name, accelerator and version; equal identities can restore each other's snapshots."""

    @abstractmethod
    def check(self, snapshot: Snapshot) -> None:
        """Raise `SnapshotError` for a snapshot that this engine cannot restore, as far as a look at its files tells."""

    @abstractmethod
    def boot(self, spec: MachineSpec, *, scratch: Path) -> AbstractAsyncContextManager[Machine]:
        """A fresh machine, running, from kernel start. Its memory file lives in a new directory under `scratch`.

        Entering the scope returns as soon as the VMM runs and the channel is connected; the agent's HELLO comes
        when the guest is up. Raises `EngineError`.
        """

    @abstractmethod
    def restore(
        self,
        snapshot: Snapshot,
        *,
        code: Path | None = None,
        scratch: Path | None = None,
        generation: UUID | None = None,
    ) -> AbstractAsyncContextManager[Machine]:
        """A clone of `snapshot`, paused, channel connected.

        `code` replaces the code disk. With `scratch` the clone gets a private copy of the memory file in a new
        directory there and can be snapshotted itself; without, memory is copy-on-write of the snapshot's file.
        `generation` is the id by which the guest's kernel tells that it is another machine now; a new one unless given.
        Raises `EngineError`, `SnapshotError`.
        """

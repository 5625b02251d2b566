"""The interface between thawd and the engines that run microVMs: small, and the same for every engine."""

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

ANSWER_S: Final = 5.0
"""How long a VMM may take to answer a command: 0.6 ms on an idle host, 40 ms seen on a busy one. One that takes longer
does not answer at all (stopped, or stuck in its device model), and is killed so that its client learns of it."""


@frozen(kw_only=True)
class MachineSpec:
    """The parts of a machine that must be equal in a snapshot and its clones.

    What may differ between clones is an argument of `Engine.boot` and `Engine.restore`: the code disk, the generation.
    `memory_mib` is the guest's RAM, not Lambda's MemorySize. `root` is the image's root file system, read-only
    (/dev/vda).
    """

    kernel: Path
    initrd: Path
    root: Path
    memory_mib: int
    vcpus: int = 1
    command_line: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The image's files that a machine needs, at a restore too."""
        return self.kernel, self.initrd, self.root


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
    private_bytes: int
    cpu_s: float
    timings_ms: dict[str, float] = field(factory=dict)


@frozen(kw_only=True)
class Translations:
    """What an emulator has translated since the machine was handed out: how much code its guest ran for the first time.

    Unlike times it hardly depends on what else the host does. `flushed` says that the emulator threw its translations
    away meanwhile: `blocks` then counts only those made since, and measures nothing.
    """

    blocks: int
    flushed: bool


class Machine(ABC):
    """One running microVM. Owned by the scope of `Engine.boot` or `Engine.restore`; gone when that ends.

    No command waits for ever: a VMM that does not answer within `ANSWER_S`, or does not load or save within a longer
    limit, is killed. Every command raises `MachineDied` then, as for a VMM that ended by itself.
    """

    spec: MachineSpec
    pid: int
    timings_ms: Mapping[str, float]
    """Milliseconds by step of its start: `copy_ms` (a private memory file), `spawn_ms`, `connect_ms` (the VMM takes
    commands), `load_ms`. Which of them there are is the engine's to say."""

    @abstractmethod
    def channel(self) -> trio.abc.Stream:
        """The byte stream to the guest agent, to be used from now on.

        Data sent before the machine runs waits for it. An engine that can connect only to a running guest lets
        `send_all` and `receive_some` wait until then.
        """

    @abstractmethod
    async def pause(self) -> None:
        """Stop the virtual CPUs; takes about half a millisecond. Idempotent."""

    @abstractmethod
    async def resume(self) -> None:
        """Let the virtual CPUs run. Idempotent. The guest's clocks continue from where they stopped."""

    @abstractmethod
    async def snapshot(self, directory: Path) -> Snapshot:
        """Pause and save into `directory`, which must exist and lie on the file system of the machine's scratch.

        Needs a machine whose memory is its own: one that was booted, or restored with a `scratch` directory. Files
        are synced to disk. The machine stays paused and cannot run again: its memory belongs to the snapshot now.
        Raises `SnapshotError` when it cannot be written, and the machine can go on then; `EngineError`.
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

    async def translations(self) -> Translations | None:
        """How much guest code was translated, for benchmarks; None where the guest's processor is a real one.

        Takes about 2 ms. Raises `MachineDied`.
        """
        return None

    @abstractmethod
    def console_tail(self) -> str:
        """The last few KiB the guest wrote to its serial console, for error messages."""

    @abstractmethod
    async def last_words(self) -> str:
        """Why the guest's kernel gave up, in its own words; empty if it did not. For a machine whose channel ended.

        Waits for the VMM's end, so that all it said is there; for a second at most.
        """


class Engine(ABC):
    """Starts machines. A package of `thawd.engines` offers what it has in `OFFERS` (see `registry`)."""

    name: str
    """Short name, as in the configuration: `qemu-kvm`, `qemu-tcg`."""

    identity: str
    """Name, accelerator and version; equal identities can restore each other's snapshots."""

    emulated: bool
    """Whether the guest's processor is software: it works everywhere, 20 to 50 times slower than a real one."""

    renews_generation: bool
    """Whether a clone's kernel is told that it is another machine now (VMGENID) and reseeds its generator by itself.
    If not, the agent's RESTORE alone makes clones unique."""

    takes_generation: bool
    """Whether `generation` may be given to `restore`."""

    @abstractmethod
    def check(self, snapshot: Snapshot) -> None:
        """Raise `SnapshotError` for a snapshot that this engine cannot restore, as far as a look at its files tells."""

    @abstractmethod
    def boot(
        self, spec: MachineSpec, *, code: Path, scratch: Path
    ) -> AbstractAsyncContextManager[Machine]:
        """A fresh machine, running, from kernel start. Its memory lives in a new directory under `scratch`.

        `code` is the function's code disk, read-only, of `CODE_DISK_BYTES` (/dev/vdb). Entering the scope returns as
        soon as the VMM runs; the agent's HELLO comes when the guest is up. Raises `EngineError`.
        """

    @abstractmethod
    def restore(
        self,
        snapshot: Snapshot,
        *,
        code: Path,
        scratch: Path | None = None,
        generation: UUID | None = None,
    ) -> AbstractAsyncContextManager[Machine]:
        """A clone of `snapshot`, paused.

        `code` is its code disk: another file than the template's, maybe, but of the same size. With `scratch` the
        clone gets a private copy of the memory in a new directory there and can be snapshotted itself; without,
        memory is copy-on-write of the snapshot's file.
        `generation` is the id by which the guest's kernel tells that it is another machine now, where the engine
        `takes_generation`; a new one unless given. With its template's id a clone's kernel notices nothing.
        Raises `EngineError`, `SnapshotError`.
        """

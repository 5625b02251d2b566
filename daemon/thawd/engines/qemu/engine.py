"""QEMU as an `Engine`."""

from __future__ import annotations

import hashlib
import re
import subprocess
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp
from time import perf_counter
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import trio
from attrs import define

from thawd.engines.machine import Engine, Machine, MachineSpec, Snapshot
from thawd.engines.memory_file import copy_memory_file, create_memory_file
from thawd.engines.qemu.command import RECIPE, SANDBOX, Platform, Wiring, command_line
from thawd.engines.qemu.start import open_machine
from thawd.errors import EngineError, SnapshotError, room_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_VERSION: Final = re.compile(r"version (\d+\.\d+\.\d+(?: \(.*\))?)")
_MIB: Final = 1 << 20


def host_processor(cpuinfo: str, *, flags: bool) -> str:
    """The host's processor, as far as a snapshot depends on it.

    Its model, for the guest counts time in its TSC; with `flags` its features too, for a guest under KVM has chosen
    its code by them.
    """
    fields: dict[str, str] = dict(
        re.findall(r"^([\w ]+?)\s*: (.*)$", cpuinfo.partition("\n\n")[0], re.MULTILINE)
    )
    model = fields.get("model name", "unknown processor")
    if not flags:
        return model
    features = " ".join(sorted(fields.get("flags", "").split()))
    return f"{model} #{hashlib.sha256(features.encode()).hexdigest()[:8]}"


@define(eq=False, kw_only=True)
class QemuEngine(Engine):
    """Runs machines with one QEMU binary. Made by `find`.

    `runtime_directory` holds the records of running machines for `reap_orphans`; one daemon alone may use it.
    """

    platform: Platform
    binary: Path
    version: str
    runtime_directory: Path
    opens_read_only: bool
    """Whether this QEMU can map a memory file that it may only read (8.2 and newer)."""
    name: str
    identity: str
    emulated: bool
    renews_generation: bool
    takes_generation: bool = True
    """On a board that shows the guest nothing of it, every clone's kernel notices nothing, whatever is given."""

    @classmethod
    async def find(
        cls, platform: Platform, *, runtime_directory: Path, directory: Path | None = None
    ) -> QemuEngine:
        """The engine for a platform, of the binaries on PATH or in `directory`.

        Raises `EngineError` when there is none, or none that has QEMU's system call filter.
        """
        program, version = await _find_binary(platform, directory)
        options = await _output(program, "-object", "memory-backend-file,help")
        cpuinfo = Path("/proc/cpuinfo").read_text()
        processor = host_processor(cpuinfo, flags=platform is Platform.KVM)
        return cls(
            platform=platform,
            binary=program,
            version=version,
            runtime_directory=runtime_directory,
            opens_read_only="rom=" in options,
            name=platform.value,
            emulated=platform.emulated,
            renews_generation=platform.shows_generation,
            identity=f"{platform.value}, {program.name} {version}, recipe {RECIPE}, {processor}",
        )

    @asynccontextmanager
    async def boot(self, spec: MachineSpec, *, code: Path, scratch: Path) -> AsyncIterator[Machine]:
        """See `Engine`."""
        with _own_directory(scratch) as directory:
            memory = directory / "memory"
            create_memory_file(memory, spec.memory_mib * _MIB)
            async with self._machine(
                spec, code=code, memory=memory, own=True, state=None, timings_ms={}
            ) as machine:
                yield machine

    @asynccontextmanager
    async def restore(
        self,
        snapshot: Snapshot,
        *,
        code: Path,
        scratch: Path | None = None,
        generation: UUID | None = None,
    ) -> AsyncIterator[Machine]:
        """See `Engine`."""
        self.check(snapshot)
        if scratch is None:
            async with self._machine(
                snapshot.spec,
                code=code,
                memory=snapshot.memory,
                own=False,
                state=snapshot.state,
                generation=generation,
                timings_ms={},
            ) as machine:
                yield machine
            return
        with _own_directory(scratch) as directory:
            memory = directory / "memory"
            started = perf_counter()
            try:
                await copy_memory_file(snapshot.memory, memory)
            except OSError as error:
                raise EngineError(
                    f"cannot copy {snapshot.memory}: {error.strerror}",
                    hint=room_on(directory, error),
                ) from error
            timings_ms = {"copy_ms": round((perf_counter() - started) * 1e3, 2)}
            async with self._machine(
                snapshot.spec,
                code=code,
                memory=memory,
                own=True,
                state=snapshot.state,
                generation=generation,
                timings_ms=timings_ms,
            ) as machine:
                yield machine

    @asynccontextmanager
    async def _machine(
        self,
        spec: MachineSpec,
        *,
        code: Path,
        memory: Path,
        own: bool,
        state: Path | None,
        timings_ms: dict[str, float],
        generation: UUID | None = None,
    ) -> AsyncIterator[Machine]:
        def command(descriptors: dict[str, int]) -> list[str]:
            wiring = Wiring(
                memory=memory,
                memory_shared=own,
                memory_read_only=not own and self.opens_read_only,
                code=code,
                **descriptors,
                generation=generation or uuid4(),
                incoming=state is not None,
            )
            return command_line(self.binary, self.platform, spec, wiring)

        async with open_machine(
            command,
            spec=spec,
            engine=self.identity,
            version=self.version,
            runtime_directory=self.runtime_directory,
            memory=memory if own else None,
            state=state,
            # Older versions open a memory file for writing even to map it privately.
            memory_mode=0o400 if self.opens_read_only else 0o600,
            emulated=self.emulated,
            timings_ms=timings_ms,
        ) as machine:
            yield machine

    def check(self, snapshot: Snapshot) -> None:
        """See `Engine`."""
        if snapshot.engine != self.identity:
            raise SnapshotError(
                f"the snapshot in {snapshot.directory} was made by {snapshot.engine!r}, "
                f"and this host runs {self.identity!r}"
            )
        try:
            size = snapshot.memory.stat().st_size
            # Of the image too: a snapshot is of no use without the image that it was made with.
            for path in (snapshot.state, *snapshot.spec.files):
                path.stat()
        except OSError as error:
            raise SnapshotError(
                f"the snapshot in {snapshot.directory} is incomplete: {error}"
            ) from error
        if size != snapshot.spec.memory_mib * _MIB:
            raise SnapshotError(
                f"{snapshot.memory} has {size} bytes instead of {snapshot.spec.memory_mib} MiB"
            )


@contextmanager
def _own_directory(scratch: Path) -> Iterator[Path]:
    """A directory of one machine, gone with it."""
    try:
        directory = Path(mkdtemp(prefix="machine-", dir=scratch))
    except OSError as error:
        raise EngineError(f"cannot make a machine's directory in {scratch}: {error}") from error
    try:
        yield directory
    finally:
        rmtree(directory, ignore_errors=True)


async def _find_binary(platform: Platform, directory: Path | None) -> tuple[Path, str]:
    """The first binary that can be used, and its version as QMP will say it."""
    refused = ""
    for name in platform.binaries:
        found = which(str(directory / name) if directory else name)
        if found is None:
            continue
        program = Path(found)
        try:
            # QEMU takes options in order: without the filter it stops at the first.
            version_text = await _output(program, "-sandbox", SANDBOX, "-version")
        except EngineError as error:
            refused = error.message
            continue
        match = _VERSION.search(version_text)
        if match is None:
            raise EngineError(f"{program} -version is not QEMU's: {version_text[:100]!r}")
        return program, match[1]
    wanted = " or ".join(platform.binaries)
    if refused:
        raise EngineError(
            f"no {wanted} with a system call filter: {refused}", hint="Install a QEMU with seccomp"
        )
    raise EngineError(f"{wanted} was not found", hint="Install the package qemu-system-x86")


async def _output(program: Path, *arguments: str) -> str:
    try:
        result = await trio.run_process(
            [program, *arguments], capture_stdout=True, capture_stderr=True
        )
    except OSError as error:
        raise EngineError(f"{program} cannot be run: {error}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise EngineError(f"{program} {arguments[0]} failed: {said}") from error
    return result.stdout.decode(errors="replace")

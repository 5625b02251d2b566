"""An engine without a VMM, for tests of everything above engines. Implements the real interface; shipped to users.

The guest is a coroutine function of the test's. What it keeps in `FakeMachine.memory` (anything JSON can hold) is what
a snapshot saves and every clone gets its own copy of.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

import trio
import trio.testing
from attrs import define, field

from thawd.engines.console import last_words
from thawd.engines.machine import (
    ANSWER_S,
    Engine,
    Machine,
    MachineSpec,
    MachineStatistics,
    Snapshot,
    Translations,
)
from thawd.errors import EngineError, MachineDied, SnapshotError
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from uuid import UUID

_pids = count(
    4_000_001
)  # above the largest pid Linux gives out, so that no real process is ever meant

Step = Literal["boot", "restore", "pause", "resume", "snapshot"]
"""Steps that a test can make fail or wait."""


class _Cpu:
    """Lets the guest's coroutine go on while the machine runs."""

    def __init__(self, *, running: bool) -> None:
        self._may_run = trio.Event()
        if running:
            self._may_run.set()

    @property
    def running(self) -> bool:
        return self._may_run.is_set()

    def start(self) -> None:
        self._may_run.set()

    def stop(self) -> None:
        if self._may_run.is_set():
            self._may_run = trio.Event()

    async def until_running(self) -> None:
        while not self._may_run.is_set():
            await self._may_run.wait()


class _GuestPort(trio.abc.Stream):
    """The guest's end of the channel: stands still while the machine is paused."""

    def __init__(self, port: trio.abc.Stream, cpu: _Cpu) -> None:
        self._port = port
        self._cpu = cpu

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._cpu.until_running()
        await self._port.send_all(data)
        await self._cpu.until_running()

    async def wait_send_all_might_not_block(self) -> None:
        await self._port.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._cpu.until_running()
        data = await self._port.receive_some(max_bytes)
        await self._cpu.until_running()
        return data

    async def aclose(self) -> None:
        await self._port.aclose()


@define(eq=False, kw_only=True)
class FakeMachine(Machine):
    """One pretended microVM. The attributes without underscore are the test's to look at."""

    spec: MachineSpec
    code: Path
    """Its code disk."""
    pid: int
    engine: FakeEngine
    memory: dict[str, Any]
    """What the guest remembers: saved by `snapshot`, copied into each clone."""
    restored: bool
    """Whether this is a clone; a fresh machine otherwise."""
    console: str = ""
    blocks: int = 0
    flushed: bool = False
    timings_ms: Mapping[str, float] = field(factory=lambda: {"spawn_ms": 0.0})
    _directory: Path | None
    _host: trio.abc.Stream
    _guest: _GuestPort
    _cpu: _Cpu
    _saved: bool = False
    _silent: bool = False
    _exit_code: int | None = None
    _ended: trio.Event = field(factory=trio.Event)
    _life: trio.CancelScope = field(factory=trio.CancelScope)

    @property
    def paused(self) -> bool:
        """Whether the guest stands still."""
        return not self._cpu.running

    @property
    def alive(self) -> bool:
        """Whether the pretended process runs."""
        return self._exit_code is None

    def channel(self) -> trio.abc.Stream:
        """See `Machine`."""
        return self._host

    async def pause(self) -> None:
        """See `Machine`."""
        await self._step("pause")
        self._cpu.stop()

    async def resume(self) -> None:
        """See `Machine`."""
        await self._step("resume")
        if self._saved:
            raise EngineError(
                "a machine cannot run after its snapshot: the memory file is the snapshot's now"
            )
        self._cpu.start()

    async def snapshot(self, directory: Path) -> Snapshot:
        """See `Machine`. Calls the engine's `on_snapshot` first."""
        await self._step("snapshot")
        if self._directory is None:
            raise EngineError(
                "this clone shares its snapshot's memory",
                hint="Restore it with a scratch directory",
            )
        self._cpu.stop()
        self.engine.on_snapshot(self)
        self._saved = True
        snapshot = Snapshot(directory=directory, spec=self.spec, engine=self.engine.identity)
        (self._directory / "memory").rename(snapshot.memory)
        snapshot.memory.chmod(0o400)
        snapshot.state.write_text(json.dumps(self.memory))
        return snapshot

    def kill(self) -> None:
        """See `Machine`."""
        self.die(-9)

    def die(self, code: int) -> None:
        """End like a VMM that crashed: the channel ends, commands raise `MachineDied`. Negative for a signal."""
        if self._exit_code is None:
            self._exit_code = code
            self._life.cancel()
            self._ended.set()

    async def wait(self) -> int:
        """See `Machine`."""
        await self._ended.wait()
        assert self._exit_code is not None  # noqa: S101  set before the event
        return self._exit_code

    def statistics(self) -> MachineStatistics:
        """See `Machine`; the figures are the engine's `private_bytes` and made from it."""
        if not self.alive:
            raise MachineDied(f"machine {self.pid} has ended with code {self._exit_code}")
        private = self.engine.private_bytes
        return MachineStatistics(
            pid=self.pid,
            resident_bytes=private * 3,
            private_bytes=private,
            cpu_s=0.0,
            timings_ms=dict(self.timings_ms),
        )

    async def translations(self) -> Translations | None:
        """See `Machine`; an emulated engine's machines say `blocks` and `flushed` as the test set them."""
        if not self.engine.emulated:
            return None
        return Translations(blocks=self.blocks, flushed=self.flushed)

    def console_tail(self) -> str:
        """See `Machine`; what the test put into `console`."""
        return self.console

    async def last_words(self) -> str:
        """See `Machine`; by what the test put into `console`."""
        return last_words(self.console)

    def go_silent(self) -> None:
        """Stand still like a VMM that was sent SIGSTOP: the guest says nothing more, commands wait for their deadline."""
        self._silent = True
        self._cpu.stop()

    async def _step(self, step: Step) -> None:
        with trio.move_on_after(ANSWER_S) as limit:
            await self.engine.take_step(step)
            if self._silent and self.alive:
                await self._ended.wait()
        if limit.cancelled_caught:
            self.kill()
            raise MachineDied(
                f"machine {self.pid} did not {step} within {ANSWER_S:g} s, and was killed"
            )
        if not self.alive:
            raise MachineDied(f"machine {self.pid} has ended with code {self._exit_code}")

    async def live(self) -> None:
        """Play the guest until the machine ends, then end the channel as a dead VMM's socket would. The engine's."""
        try:
            with self._life:
                await self._cpu.until_running()
                await self.engine.guest(self._guest, self)
                await trio.sleep_forever()
        finally:
            await trio.aclose_forcefully(self._guest)


async def _silent_guest(_port: trio.abc.Stream, _machine: FakeMachine) -> None:
    """A guest whose agent never says anything."""
    await trio.sleep_forever()


@define(eq=False, kw_only=True)
class FakeEngine(Engine):
    """Starts pretended machines.

    `guest(port, machine)` plays the agent of each; it starts when the machine first runs, `machine.restored` tells a
    clone from a fresh one. An exception of it, other than a broken channel, is the test's failure.
    """

    guest: Callable[[trio.abc.Stream, FakeMachine], Awaitable[None]] = _silent_guest
    name: str = "fake"
    identity: str = "fake 1"
    emulated: bool = False
    renews_generation: bool = False
    takes_generation: bool = True
    private_bytes: int = 20 << 20
    on_snapshot: Callable[[FakeMachine], object] = lambda _machine: None
    on_restore: Callable[[FakeMachine], object] = lambda _machine: None
    machines: list[FakeMachine] = field(factory=list)
    """The machines whose scope is open."""
    started: int = 0
    """How many machines there have been."""
    _delays_s: dict[Step, float] = field(factory=dict, init=False)
    _failures: dict[Step, list[Exception]] = field(factory=dict, init=False)

    def delay(self, step: Step, seconds: float) -> None:
        """Make each such step take this long from now on (`math.inf`: hang, which kills a machine at its deadline)."""
        self._delays_s[step] = seconds

    def fail(self, step: Step, *errors: Exception) -> None:
        """Make the next such steps raise these."""
        self._failures.setdefault(step, []).extend(errors)

    async def take_step(self, step: Step) -> None:
        """Called by machines: wait and fail as the test asked."""
        await trio.lowlevel.checkpoint()
        if (seconds := self._delays_s.get(step)) is not None:
            await trio.sleep(seconds)
        if queue := self._failures.get(step):
            raise queue.pop(0)

    def check(self, snapshot: Snapshot) -> None:
        """See `Engine`."""
        if snapshot.engine != self.identity:
            raise SnapshotError(
                f"{snapshot.directory} was made by {snapshot.engine}, this is {self.identity}"
            )

    @asynccontextmanager
    async def boot(self, spec: MachineSpec, *, code: Path, scratch: Path) -> AsyncIterator[Machine]:
        """See `Engine`."""
        await self.take_step("boot")
        directory = Path(mkdtemp(prefix="machine-", dir=scratch))
        (directory / "memory").write_bytes(b"")
        async with self._machine(
            spec, code=code, directory=directory, memory={}, restored=False
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
        """See `Engine`. Calls `on_restore` with the new machine before it is handed out."""
        await self.take_step("restore")
        if generation is not None and not self.takes_generation:
            raise EngineError(f"{self.name} cannot give a machine a generation id")
        self.check(snapshot)
        try:
            memory = json.loads(snapshot.state.read_text())
        except OSError as error:
            raise SnapshotError(f"{snapshot.directory} is damaged: {error}") from error
        directory = None
        if scratch is not None:
            directory = Path(mkdtemp(prefix="machine-", dir=scratch))
            (directory / "memory").write_bytes(snapshot.memory.read_bytes())
        async with self._machine(
            snapshot.spec, code=code, directory=directory, memory=memory, restored=True
        ) as machine:
            self.on_restore(machine)
            yield machine

    @asynccontextmanager
    async def _machine(
        self,
        spec: MachineSpec,
        *,
        code: Path,
        directory: Path | None,
        memory: dict[str, Any],
        restored: bool,
    ) -> AsyncIterator[FakeMachine]:
        host, port = trio.testing.memory_stream_pair()
        cpu = _Cpu(running=not restored)
        machine = FakeMachine(
            spec=spec,
            code=code,
            pid=next(_pids),
            engine=self,
            memory=memory,
            restored=restored,
            directory=directory,
            host=host,
            guest=_GuestPort(port, cpu),
            cpu=cpu,
        )
        self.machines.append(machine)
        self.started += 1
        try:
            async with helpers() as nursery:
                nursery.start_soon(machine.live)
                yield machine
        finally:
            machine.kill()
            self.machines.remove(machine)
            await trio.aclose_forcefully(host)
            if directory is not None:
                rmtree(directory)

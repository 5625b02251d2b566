"""One QEMU process as a `Machine`."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from attrs import define, field

from thawd.engines.console import last_words
from thawd.engines.machine import (
    ANSWER_S,
    Machine,
    MachineSpec,
    MachineStatistics,
    Snapshot,
    Translations,
)
from thawd.engines.qemu.qmp import QmpSilence
from thawd.errors import EngineError, MachineDied, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from thawd.engines.console import ConsoleLog
    from thawd.engines.process import VmmProcess
    from thawd.engines.qemu.qmp import QmpClient

_log = structlog.get_logger()

_CAPABILITIES: Final = [
    # Leave RAM in its file: the migration stream carries devices alone, whatever the size of the memory.
    {"capability": "x-ignore-shared", "state": True},
    # Tell of the migration's end instead of being asked: a load takes 4.1 ms instead of 4.9 ms.
    {"capability": "events", "state": True},
]
_STATE_DESCRIPTOR: Final = "state"
"""Name under which QEMU knows the descriptor of the state file. `fd:` works with every version, 7.2 included,
where `file:` needs 8.2 and `exec:` a shell that the sandbox forbids."""
_BYTES_A_SECOND: Final = 1 << 40
_DEATH_S: Final = 5.0
_LAST_WORDS_S: Final = 1.0
_MIGRATION_S: Final = 30.0
"""For loading or saving the state of devices, some hundred KiB: 4 ms on an idle machine."""
_LIFE_EVERY_S: Final = 5.0
_LIFE_LIMIT_S: Final = 15.0
"""How often a running machine's QEMU is asked whether it is there, and how long it may take to say so. Nobody waits for
this answer, so a host that is very busy may take longer than for a command that somebody does wait for."""
_GOES_ON: Final = frozenset({"running", "shutdown"})
"""States after an unasked STOP in which nothing has to be done: resumed meanwhile, or QEMU is about to exit."""
_JIT_COUNTS: Final = re.compile(r"^TB (count|flush count) +(\d+)", re.MULTILINE)
_FINISHED: Final = frozenset({"completed", "failed", "cancelled"})


@define(eq=False, kw_only=True)
class QemuMachine(Machine):
    """One QEMU process. Made by `open_machine`, whose scope owns it."""

    spec: MachineSpec
    pid: int
    engine: str
    """`Engine.identity` of the engine that runs it."""
    timings_ms: Mapping[str, float]
    memory: Path | None
    """Its own memory file, or None for a clone that shares its snapshot's."""
    _process: VmmProcess
    _qmp: QmpClient
    _console: ConsoleLog
    _channel: trio.SocketStream
    _running: bool
    """Whether it is meant to run: a STOP event is unasked for then."""
    _memory_mode: int
    _emulated: bool
    _restored: bool
    _fault: str = ""
    _changing: trio.Lock = field(factory=trio.Lock)

    def channel(self) -> trio.abc.Stream:
        """See `Machine`."""
        return self._channel

    async def pause(self) -> None:
        """See `Machine`."""
        async with self._changing:
            await self._pause()

    async def resume(self) -> None:
        """See `Machine`."""
        async with self._changing:
            if self._fault:
                raise EngineError(f"machine {self.pid} cannot run: {self._fault}")
            # Before the command: a guest can stop by itself before QEMU's answer is read.
            self._running = True
            await self.execute("cont")

    async def snapshot(self, directory: Path) -> Snapshot:
        """See `Machine`. Takes about 6 ms and what the disk needs to write the memory file."""
        async with self._changing:
            if self.memory is None:
                raise EngineError(
                    "this machine shares its memory with the snapshot it was restored from",
                    hint="Restore it with a scratch directory to make it snapshot-able",
                )
            await self._pause()
            await self.execute("migrate-set-parameters", max_bandwidth=_BYTES_A_SECOND)
            snapshot = Snapshot(directory=directory, spec=self.spec, engine=self.engine)
            try:
                await self._save(snapshot, self.memory)
            except OSError as error:
                raise SnapshotError(f"cannot write the snapshot to {directory}: {error}") from error
            return snapshot

    def kill(self) -> None:
        """See `Machine`."""
        self._process.kill()

    async def wait(self) -> int:
        """See `Machine`."""
        return await self._process.wait()

    def statistics(self) -> MachineStatistics:
        """See `Machine`. Reads /proc, which takes 0.7 ms."""
        memory = self._process.memory()
        return MachineStatistics(
            pid=self.pid,
            resident_bytes=memory["Rss"],
            private_bytes=memory["Private_Dirty"],
            cpu_s=self._process.cpu_s(),
            timings_ms=dict(self.timings_ms),
        )

    async def translations(self) -> Translations | None:
        """See `Machine`. Read from the human monitor, for QMP has no stable command for it."""
        if not self._emulated:
            return None
        text = await self.execute("human-monitor-command", command_line="info jit")
        counts = {name: int(count) for name, count in _JIT_COUNTS.findall(text)}
        try:
            blocks, flushes = counts["count"], counts["flush count"]
        except KeyError:
            raise EngineError(f"QEMU does not say what it has translated: {text[:200]!r}") from None
        # Loading the state of devices flushes once, before the first block (QEMU, cpu_common_post_load).
        return Translations(blocks=blocks, flushed=flushes != int(self._restored))

    def console_tail(self) -> str:
        """See `Machine`. What QEMU itself said on stderr is in it too."""
        return self._console.tail(4096)

    async def last_words(self) -> str:
        """See `Machine`."""
        with trio.move_on_after(_LAST_WORDS_S):
            await self._process.wait()
            await self._console.ended.wait()
        if words := last_words(self._console.tail()):
            _log.warning("machine.kernel_failed", pid=self.pid, console=self._console.tail(4096))
        return words

    async def execute(
        self,
        command: str,
        *,
        descriptor: int | None = None,
        limit_s: float = ANSWER_S,
        **arguments: Any,
    ) -> Any:
        """A QMP command; `MachineDied` says how the process ended and what it said last, or that it was silent."""
        try:
            return await self._qmp.execute(
                command, descriptor=descriptor, limit_s=limit_s, **arguments
            )
        except QmpSilence as error:
            raise self._give_up(f"answer {command}", limit_s) from error
        except MachineDied as error:
            raise await death(self._process, self._console, during=command) from error

    async def load(self, state: Path) -> None:
        """Load a snapshot's device state into a process that was started to receive it."""
        descriptor = os.open(state, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await self.execute("migrate-set-capabilities", capabilities=_CAPABILITIES)
            await self._migrate("migrate-incoming", descriptor)
        finally:
            os.close(descriptor)

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End a machine that stopped by itself. Run by `open_machine`; ends with the monitor connection.

        QEMU stays alive when the processor cannot go on (`KVM internal error`): nothing would ever come from it.
        """
        with self._qmp.events() as events:
            task_status.started()
            async for event in events:
                if event.name == "STOP" and self._running:
                    with suppress(EngineError):  # it died meanwhile: nothing to end
                        await self._end_if_stopped()

    async def listen_for_life(self) -> None:
        """End a machine whose QEMU says nothing any more while its guest is meant to run. Run by `open_machine`.

        Whoever waits for the guest then hears of it, in whatever it was doing: init, hooks, an invocation.
        """
        while True:
            await trio.sleep(_LIFE_EVERY_S)
            if self._running:
                try:
                    await self.execute("query-status", limit_s=_LIFE_LIMIT_S)
                except EngineError:
                    return

    async def _end_if_stopped(self) -> None:
        status = (await self.execute("query-status"))["status"]
        if self._running and status not in _GOES_ON:
            self._fault = f"it stopped by itself ({status})"
            _log.warning("machine.stopped_itself", pid=self.pid, status=status)
            self.kill()

    async def _pause(self) -> None:
        # Before the command: its STOP event comes ahead of its answer. Sent even if we think it stands still: an
        # earlier `stop` or `cont` may have been cancelled on its way.
        self._running = False
        await self.execute("stop")

    async def _save(self, snapshot: Snapshot, memory: Path) -> None:
        descriptor = os.open(
            snapshot.state, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        try:
            await self._migrate("migrate", descriptor)
            # From here on the memory is the snapshot's. A guest that ran on would change it.
            self._fault = "its memory belongs to a snapshot now"
            self.memory = None
            await trio.to_thread.run_sync(_store, descriptor, memory, self._memory_mode, snapshot)
        finally:
            os.close(descriptor)

    async def _migrate(self, command: str, descriptor: int) -> None:
        if command == "migrate":
            await self.execute("migrate-set-capabilities", capabilities=_CAPABILITIES)
        await self.execute("getfd", descriptor=descriptor, fdname=_STATE_DESCRIPTOR)
        with trio.move_on_after(_MIGRATION_S) as limit, self._qmp.events() as events:
            await self.execute(command, uri=f"fd:{_STATE_DESCRIPTOR}")
            async for event in events:
                if event.name == "MIGRATION" and (status := event.data.get("status")) in _FINISHED:
                    if status != "completed":
                        why = (await self.execute("query-migrate")).get("error-desc", status)
                        raise SnapshotError(f"QEMU could not {command}: {why}")
                    return
        if limit.cancelled_caught:
            raise self._give_up(f"finish {command}", _MIGRATION_S)
        raise await death(self._process, self._console, during=command)

    def _give_up(self, what: str, limit_s: float) -> MachineDied:
        """Kill a process that is silent, so that its callers and its pool learn of it."""
        _log.warning("machine.silent", pid=self.pid, what=what, limit_s=limit_s)
        self.kill()
        return MachineDied(
            f"QEMU (process {self.pid}) did not {what} within {limit_s:g} s, and was killed"
        )


def _store(state: int, memory: Path, memory_mode: int, snapshot: Snapshot) -> None:
    """Make the saved files durable and give them their final modes. In a worker thread, for fsync blocks."""
    os.fchmod(state, 0o400)
    os.fsync(state)
    descriptor = os.open(memory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, memory_mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    memory.rename(snapshot.memory)
    directory = os.open(snapshot.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def death(process: VmmProcess, console: ConsoleLog, *, during: str) -> MachineDied:
    """The error for a process that is ending: how it ended, and the last it said."""
    with trio.move_on_after(_DEATH_S):
        await process.wait()
        await console.ended.wait()
    code = process.exit_code
    if code is None:
        how = "closed its connection but did not end"
    elif code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    said = console.tail(600).strip()
    return MachineDied(
        f"QEMU (process {process.pid}) {how} during {during}"
        + (f"; it said: {said}" if said else "")
    )

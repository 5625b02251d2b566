"""Starting QEMU: its sockets, its process, command mode, the load of a snapshot; and the end of all of it."""

from __future__ import annotations

import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from thawd.engines.console import ConsoleLog
from thawd.engines.process import VmmProcess, run_vmm
from thawd.engines.qemu.machine import QemuMachine, death
from thawd.engines.qemu.qmp import QmpClient, connect_qmp
from thawd.errors import EngineError, MachineDied
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from thawd.engines.machine import MachineSpec

_START_LIMIT_S: Final = 30.0
"""From exec to the QMP greeting: 30 ms on an idle machine; a process that says nothing for this long never will."""


@frozen
class Connection:
    """One connected pair: our end, and QEMU's, which it inherits."""

    ours: trio.socket.SocketType
    theirs: trio.socket.SocketType


@frozen
class Sockets:
    """The three connections of a machine."""

    monitor: Connection
    channel: Connection
    console: Connection

    def descriptors(self) -> dict[str, int]:
        """QEMU's ends by name."""
        return {name: pair.theirs.fileno() for name, pair in self._pairs().items()}

    def close_theirs(self) -> None:
        """Close QEMU's ends here, once it has them: only then does its death end the connections."""
        for pair in self._pairs().values():
            pair.theirs.close()

    def _pairs(self) -> dict[str, Connection]:
        return {"monitor": self.monitor, "channel": self.channel, "console": self.console}


@contextmanager
def _sockets() -> Iterator[Sockets]:
    with ExitStack() as stack:

        def connect() -> Connection:
            ours, theirs = trio.socket.socketpair()
            return Connection(stack.enter_context(ours), stack.enter_context(theirs))

        try:
            sockets = Sockets(monitor=connect(), channel=connect(), console=connect())
        except OSError as error:
            raise EngineError(
                f"no sockets for another machine: {error}",
                hint="Raise the limit on open files (LimitNOFILE)",
            ) from error
        yield sockets


@asynccontextmanager
async def open_machine(
    command: Callable[[dict[str, int]], list[str]],
    *,
    spec: MachineSpec,
    engine: str,
    version: str,
    runtime_directory: Path,
    memory: Path | None,
    state: Path | None,
    memory_mode: int,
    emulated: bool,
    timings_ms: dict[str, float],
) -> AsyncIterator[QemuMachine]:
    """Start QEMU with what `command` makes of its descriptors (monitor, channel, console), enter command mode and, with `state`, load it. All is gone when the scope ends.

    Raises `EngineError` if it cannot be started or is not `version`, `MachineDied`, `SnapshotError`.
    """
    console = ConsoleLog()
    started = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal started
        now = time.perf_counter()
        timings_ms[step] = round((now - started) * 1e3, 2)
        started = now

    with _sockets() as sockets:
        async with (
            helpers() as nursery,
            run_vmm(
                command(sockets.descriptors()),
                descriptors=tuple(sockets.descriptors().values()),
                output=sockets.console.theirs.fileno(),
                runtime_directory=runtime_directory,
            ) as process,
        ):
            sockets.close_theirs()
            nursery.start_soon(console.drain, sockets.console.ours)
            lap("spawn_ms")
            async with _monitor(process, console, sockets.monitor.ours, version) as qmp:
                lap("connect_ms")
                machine = QemuMachine(
                    spec=spec,
                    pid=process.pid,
                    engine=engine,
                    timings_ms=timings_ms,
                    memory=memory,
                    process=process,
                    qmp=qmp,
                    console=console,
                    channel=trio.SocketStream(sockets.channel.ours),
                    running=state is None,
                    memory_mode=memory_mode,
                    emulated=emulated,
                    restored=state is not None,
                )
                await nursery.start(machine.watch)
                nursery.start_soon(machine.listen_for_life)
                if state is not None:
                    await machine.load(state)
                    lap("load_ms")
                yield machine


@asynccontextmanager
async def _monitor(
    process: VmmProcess, console: ConsoleLog, connection: trio.socket.SocketType, version: str
) -> AsyncIterator[QmpClient]:
    """Command mode, or the reason why there is none."""
    entered = False
    try:
        with trio.fail_after(_START_LIMIT_S) as limit:
            async with connect_qmp(connection) as qmp:
                limit.deadline = float("inf")
                if qmp.greeting.version != version:
                    raise EngineError(
                        f"QEMU is {qmp.greeting.version} now and was {version} when thawd started",
                        hint="Restart thawd after an upgrade of QEMU",
                    )
                entered = True
                yield qmp
    except MachineDied as error:
        if entered:
            raise
        raise await death(process, console, during="its start") from error
    except trio.TooSlowError:
        if entered:
            raise
        raise MachineDied(
            f"QEMU (process {process.pid}) said nothing for {_START_LIMIT_S:g} s after its start, and was killed"
        ) from None

"""A QEMU that goes silent is killed, whatever it was asked; against a fake QEMU and a process that is pretended."""

import os
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field
from test_engines_qmp import FakeQemu

from thawd.engines.console import ConsoleLog
from thawd.engines.machine import ANSWER_S, MachineSpec
from thawd.engines.qemu.machine import _MIGRATION_S, QemuMachine
from thawd.engines.qemu.qmp import connect_qmp
from thawd.errors import EngineError, MachineDied

SPEC = MachineSpec(kernel=Path("k"), initrd=Path("i"), root=Path("r"), memory_mib=64)


@define
class Process:
    """What `QemuMachine` needs of a `VmmProcess`."""

    pid: int = 4_000_000
    exit_code: int | None = None
    ended: trio.Event = field(factory=trio.Event)

    def kill(self):
        if self.exit_code is None:
            self.exit_code = -9
            self.ended.set()

    async def wait(self):
        await self.ended.wait()
        return self.exit_code


@asynccontextmanager
async def machine_of(qemu_answers, tmp_path):
    ours, theirs = trio.socket.socketpair()
    channel, _guest = trio.socket.socketpair()
    qemu = FakeQemu(theirs)
    qemu.answers |= qemu_answers
    console = ConsoleLog()
    console.ended.set()
    memory = tmp_path / "memory"
    memory.touch()
    with theirs, channel, _guest:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(qemu.serve)
            async with connect_qmp(ours) as qmp:
                machine = QemuMachine(
                    spec=SPEC,
                    pid=4_000_000,
                    engine="qemu",
                    timings_ms={},
                    memory=memory,
                    process=Process(),
                    qmp=qmp,
                    console=console,
                    channel=trio.SocketStream(channel),
                    running=True,
                    memory_mode=0o400,
                    emulated=True,
                    restored=False,
                )
                await nursery.start(machine.watch)
                yield machine, qemu
            nursery.cancel_scope.cancel()
    for descriptor in qemu.descriptors:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("command", "use"),
    [
        ("stop", QemuMachine.pause),
        ("cont", QemuMachine.resume),
        ("human-monitor-command", QemuMachine.translations),
    ],
)
async def test_a_silent_qemu_is_killed(autojump_clock, tmp_path, command, use):
    async with machine_of({command: "hold"}, tmp_path) as (machine, _):
        began = trio.current_time()
        with pytest.raises(
            MachineDied, match=f"did not answer {command} within 5 s, and was killed"
        ):
            await use(machine)

        assert trio.current_time() - began == pytest.approx(ANSWER_S)
        assert await machine.wait() == -9
        with pytest.raises(MachineDied, match="was ended by SIGKILL"):
            await machine.resume()


@pytest.mark.parametrize("held", ["stop", "migrate-set-parameters", "getfd", "migrate"])
async def test_a_qemu_that_goes_silent_in_a_snapshot_is_killed(autojump_clock, tmp_path, held):
    (tmp_path / "snapshot").mkdir()
    async with machine_of({held: "hold"}, tmp_path) as (machine, _):
        with pytest.raises(MachineDied, match=f"did not answer {held}"):
            await machine.snapshot(tmp_path / "snapshot")

        assert await machine.wait() == -9


async def test_a_save_that_does_not_end_is_ended(autojump_clock, tmp_path):
    """QEMU takes the command, and its event that the migration is complete never comes."""
    (tmp_path / "snapshot").mkdir()
    async with machine_of({}, tmp_path) as (machine, _):
        began = trio.current_time()
        with pytest.raises(MachineDied, match="did not finish migrate within 30 s"):
            await machine.snapshot(tmp_path / "snapshot")

        assert trio.current_time() - began == pytest.approx(_MIGRATION_S)
        assert await machine.wait() == -9


async def test_a_load_that_does_not_end_is_ended(autojump_clock, tmp_path):
    state = tmp_path / "state"
    state.touch()
    async with machine_of({}, tmp_path) as (machine, _):
        with pytest.raises(MachineDied, match="did not finish migrate-incoming within 30 s"):
            await machine.load(state)

        assert await machine.wait() == -9


async def test_a_qemu_that_stops_by_itself_and_is_silent_then_is_killed(autojump_clock, tmp_path):
    async with machine_of({"query-status": "hold"}, tmp_path) as (machine, qemu):
        await qemu.event("STOP")

        assert await machine.wait() == -9


async def test_what_was_translated_is_read_from_the_monitor(tmp_path):
    text = "gen code size 1/2\r\nTB count            12\r\ncross page TB count 3 (0%)\r\nTB flush count      1\r\n"
    async with machine_of({"human-monitor-command": {"return": text}}, tmp_path) as (machine, qemu):
        counted = await machine.translations()
        assert (counted.blocks, counted.flushed) == (12, True)
        qemu.answers["human-monitor-command"] = {
            "return": text.replace("      1\r\n", "      0\r\n")
        }
        assert not (await machine.translations()).flushed
        qemu.answers["human-monitor-command"] = {"return": "unknown command"}
        with pytest.raises(EngineError, match="unknown command"):
            await machine.translations()

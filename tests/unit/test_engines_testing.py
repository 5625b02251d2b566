"""The pretended engine keeps the promises of the real interface."""

import math
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from thaw_agent import wire
from thawd.engines.machine import ANSWER_S, MachineSpec
from thawd.engines.testing import FakeEngine
from thawd.errors import EngineError, MachineDied, SnapshotError

CODE = Path("/code-disk")


def spec(tmp_path):
    return MachineSpec(
        kernel=tmp_path / "k",
        initrd=tmp_path / "i",
        root=tmp_path / "r",
        memory_mib=64,
    )


async def echo(port, machine):
    """An agent that counts what it was sent, in memory that a snapshot saves."""
    if not machine.restored:
        await port.send_all(wire.SYNC)
    async for data in port:
        machine.memory["count"] = machine.memory.get("count", 0) + 1
        await port.send_all(b"%d:%b" % (machine.memory["count"], bytes(data)))


async def ask(machine, data):
    await machine.channel().send_all(data)
    return bytes(await machine.channel().receive_some())


@pytest.fixture
def engine():
    return FakeEngine(guest=echo)


async def make_snapshot(engine, tmp_path, name="snapshot"):
    directory = tmp_path / name
    directory.mkdir()
    async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path) as machine:
        assert await machine.channel().receive_some() == wire.SYNC
        await ask(machine, b"x")
        return await machine.snapshot(directory)


async def test_clones_continue_from_the_snapshot_and_are_independent(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    async with (
        engine.restore(snapshot, code=CODE) as one,
        engine.restore(snapshot, code=CODE) as two,
    ):
        await one.resume()
        await two.resume()

        assert [await ask(one, b"a"), await ask(one, b"a"), await ask(two, b"a")] == [
            b"2:a",
            b"3:a",
            b"2:a",
        ]


async def test_a_paused_machine_answers_only_after_resume(engine, tmp_path, autojump_clock):
    snapshot = await make_snapshot(engine, tmp_path)
    async with engine.restore(snapshot, code=CODE) as machine:
        with trio.move_on_after(10) as waiting:
            await ask(machine, b"a")
        assert waiting.cancelled_caught
        await machine.resume()

        assert await machine.channel().receive_some() == b"2:a"


async def test_a_snapshot_ends_a_machines_running(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    async with engine.restore(snapshot, code=CODE, scratch=tmp_path) as machine:
        (tmp_path / "second").mkdir()
        await machine.snapshot(tmp_path / "second")
        with pytest.raises(EngineError):
            await machine.resume()


async def test_a_clone_with_shared_memory_cannot_be_snapshotted(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    async with engine.restore(snapshot, code=CODE) as machine:
        with pytest.raises(EngineError, match="scratch"):
            await machine.snapshot(tmp_path)


async def test_another_engines_snapshot_is_refused(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    with pytest.raises(SnapshotError, match=r"fake 1.*fake 2"):
        async with FakeEngine(identity="fake 2").restore(snapshot, code=CODE):
            pass


async def test_a_clone_has_the_code_disk_it_was_given(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    async with engine.restore(snapshot, code=Path("/another")) as machine:
        assert machine.code == Path("/another")


async def test_a_generation_that_cannot_be_given_is_refused(engine, tmp_path):
    snapshot = await make_snapshot(engine, tmp_path)
    engine.takes_generation = False
    with pytest.raises(EngineError, match="generation"):
        async with engine.restore(snapshot, code=CODE, generation=uuid4()):
            pass


async def test_death_ends_the_channel_and_refuses_commands(engine, tmp_path):
    async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path) as machine:
        await machine.channel().receive_some()
        machine.die(-11)

        assert await machine.wait() == -11
        assert await machine.channel().receive_some() == b""
        with pytest.raises(MachineDied):
            await machine.pause()
        with pytest.raises(MachineDied):
            machine.statistics()


async def test_nothing_is_left_after_the_scope(engine, tmp_path):
    await make_snapshot(engine, tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == ["snapshot"]
    assert engine.machines == []


async def test_the_bodys_error_leaves_the_scope_as_it_is(engine, tmp_path):
    with pytest.raises(ValueError, match="mine"):
        async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path):
            raise ValueError("mine")


async def test_steps_fail_and_hang_as_told(engine, tmp_path, autojump_clock):
    engine.fail("boot", EngineError("no"))
    with pytest.raises(EngineError):
        async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path):
            pass
    engine.delay("boot", math.inf)
    with trio.move_on_after(60) as waiting:
        async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path):
            pass
    assert waiting.cancelled_caught


async def test_a_silent_machine_is_killed_at_the_deadline_of_its_next_command(
    engine, tmp_path, autojump_clock
):
    async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path) as machine:
        await machine.channel().receive_some()
        machine.go_silent()
        began = trio.current_time()
        with pytest.raises(MachineDied, match="did not pause within"):
            await machine.pause()

        assert trio.current_time() - began == pytest.approx(ANSWER_S)
        assert await machine.wait() == -9
        assert await machine.channel().receive_some() == b""


async def test_a_guests_own_failure_is_the_tests(engine, tmp_path):
    async def broken(_port, _machine):
        raise AssertionError("seen in the guest")

    engine.guest = broken
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="seen in the guest")):
        async with engine.boot(spec(tmp_path), code=CODE, scratch=tmp_path):
            await trio.sleep_forever()

"""What QEMU alone does, on the platforms that this host can run (`engine_bed.py` says which)."""

import os
import signal
from types import SimpleNamespace

import pytest
import trio
from engine_bed import BOOT_S, Guest, boot, children, clone, restore

from thawd.engines.machine import Translations
from thawd.engines.qemu.engine import QemuEngine
from thawd.engines.qemu.qmp import QmpClient
from thawd.errors import EngineError, MachineDied


@pytest.fixture(autouse=True)
def _qemu_only(engine):
    if not isinstance(engine, QemuEngine):
        pytest.skip(f"{engine.name} is not QEMU")


async def test_a_machine_that_stops_by_itself_is_ended(engine, template, scratch):
    """As QEMU does it when the processor cannot go on: it stays, and nothing would ever come of it."""
    async with clone(engine, template) as guest:
        await guest.machine._qmp.execute("stop")
        with trio.fail_after(BOOT_S):
            assert await guest.machine.wait() == -signal.SIGKILL
        with pytest.raises(EngineError, match="stopped by itself"):
            await guest.machine.resume()


async def test_a_vmm_killed_at_any_moment_of_a_restore_is_a_death(
    engine, template, scratch, monkeypatch
):
    """Kill it at the first, second, ... monitor command until one restore comes through."""
    execute = QmpClient.execute
    seen = SimpleNamespace(commands=0, last=0)

    others = children()

    async def deadly(self, command, **arguments):
        seen.commands += 1
        if seen.commands == seen.last:
            for pid in children() - others:
                os.kill(pid, signal.SIGKILL)
        return await execute(self, command, **arguments)

    monkeypatch.setattr(QmpClient, "execute", deadly)
    deaths = 0
    for seen.last in range(1, 20):
        seen.commands = 0
        try:
            async with restore(engine, template):
                pass
        except MachineDied:
            deaths += 1
        if seen.commands < seen.last:
            break

    assert deaths == seen.last - 1 >= 4


async def test_an_emulator_counts_what_it_translated(engine, template, spec, scratch):
    async with restore(engine, template) as machine:
        loaded = await machine.translations()
        await machine.resume()
        await Guest(machine).ask("count")
        asked = await machine.translations()
    async with boot(engine, spec, scratch) as machine:
        booting = await machine.translations()

    if engine.emulated:
        assert loaded == Translations(blocks=0, flushed=False)
        assert asked.blocks > 1000
        assert not asked.flushed
        assert not booting.flushed
    else:
        assert (loaded, asked, booting) == (None, None, None)


async def test_the_steps_of_a_restore_are_timed(engine, template, scratch):
    async with restore(engine, template, scratch=scratch) as machine:
        assert set(machine.timings_ms) == {"copy_ms", "spawn_ms", "connect_ms", "load_ms"}

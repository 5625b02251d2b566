"""What every engine promises, held against every engine this host can run (`engine_bed.py` says which)."""

import os
import pickle
import signal
import subprocess
import sys
from shutil import rmtree
from uuid import uuid4

import pytest
import trio
from attrs import evolve
from engine_bed import BOOT_S, MEMORY_MIB, Guest, boot, clone, code_disk, restore

from thawd.engines.process import reap_orphans
from thawd.errors import EngineError, MachineDied, SnapshotError


async def test_a_clone_goes_on_where_the_snapshot_was_taken(engine, template, scratch):
    async with clone(engine, template) as guest:
        assert await guest.ask("count") == "2"
        assert await guest.ask("hangups") == "0"


async def test_clones_run_at_once_and_do_not_see_each_other(engine, template, scratch):
    counts = {}

    async def run(times):
        async with clone(engine, template) as guest:
            for _ in range(times):
                counts[times] = await guest.ask("count")

    async with trio.open_nursery() as nursery:
        for times in (1, 2, 3, 4):
            nursery.start_soon(run, times)

    assert counts == {1: "2", 2: "3", 3: "4", 4: "5"}


async def test_a_clone_is_paused_until_it_is_resumed(engine, template, scratch):
    async with restore(engine, template) as machine:
        guest = Guest(machine)
        await machine.channel().send_all(b"count\n")
        with trio.move_on_after(0.5) as waiting:
            await guest.line()
        assert waiting.cancelled_caught
        await machine.resume()

        with trio.fail_after(BOOT_S):
            assert await guest.line() == "2"


async def test_pause_and_resume_may_be_repeated(engine, template, scratch):
    async with clone(engine, template) as guest:
        for _ in range(3):
            await guest.machine.pause()
            await guest.machine.pause()
            before = guest.machine.statistics().cpu_s
            await trio.sleep(0.2)
            assert guest.machine.statistics().cpu_s - before <= 0.05
            await guest.machine.resume()
            await guest.machine.resume()
            assert await guest.ask("echo here") == "here"


async def test_the_disk_given_at_restore_is_what_the_guest_reads(engine, template, spec, scratch):
    other = code_disk(spec, "code-b")
    async with clone(engine, template) as one, clone(engine, template, code=other) as two:
        assert await one.ask("disk vdb") == "this is code-a"
        assert await two.ask("disk vdb") == "this is code-b"
        assert await two.ask("disk vda") == "this is root"


async def test_snapshots_of_clones_can_be_restored(engine, template, scratch):
    child = scratch / "child"
    child.mkdir()
    async with clone(engine, template, scratch=scratch) as guest:
        assert await guest.ask("count") == "2"
        snapshot = await guest.machine.snapshot(child)
    async with clone(engine, snapshot) as grandchild, clone(engine, template) as sibling:
        assert await grandchild.ask("count") == "3"
        assert await sibling.ask("count") == "2"
    rmtree(child)


async def test_the_snapshots_files_are_private_and_never_change(engine, template, scratch):
    def contents():
        return template.memory.read_bytes(), template.state.read_bytes()

    before = contents()
    async with clone(engine, template) as guest:
        await guest.ask("count")
    async with clone(engine, template, scratch=scratch) as guest:
        await guest.ask("count")

    assert contents() == before
    for path in (template.memory, template.state):
        assert path.stat().st_mode & 0o077 == 0
    assert template.memory.stat().st_size == MEMORY_MIB << 20
    assert template.memory.stat().st_blocks * 512 < template.memory.stat().st_size


async def test_the_snapshot_may_be_deleted_while_clones_run(engine, template, scratch):
    child = scratch / "child"
    child.mkdir()
    async with clone(engine, template, scratch=scratch) as guest:
        snapshot = await guest.machine.snapshot(child)
    async with clone(engine, snapshot) as guest:
        rmtree(child)
        assert await guest.ask("count") == "2"
        assert len(await guest.ask("random")) == 32


async def test_a_machine_does_not_run_after_its_snapshot(engine, template, scratch):
    child = scratch / "child"
    child.mkdir()
    async with clone(engine, template, scratch=scratch) as guest:
        await guest.machine.snapshot(child)
        with pytest.raises(EngineError, match="belongs to a snapshot"):
            await guest.machine.resume()
        with pytest.raises(EngineError):
            await guest.machine.snapshot(child)
    rmtree(child)


async def test_a_clone_without_memory_of_its_own_cannot_be_snapshotted(engine, template, scratch):
    async with clone(engine, template) as guest:
        with pytest.raises(EngineError, match="scratch directory"):
            await guest.machine.snapshot(scratch)
        assert await guest.ask("count") == "2"


async def test_a_snapshot_into_nowhere_is_an_error_and_the_machine_can_go_on(
    engine, template, scratch
):
    async with clone(engine, template, scratch=scratch) as guest:
        with pytest.raises(SnapshotError, match="cannot write"):
            await guest.machine.snapshot(scratch / "missing")
        await guest.machine.resume()
        assert await guest.ask("count") == "2"


async def test_another_engines_snapshot_is_refused_by_name(engine, template, scratch):
    foreign = evolve(template, engine="qemu-vax, QEMU 0.9")
    with pytest.raises(SnapshotError) as refused:
        async with restore(engine, foreign):
            pass

    assert "qemu-vax, QEMU 0.9" in str(refused.value)
    assert engine.identity in str(refused.value)


@pytest.mark.parametrize(
    "damage", ["no memory", "no state", "short memory", "rubbish state", "cut state"]
)
async def test_a_damaged_snapshot_is_an_error_and_leaves_nothing(engine, template, scratch, damage):
    child = scratch / "child"
    child.mkdir()
    snapshot = evolve(template, directory=child)
    state = template.state.read_bytes()
    if damage != "no state":
        snapshot.state.write_bytes(
            {"rubbish state": b"x" * 1000, "cut state": state[: len(state) // 2]}.get(damage, state)
        )
    if damage != "no memory":
        with snapshot.memory.open("wb") as memory:
            memory.truncate((MEMORY_MIB << 20) - (4096 if damage == "short memory" else 0))
    with pytest.raises((SnapshotError, EngineError)):
        async with restore(engine, snapshot):
            pass
    rmtree(child)


async def test_a_vmm_that_cannot_start_says_why(engine, spec, scratch):
    with pytest.raises(MachineDied, match="no-such-kernel"):
        async with boot(engine, evolve(spec, kernel=scratch / "no-such-kernel"), scratch):
            pass


async def test_a_killed_vmm_ends_channel_commands_and_statistics(engine, template, scratch):
    async with clone(engine, template) as guest:
        assert await guest.ask("count") == "2"
        os.kill(guest.machine.pid, signal.SIGKILL)

        assert await guest.machine.wait() == -signal.SIGKILL
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await guest.line()
        with pytest.raises(MachineDied, match="SIGKILL"):
            await guest.machine.pause()
        with pytest.raises(MachineDied):
            guest.machine.statistics()
        guest.machine.kill()


async def test_a_guest_that_reboots_is_a_dead_machine(engine, template, scratch):
    async with clone(engine, template) as guest:
        await guest.machine.channel().send_all(b"reboot\n")
        with trio.fail_after(BOOT_S):
            assert await guest.machine.wait() == 0


async def test_a_guest_whose_kernel_fails_is_a_dead_machine_that_says_why(
    engine, template, scratch
):
    async with clone(engine, template) as guest:
        assert await guest.ask("kernel panic_on_oops") == "1"
        await guest.machine.channel().send_all(b"panic\n")
        with trio.fail_after(BOOT_S):
            await guest.machine.wait()

        assert await guest.machine.last_words() == (
            "Kernel panic - not syncing: sysrq triggered crash"
        )


async def test_a_guest_that_spins_can_be_paused_and_killed(engine, template, scratch):
    async with clone(engine, template) as guest:
        assert await guest.ask("spin") == "spinning"
        with trio.fail_after(BOOT_S):
            await guest.machine.pause()


async def test_a_vmm_that_goes_silent_is_killed_at_its_next_command(engine, template, scratch):
    async with clone(engine, template) as guest:
        await guest.machine.pause()
        os.kill(guest.machine.pid, signal.SIGSTOP)
        with trio.fail_after(BOOT_S), pytest.raises(MachineDied, match="was killed"):
            await guest.machine.resume()

        assert await guest.machine.wait() == -signal.SIGKILL


async def test_a_vmm_that_goes_silent_while_its_guest_works_is_killed(engine, template, scratch):
    async with clone(engine, template) as guest:
        os.kill(guest.machine.pid, signal.SIGSTOP)
        with trio.fail_after(BOOT_S):
            assert await guest.machine.wait() == -signal.SIGKILL


async def test_a_vmm_killed_while_it_boots(engine, spec, scratch):
    async with boot(engine, spec, scratch) as machine:
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await Guest(machine).line()


async def test_a_restore_cancelled_at_any_moment_leaves_nothing(engine, template, scratch):
    came_through = False
    milliseconds = 0.0
    for attempt in range(200):
        milliseconds += 1 + milliseconds / 20
        with trio.move_on_after(milliseconds / 1e3):
            async with restore(engine, template, scratch=scratch if attempt % 2 else None):
                came_through = True
        assert list(scratch.iterdir()) == []
        if came_through:
            break

    assert came_through


async def test_a_cancelled_boot_leaves_nothing(engine, spec, scratch):
    for milliseconds in (1, 20, 200):
        with trio.move_on_after(milliseconds / 1e3) as limit:
            async with boot(engine, spec, scratch):
                await trio.sleep_forever()
        assert limit.cancelled_caught


async def test_a_snapshot_cancelled_at_any_moment_leaves_nothing_running(engine, template, scratch):
    child = scratch / "child"
    milliseconds, cut_short, completed = 0.0, 0, False
    while not completed:
        child.mkdir()
        with trio.move_on_after(BOOT_S) as outer:
            async with clone(engine, template, scratch=scratch) as guest:
                outer.deadline = trio.current_time() + milliseconds / 1e3
                await guest.machine.snapshot(child)
                completed = True
        cut_short += not completed
        rmtree(child)
        assert list(scratch.iterdir()) == []
        milliseconds += 1 + milliseconds / 2

    assert cut_short >= 1


async def test_a_body_that_fails_takes_its_machine_along(engine, template, scratch):
    with pytest.raises(ZeroDivisionError):
        async with clone(engine, template):
            _ = 1 / 0


DAEMON = """
import pickle, sys, trio
async def main():
    engine, snapshot, code, scratch = pickle.loads(bytes.fromhex(sys.argv[1]))
    async with (
        engine.restore(snapshot, code=code) as one,
        engine.restore(snapshot, code=code, scratch=scratch) as two,
    ):
        await one.resume()
        print(one.pid, two.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_machines_die_with_a_daemon_that_is_killed(
    engine, template, scratch, runtime_directory
):
    """A successor finds the records and nobody behind them."""
    about = pickle.dumps((engine, template, code_disk(template.spec), scratch)).hex()
    with subprocess.Popen(  # noqa: ASYNC220  another daemon, not a helper of this one
        [sys.executable, "-c", DAEMON, about], stdout=subprocess.PIPE, text=True
    ) as daemon:
        ends = [os.pidfd_open(int(pid)) for pid in daemon.stdout.readline().split()]
        daemon.kill()
    assert len(ends) == 2
    for end in ends:
        with trio.fail_after(BOOT_S):
            await trio.lowlevel.wait_readable(end)
        os.close(end)
    assert len(list((runtime_directory / "machines").iterdir())) == 2
    assert await reap_orphans(runtime_directory) == []
    # A machine's private memory is in its caller's scratch directory, and so is the care for it.
    (directory,) = scratch.iterdir()
    rmtree(directory)


async def test_the_console_keeps_what_the_guest_printed(engine, template, scratch):
    async with clone(engine, template) as guest:
        assert await guest.ask("print something to see") == "printed"
        with trio.fail_after(BOOT_S):
            while "something to see" not in guest.machine.console_tail():  # noqa: ASYNC110
                await trio.sleep(0.01)


async def test_statistics_are_plausible(engine, template, scratch):
    async with clone(engine, template) as guest:
        await guest.ask("count")
        statistics = guest.machine.statistics()

        assert 1 << 20 < statistics.private_bytes <= statistics.resident_bytes
        assert statistics.cpu_s > 0
        assert statistics.timings_ms
        assert all(ms >= 0 for ms in statistics.timings_ms.values())


async def test_clones_whose_kernel_is_told_have_entropy_of_their_own(engine, template, scratch):
    if not engine.renews_generation:
        pytest.skip(
            f"{engine.name} shows no generation id; the agent's RESTORE is what makes clones unique there"
        )
    async with clone(engine, template) as one, clone(engine, template) as two:
        assert await one.ask("random") != await two.ask("random")


async def test_a_generation_is_taken_or_refused_as_the_engine_says(engine, template, scratch):
    given = uuid4()
    if engine.takes_generation:
        async with clone(engine, template, generation=given) as guest:
            assert await guest.ask("count") == "2"
    else:
        with pytest.raises(EngineError, match="generation"):
            async with restore(engine, template, generation=given):
                pass

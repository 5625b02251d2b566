"""VMM processes die with their scope, with their daemon, or by its successor; and nobody else does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import structlog
import trio

from thawd.engines.console import ConsoleLog
from thawd.engines.process import reap_orphans, run_vmm
from thawd.errors import MachineDied


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def sleeper(tmp_path, seconds="60"):
    return run_vmm(["sleep", seconds], descriptors=(), output=1, runtime_directory=tmp_path)


async def test_the_scopes_end_is_the_processs_end(tmp_path):
    async with sleeper(tmp_path) as process:
        assert alive(process.pid)
        assert [record.name for record in (tmp_path / "machines").iterdir()] == [str(process.pid)]

    assert not alive(process.pid)
    assert process.exit_code == -signal.SIGKILL
    assert list((tmp_path / "machines").iterdir()) == []


async def test_a_cancelled_scope_ends_its_process_too(tmp_path):
    with trio.CancelScope() as scope:
        async with sleeper(tmp_path) as process:
            scope.cancel()
            await trio.sleep_forever()

    assert not alive(process.pid)


async def test_all_waiters_learn_the_exit_code(tmp_path):
    async with sleeper(tmp_path, "0") as process:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.wait)
            nursery.start_soon(process.wait)

        assert await process.wait() == 0
        process.kill()
        with pytest.raises(MachineDied):
            process.cpu_s()
        with pytest.raises(MachineDied):
            process.memory()


async def test_a_process_that_ends_by_itself_or_is_killed_by_a_stranger_is_logged(tmp_path):
    """One that we kill is not."""
    with structlog.testing.capture_logs() as logged:
        async with sleeper(tmp_path):
            pass
        async with sleeper(tmp_path) as process:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()

    (event,) = logged
    assert (event["event"], event["pid"]) == ("vmm.ended", process.pid)
    assert event["exit_code"] == -signal.SIGKILL


async def test_figures_come_from_the_kernel(tmp_path):
    async with sleeper(tmp_path) as process:
        assert process.memory()["Rss"] > 0
        assert process.cpu_s() >= 0


async def test_the_process_inherits_what_it_was_given_and_no_more(tmp_path):
    ours, theirs = trio.socket.socketpair()
    with ours:
        async with run_vmm(
            ["sh", "-c", "echo hello; ls /proc/self/fd >&2"],
            descriptors=(),
            output=theirs.fileno(),
            runtime_directory=tmp_path,
        ):
            theirs.close()
            console = ConsoleLog()
            await console.drain(ours)

        # ls itself opens the directory, as descriptor 3.
        assert console.tail() == "hello\n0\n1\n2\n3\n"


async def test_a_process_dies_with_the_daemon_that_was_killed(tmp_path):
    daemon = textwrap.dedent(f"""
        import trio
        from pathlib import Path
        from thawd.engines.process import run_vmm
        async def main():
            async with run_vmm(["sleep", "60"], descriptors=(), output=2, runtime_directory=Path({str(tmp_path)!r})) as p:
                print(p.pid, flush=True)
                await trio.sleep_forever()
        trio.run(main)
    """)
    killed = subprocess.Popen(  # noqa: ASYNC220  a daemon of its own, not a helper of this one
        [sys.executable, "-c", daemon], stdout=subprocess.PIPE, text=True
    )
    with killed:
        pid = int(killed.stdout.readline())
        gone = os.pidfd_open(pid)
        killed.kill()
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(gone)
    os.close(gone)
    # The record of it is left, and means nobody any more.
    assert await reap_orphans(tmp_path) == []
    assert list((tmp_path / "machines").iterdir()) == []


async def test_a_process_whose_daemon_is_killed_before_the_signal_is_set_never_starts(tmp_path):
    """Setpriv is held up until its daemon is dead, so that the kernel has nobody whose death it could tell of."""
    started, late = tmp_path / "started", tmp_path / "bin" / "setpriv"
    late.parent.mkdir()
    late.write_text(
        "#!/bin/sh\n"
        f"echo $$ > {tmp_path}/pid.new && mv {tmp_path}/pid.new {tmp_path}/pid\n"
        'while [ "$(cut -d" " -f4 "/proc/$$/stat")" = "$PPID" ]; do sleep 0.01; done\n'
        f'exec {shutil.which("setpriv")} "$@"\n'
    )
    late.chmod(0o755)
    daemon = textwrap.dedent(f"""
        import trio
        from pathlib import Path
        from thawd.engines.process import run_vmm
        async def main():
            async with run_vmm(["touch", {str(started)!r}], descriptors=(), output=2, runtime_directory=Path({str(tmp_path)!r})):
                await trio.sleep_forever()
        trio.run(main)
    """)
    environment = os.environ | {"PATH": f"{late.parent}:{os.environ['PATH']}"}
    killed = subprocess.Popen([sys.executable, "-c", daemon], env=environment)  # noqa: ASYNC220  as above
    with killed, trio.fail_after(30):
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110  another process writes it
            await trio.sleep(0.01)
        gone = os.pidfd_open(int((tmp_path / "pid").read_text()))
        killed.kill()
        await trio.lowlevel.wait_readable(gone)
    os.close(gone)

    assert not started.exists()


def record(tmp_path, number, **changes):
    stat = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    identity = {
        "pid": number,
        "start_ticks": int(stat[19]),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }
    (tmp_path / "machines").mkdir(exist_ok=True)
    (tmp_path / "machines" / str(number)).write_text(json.dumps(identity | changes))


@pytest.fixture
def stranger():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


async def test_an_orphan_is_killed(tmp_path, stranger):
    record(tmp_path, stranger.pid)

    assert await reap_orphans(tmp_path) == [stranger.pid]
    assert stranger.wait() == -signal.SIGKILL


@pytest.mark.parametrize("changes", [{"start_ticks": 1}, {"boot_id": "another"}, {"pid": "x"}])
async def test_a_process_that_only_shares_the_number_is_left_alone(tmp_path, stranger, changes):
    record(tmp_path, stranger.pid, **changes)

    assert await reap_orphans(tmp_path) == []
    assert alive(stranger.pid)
    assert list((tmp_path / "machines").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"pid": 1e400, "start_ticks": 1, "boot_id": ""}', "[1]", "7", None]
)
async def test_a_record_that_is_none_is_cleared_away(tmp_path, text):
    (tmp_path / "machines").mkdir()
    damaged = tmp_path / "machines" / "1"
    damaged.mkdir() if text is None else damaged.write_text(text)

    assert await reap_orphans(tmp_path) == []
    assert list((tmp_path / "machines").iterdir()) == []


async def test_a_record_of_a_process_id_beyond_any_is_cleared_away(tmp_path):
    record(tmp_path, os.getpid(), pid=1 << 40)

    assert await reap_orphans(tmp_path) == []
    assert list((tmp_path / "machines").iterdir()) == []


async def test_a_record_cut_off_by_the_crash_is_cleared_away(tmp_path):
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / "1").write_text('{"pid": 1, ')

    assert await reap_orphans(tmp_path) == []
    assert list((tmp_path / "machines").iterdir()) == []


async def test_no_records_at_all_are_no_orphans(tmp_path):
    assert await reap_orphans(tmp_path) == []


async def test_a_record_that_cannot_be_written_costs_no_machine(tmp_path):
    """On a full disk invocations go on; the parent-death signal ends the process without a record too."""
    (tmp_path / "machines").write_text("a file in the way")
    before = descriptors()
    async with sleeper(tmp_path) as process:
        assert process.exit_code is None

    assert process.exit_code is not None
    assert descriptors() == before


def test_a_console_keeps_its_end():
    console = ConsoleLog(limit=10)
    for number in range(1000):
        console.feed(b"%d\r\n" % number)

    assert console.tail() == "998\n999\n"

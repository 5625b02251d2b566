"""VMM processes: started so that they die with the daemon, watched, ended, and found again if that failed.

Three nets, each for what slips through the one before: the scope kills its process on every path; the kernel kills it
when the daemon is killed (parent-death signal); a daemon that starts kills what the records of an earlier one name.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field

from thawd.errors import EngineError, MachineDied
from thawd.files import Damaged, reading_ours, remove_tree
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_log = structlog.get_logger()

_RECORDS: Final = "machines"
_UNLESS_ORPHANED: Final = '[ "$PPID" = "$0" ] && exec "$@"'
"""Shell: run the command if our parent is still the daemon, whose pid is the first argument. A daemon that is killed after
the fork and before setpriv's prctl would leave a VMM that no signal ends and no record names."""
_STATE: Final = 0
_START_TIME: Final = 19
_CPU_TIMES: Final = slice(11, 13)
"""Positions in /proc/PID/stat after the command name (proc_pid_stat(5): fields 3, 22, 14 and 15)."""


def _stat_fields(pid: int) -> list[str]:
    # The command name may hold anything, closing parentheses included.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@define(eq=False)
class VmmProcess:
    """One running VMM. Made by `run_vmm`, whose scope kills it."""

    pid: int
    _popen: subprocess.Popen[bytes]
    _pidfd: int
    _ended: trio.Event = field(factory=trio.Event)
    _killed: bool = False

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._popen.returncode

    def kill(self) -> None:
        """Send SIGKILL. Harmless when the process has ended."""
        self._killed = True
        if self._popen.returncode is None:
            # It cannot have been reaped by anybody else, so the descriptor means this process or nothing.
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end; returns the exit code, negative for a signal."""
        await self._ended.wait()
        return self._popen.wait()

    def memory(self) -> dict[str, int]:
        """Bytes by name (`Rss`, `Private_Dirty`, ...) from smaps_rollup; 0.7 ms for a clone of 64 MiB.

        Raises `MachineDied`.
        """
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError as error:
            raise MachineDied(f"process {self.pid} has ended") from error
        if not lines:  # a zombie has no memory
            raise MachineDied(f"process {self.pid} has ended")
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}

    def cpu_s(self) -> float:
        """Seconds of processor time used so far, user and system. Raises `MachineDied`."""
        try:
            ticks = sum(map(int, _stat_fields(self.pid)[_CPU_TIMES]))
        except OSError as error:
            raise MachineDied(f"process {self.pid} has ended") from error
        return ticks / os.sysconf("SC_CLK_TCK")

    async def watch(self) -> None:
        """Reap the process when it ends. Shielded: it only ends with the process. Run by `run_vmm`."""
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(self._pidfd)
            exit_code = self._popen.wait()
            self._ended.set()
        if not self._killed:
            # Whoever used it sees its channel end, which does not say why.
            _log.warning("vmm.ended", pid=self.pid, exit_code=exit_code)


@asynccontextmanager
async def run_vmm(
    command: Sequence[str],
    *,
    descriptors: Sequence[int],
    output: int,
    runtime_directory: Path,
) -> AsyncIterator[VmmProcess]:
    """Run a VMM that inherits `descriptors` and writes to `output`; SIGKILL it when the scope ends.

    The process is recorded under `runtime_directory` for `reap_orphans`. Raises `EngineError` when it cannot start.
    """
    # Not trio's open_process: it forks in a worker thread, and the parent-death signal is sent when the *thread* that
    # forked ends (prctl(2), PR_SET_PDEATHSIG). Trio lets idle worker threads go after ten seconds, which would kill
    # every machine. Popen uses vfork, so the event loop stands still for one exec, below 1 ms.
    # setpriv adds 0.8 ms; preexec_fn would cost as much (no vfork) and is unsafe beside threads. The shell, another
    # 0.8 ms, looks at its parent once the signal is set: from then on the daemon's end is the VMM's.
    try:
        popen = subprocess.Popen(  # noqa: ASYNC220
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("sh", "-c", _UNLESS_ORPHANED, str(os.getpid())),
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            # A terminal's Ctrl-C goes to the daemon alone, which then ends its machines in order.
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(
            f"cannot start setpriv: {error}", hint="Install the package util-linux"
        ) from error
    record = runtime_directory / _RECORDS / str(popen.pid)
    pidfd = -1
    try:
        pidfd = os.pidfd_open(popen.pid)
        process = VmmProcess(popen.pid, popen, pidfd)
        async with helpers() as nursery:
            nursery.start_soon(process.watch)
            try:
                _write_record(record, popen.pid)
                yield process
            finally:
                process.kill()
    finally:
        if popen.returncode is None:  # pidfd_open failed: no descriptor left
            popen.kill()
            popen.wait()
        if pidfd >= 0:
            os.close(pidfd)
        with suppress(OSError):  # a record without its process does no harm
            record.unlink()


def _write_record(record: Path, pid: int) -> None:
    identity = {
        "pid": pid,
        "start_ticks": int(_stat_fields(pid)[_START_TIME]),
        "boot_id": _boot_id(),
    }
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record.write_text(json.dumps(identity))
    except OSError as error:
        # The parent-death signal ends it with us; the record is for the case that it does not. On a full disk a
        # machine without one is better than none.
        _log.warning("machine.not_recorded", pid=pid, reason=str(error))


async def reap_orphans(runtime_directory: Path) -> list[int]:
    """Kill the VMMs that an earlier daemon of this runtime directory left, and wait for their end.

    To be called before the first machine is started. A process is killed only if it is the one that was recorded:
    same host boot, same process id, same start time, checked while a pidfd holds on to it. Returns their pids.
    """
    reaped: list[int] = []
    for record in sorted((runtime_directory / _RECORDS).glob("*")):
        try:
            with reading_ours():
                identity = json.loads(record.read_bytes())
                pid, start_ticks = int(identity["pid"]), int(identity["start_ticks"])
                same_boot = identity["boot_id"] == _boot_id()
        except (OSError, Damaged):
            # Cut off by the crash itself. The parent-death signal has ended that process.
            same_boot = False
        if same_boot and await _kill_exactly(pid, start_ticks):
            reaped.append(pid)
        if record.is_dir():
            remove_tree(record)
        else:
            record.unlink(missing_ok=True)
    return reaped


async def _kill_exactly(pid: int, start_ticks: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, OverflowError):  # there is no such process, or could not be
        return False
    try:
        # The descriptor was opened first: if the start time read afterwards is right, it is that process's.
        stat = _stat_fields(pid)
        if int(stat[_START_TIME]) != start_ticks or stat[_STATE] in "ZX":
            return False  # another process, or one that has ended and waits to be reaped
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await trio.lowlevel.wait_readable(pidfd)
    except (FileNotFoundError, ProcessLookupError):
        return False
    finally:
        os.close(pidfd)
    return True

"""Programs of .NET as processes under the agent, with our start-up hook. Signals stop them, in the stead of a control group."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import agent_bed
import dotnet_bed as bed
import thaw_dotnet_assemblies as assemblies
from agent_bed import Bed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from thaw_agent import wire


class StoppedBed(Bed):
    """A bed whose function's process is stopped where a machine's control group would be frozen."""

    def __init__(self, root: Path, command: Callable[[wire.Init], list[str]]) -> None:
        super().__init__(root, command)
        self.agent._cgroup.processes = self._processes
        self._write = self.system.write
        self.system.write = self._write_or_stop

    def close(self) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                go(pid)
        super().close()

    def _processes(self) -> list[int]:
        runtime = self.agent._runtime
        return [runtime.pid] if runtime is not None else []

    def _write_or_stop(self, path: str, text: str) -> None:
        self._write(path, text)
        if path.endswith("cgroup.freeze"):
            for pid in self._processes():
                (stop if text == "1" else go)(pid)


@contextlib.contextmanager
def launching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bed]]:
    """What starts a command with variables. At the end no process is left."""
    monkeypatch.setattr(agent_bed, "PATIENCE_S", 60.0)
    hook = assemblies.ready(bed.ROOT / "runtimes" / "dotnet") / "Thaw.Runtime.dll"
    with contextlib.ExitStack() as beds:

        def launch(command: list[str], *, kind: str = "snap-start", **variables: str) -> Bed:
            machine = beds.enter_context(StoppedBed(tmp_path, lambda _init: command))
            environment = {
                "DOTNET_STARTUP_HOOKS": str(hook),
                "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
                "DOTNET_EnableDiagnostics": "0",
                "HOME": str(tmp_path),
                **variables,
            }
            machine.start(kind, runtime="dotnet10", memory_mib=512, environment=environment)
            return machine

        yield launch


def executed(*arguments: str | Path) -> list[str]:
    """The command that runs an assembly."""
    return [str(bed.sdk()), "exec", *map(str, arguments)]


def stop(pid: int) -> None:
    """Stop a process, and wait until all of it stands, or it is at its end."""
    os.kill(pid, signal.SIGSTOP)
    while state(pid) not in "TZ":
        time.sleep(0.0005)


def go(pid: int) -> None:
    """Let a stopped process run."""
    os.kill(pid, signal.SIGCONT)


def state(pid: int) -> str:
    """One letter, as proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

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


@contextlib.contextmanager
def launching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bed]]:
    """What starts a command with variables. At the end no process is left."""
    monkeypatch.setattr(agent_bed, "PATIENCE_S", 60.0)
    hook = assemblies.ready(bed.ROOT / "runtimes" / "dotnet") / "Thaw.Runtime.dll"
    beds = []

    def launch(command: list[str], *, kind: str = "snap-start", **variables: str) -> Bed:
        machine = Bed(tmp_path, lambda _init: command)
        beds.append(machine)
        agent = machine.agent
        write = machine.system.write

        def freeze(path, text):
            write(path, text)
            if path.endswith("cgroup.freeze"):
                (stop if text == "1" else go)(agent._runtime.pid)

        monkeypatch.setattr(machine.system, "write", freeze)
        monkeypatch.setattr(agent._cgroup, "processes", lambda: [agent._runtime.pid])
        environment = {
            "DOTNET_STARTUP_HOOKS": str(hook),
            "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
            "DOTNET_EnableDiagnostics": "0",
            "HOME": str(tmp_path),
            **variables,
        }
        machine.start(kind, runtime="dotnet10", memory_mib=512, environment=environment)
        return machine

    try:
        yield launch
    finally:
        for machine in beds:
            if machine.agent._runtime is not None:
                with contextlib.suppress(ProcessLookupError):
                    go(machine.agent._runtime.pid)
            machine.close()


def executed(*arguments: str | Path) -> list[str]:
    """The command that runs an assembly."""
    return [str(bed.sdk()), "exec", *map(str, arguments)]


def stop(pid: int) -> None:
    """Stop a process, and wait until all of it stands, or it is at its end."""
    os.kill(pid, signal.SIGSTOP)
    while state(pid) not in "TZ":
        time.sleep(0.0005)


def go(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def state(pid: int) -> str:
    """One letter, as proc(5) has it."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

"""Class libraries under our host and the guest's real agent, with no machine: a signal stands for a frozen control group."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dotnet_bed as bed
import thaw_dotnet_assemblies as assemblies
from agent_bed import Bed

from thaw_agent import wire

if TYPE_CHECKING:
    from collections.abc import Collection

RUNTIME: Final = bed.ROOT / "runtimes" / "dotnet"


def start(
    root: Path,
    folder: Path,
    handler: str,
    kind: str = "on-demand",
    *,
    variables: dict[str, str] | None = None,
    files: dict[str, str] | None = None,
    without: Collection[str] = (),
    hooked: bool = False,
) -> HostBed:
    """Start the class library in `folder`, with these files in it or in place of its own. The caller closes the bed.

    With `hooked` thawd's start-up hook is in the process too.
    """
    host = assemblies.ready(RUNTIME)
    (config,) = folder.glob("*.runtimeconfig.json")
    machine = HostBed(root, config.name.partition(".")[0], str(host / "Thaw.Bootstrap.dll"))
    task = Path(machine.system.path("/var/task"))
    # No links: .NET would look where they lead.
    shutil.copytree(
        folder, task, dirs_exist_ok=True, ignore=lambda _folder, names: set(names) & set(without)
    )
    for name, text in (files or {}).items():
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).write_text(text)
    environment = {
        "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
        "DOTNET_EnableDiagnostics": "0",
        "HOME": str(root),
        **({"DOTNET_STARTUP_HOOKS": str(host / "Thaw.Runtime.dll")} if hooked else {}),
        **(variables or {}),
    }
    machine.start(
        kind, handler=handler, runtime="dotnet10", memory_mib=512, environment=environment
    )
    return machine


class HostBed(Bed):
    """A bed whose function is a class library. Its process is stopped where a machine's would be frozen."""

    def __init__(self, root: Path, name: str, host: str) -> None:
        super().__init__(root, self._command)
        self._name, self._host = name, host
        self.agent._cgroup.processes = self._processes
        self._write = self.system.write
        self.system.write = self._write_or_stop

    def close(self) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        super().close()

    def _command(self, init: wire.Init) -> list[str]:
        task = self.system.path("/var/task")
        return [
            str(bed.sdk()),
            "exec",
            *("--depsfile", f"{task}/{self._name}.deps.json"),
            *("--runtimeconfig", f"{task}/{self._name}.runtimeconfig.json"),
            self._host,
            init.handler,
        ]

    def _processes(self) -> list[int]:
        runtime = self.agent._runtime
        return [runtime.pid] if runtime is not None else []

    def _write_or_stop(self, path: str, text: str) -> None:
        self._write(path, text)
        if path.endswith("cgroup.freeze"):
            for pid in self._processes():
                (stop if text == "1" else go)(pid)


def stop(pid: int) -> None:
    """Stop a process, and wait until all of it stands."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "TZ":
        time.sleep(0.0005)


def go(pid: int) -> None:
    """Let a stopped process run."""
    os.kill(pid, signal.SIGCONT)


def frozen(machine: Bed) -> wire.SnapshotReady:
    """What is said when the snapshot may be taken."""
    return wire.SnapshotReady.decode(machine.take(wire.Kind.SNAPSHOT_READY).payload)


def restored(machine: Bed) -> None:
    """Take the snapshot and be a clone."""
    machine.take(wire.Kind.SNAPSHOT_READY)
    machine.restore()
    machine.take(wire.Kind.RESTORED)


def reply(machine: Bed, event: Any, stream: int = 1, **members: Any) -> tuple[wire.Kind, bytes]:
    """Invoke and wait for the answer: its kind and body."""
    machine.invoke(
        event if isinstance(event, bytes) else json.dumps(event).encode(), stream=stream, **members
    )
    kinds = (wire.Kind.RESPONSE, wire.Kind.ERROR)
    machine.until(lambda: any(frame.kind in kinds for frame in machine.frames))
    head = next(frame for frame in machine.frames if frame.kind in kinds)
    machine.frames.remove(head)
    return head.kind, machine.body()


def texts(machine: Bed) -> list[str]:
    """The log without the times in front."""
    return [text.partition("\t")[2] or text for _, _, text in machine.logs()]

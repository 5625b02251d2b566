"""Class libraries under our host and the guest's real agent, with no machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dotnet_bed as bed
import thaw_dotnet_assemblies as assemblies
from process_bed import StoppedBed

from thaw_agent import wire

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent_bed import Bed

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


class HostBed(StoppedBed):
    """A bed whose function is a class library."""

    def __init__(self, root: Path, name: str, host: str) -> None:
        super().__init__(root, self._command)
        self._name, self._host = name, host

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

"""The start-up hook and the address book with a real .NET process: each generator of the function is found and renewed.

That nothing was missed is told by prediction: from the states that were found follows what each generator would say next.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import time

import dotnet_bed as bed
import pytest
import thaw_dotnet_assemblies as assemblies
from agent_bed import KEYS
from process_bed import executed, go, stop

from thaw_agent import control, wire
from thaw_agent.restore import address_book

pytestmark = bed.needs_sdk

RUNTIME = bed.ROOT / "runtimes" / "dotnet"
ROLL = {"8": "Minor", "10": "LatestMajor"}
"""The function is built for .NET 8, and takes the newest when it is told so."""
STEPS = 8
"""Draws ahead that are predicted: a thread's generator may serve others in between."""
MASK = (1 << 64) - 1
LIBRARIES = {
    "applicationinsights", "aspnetcore", "awssdk", "kestrel", "mathnet", "mongodb", "mysqlconnector", "newid", "npgsql",
    "openssl", "sqlclient", "sqlite", "uuidnext",
}  # fmt: skip
IN_MEMORY = {"random", "activity", "datadog", "ulid", "openssl"}
DRAWS = {
    "random: Random.Shared",
    "random: a static field",
    "random: an array of many",
    "random: a captured variable",
    "random: a singleton's field",
    "random: AWS SDK's jitter",
    "datadog: span id",
    "activity: span id",
}
"""Sources whose values are a generator's output as it is."""


def frameworks() -> set[str]:
    """The major versions that are here."""
    said = subprocess.run(
        [bed.sdk() or "false", "--list-runtimes"], capture_output=True, text=True, check=False
    ).stdout
    lines = [line.split() for line in said.splitlines()]
    return {version.partition(".")[0] for name, version, *_ in lines if "AspNetCore" in name}


def newest():
    return "10" if "10" in frameworks() else "8"


@pytest.fixture(scope="module", params=ROLL)
def version(request):
    if request.param not in frameworks():
        pytest.skip(f"no .NET {request.param} here")
    return request.param


@pytest.fixture
def start(launch):
    """Start the function of all sources on this .NET, with these variables."""
    folder = bed.published(bed.ROOT / "tests/dotnet/generators")

    def started(version, *, kind="snap-start", task=folder, arguments=None, **variables):
        program = executed(*(arguments or [task / "Generators.dll"]))
        roll = {"DOTNET_ROLL_FORWARD": ROLL[version], "DRIVERS": "1"}
        return launch(program, kind=kind, **{**roll, **variables})

    return started


def frozen(machine):
    return wire.SnapshotReady.decode(machine.take(wire.Kind.SNAPSHOT_READY).payload)


def answers(machine):
    """Be a clone: what its fixers report, and what the function then draws."""
    machine.restore()
    restored = wire.Restored.decode(machine.take(wire.Kind.RESTORED).payload)
    machine.invoke()
    machine.take(wire.Kind.RESPONSE)
    return restored, json.loads(machine.body())


def states(machine):
    """The state of each generator that was found in memory, by fixer."""
    book = machine.agent._generators
    found = {}
    for place in book._found.places:
        if place.size:
            found.setdefault(place.name, set()).add(book._memory.read(place.address, place.size))
    return found


def rotated(word, by):
    return (word << by | word >> (64 - by)) & MASK


def predicted(states):
    """What these generators (xoshiro256**) would say next, as numbers of 64 bits."""
    said = set()
    for one in states:
        a, b, c, d = struct.unpack("<4Q", one)
        for _ in range(STEPS):
            said.add(rotated(b * 5 & MASK, 7) * 9 & MASK)
            c, d, shifted = c ^ a, d ^ b, b << 17 & MASK
            b, a, c, d = b ^ c, a ^ d, c ^ shifted, rotated(d, 45)
    return said


def drawn(said, *, without=None):
    """The numbers that the function drew, by source, but on this kind of thread: halved as `NextInt64` does, or bytes."""
    found = {}
    for name, values in said.items():
        source, _, place = name.rpartition(", ")
        if source in DRAWS and place != without:
            numbers = found.setdefault(source, [])
            for value in values:
                numbers += [int(one, 16) for one in value.split()]
    return found


def foretold(source, states):
    if source.startswith("datadog"):
        return predicted(states["datadog"])
    if source.startswith("activity"):
        return {int.from_bytes(n.to_bytes(8, "little")) for n in predicted(states["activity"])}
    return {number >> 1 for number in predicted(states["random"])}


def by_name(report):
    return {fixer["name"]: fixer for fixer in report["fixers"]}


def test_every_generator_is_found(start, version, monkeypatch):
    """Not renewed, each says what follows from a state that was found: none was missed."""
    machine = start(version)
    ready = frozen(machine)
    assert ready.report["version"].partition(".")[0] == version
    before = states(machine)
    monkeypatch.setattr(machine.agent._generators, "renew", lambda _secret: None)
    _, said = answers(machine)

    # The pool may have got a thread since, whose generators are new.
    old = drawn(said, without="pool")
    for source, numbers in old.items():
        assert set(numbers) <= foretold(source, before), source
    assert set(old) == DRAWS


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DOTNET_gcServer": "1"},
        {"DOTNET_GCHeapHardLimit": "20000000"},
        {"DOTNET_TieredPGO": "0", "DOTNET_TieredCompilation": "0"},
        {"HEAP": "150"},
        {"COLLECT": "1"},
        {"LOAD": "1", "DOTNET_GCgen0size": "400000"},
    ],
    ids=["workstation", "server", "limited", "without tiers", "large", "collecting", "allocating"],
)
def test_every_generator_is_renewed_and_seeded_ones_are_kept(start, version, variables):
    machine = start(version, **variables)
    ready = frozen(machine)
    before = states(machine)
    restored, said = answers(machine)

    for source, numbers in drawn(said).items():
        assert not set(numbers) & foretold(source, before), source
        assert len(set(numbers)) == len(numbers), source
    assert len(drawn(said)["random: an array of many"]) == 200 * 6
    fixers = by_name(ready.report)
    assert set(fixers) == LIBRARIES | IN_MEMORY
    assert {one["result"] for one in fixers.values()} == {"ok"}
    assert {one["result"] for one in by_name(restored.report).values()} == {"ok"}
    assert "objects of classes that derive from Random" in "".join(ready.report["notes"])
    assert "look like" not in "".join(ready.report["notes"])


def test_credentials_that_were_cached_are_fetched_again(start):
    machine = start(newest())
    frozen(machine)
    restored, said = answers(machine)

    assert {*said["awssdk: access key, main"], *said["awssdk: access key, pool"]} == {"CLONE"}
    assert KEYS["AccessKeyId"] != "CLONE"
    assert by_name(restored.report)["awssdk"]["detail"] == "1 cleared"


def test_none_is_missed_however_a_collection_is_interrupted(start, version):
    """Stopped again and again while everything is collected and moved: what was there before and after was there."""
    machine = start(version, COLLECT="1", LOAD="1")
    frozen(machine)
    book, pid = machine.agent._generators, machine.agent._runtime.pid
    seen = []
    for _ in range(25):
        go(pid)
        time.sleep(0.01)
        stop(pid)
        book.find(between=lambda: address_book.pause(lambda: go(pid), lambda: stop(pid)))
        seen.append(set().union(*states(machine).values()))

    for before, during, after in zip(seen, seen[1:], seen[2:], strict=False):
        assert before & after <= during


@pytest.mark.parametrize("half", [0, 1])
def test_fixers_left_out_by_name_leave_their_own_alone(start, half):
    names = sorted(LIBRARIES | IN_MEMORY)[half::2]
    machine = start(newest(), THAW_SKIP_FIXERS=",".join(names))
    fixers = by_name(frozen(machine).report)

    assert {name for name, one in fixers.items() if one["result"] == "skipped"} == set(names)
    assert all("in memory" not in fixers[name]["detail"] for name in names)
    assert {one["result"] for name, one in fixers.items() if name not in names} == {"ok"}


def test_all_left_out_leave_everything_alone(start):
    machine = start(newest(), THAW_SKIP_FIXERS="*")
    ready = frozen(machine)
    _, said = answers(machine)

    assert {one["result"] for one in ready.report["fixers"]} == {"skipped"}
    assert machine.agent._generators is None
    assert set(drawn(said)) == DRAWS


def test_a_function_whose_hooks_nobody_calls_is_renewed_by_the_agent(start):
    machine = start(newest(), HOOKS="none")
    ready = frozen(machine)
    before = states(machine)
    restored, said = answers(machine)

    for source, numbers in drawn(said).items():
        assert not set(numbers) & foretold(source, before), source
    assert set(by_name(restored.report)) == IN_MEMORY
    assert "no hook was called" in "".join(ready.report["notes"])


def test_a_function_without_core_says_so_and_is_renewed_by_the_agent(start, tmp_path):
    task = tmp_path / "task"
    shutil.copytree(bed.published(bed.ROOT / "tests/dotnet/generators"), task)
    (task / "Amazon.Lambda.Core.dll").unlink()
    deps = json.loads((task / "Generators.deps.json").read_text())
    for target in [*deps["targets"].values(), deps["libraries"]]:
        for name in [name for name in target if name.startswith("Amazon.Lambda.Core/")]:
            del target[name]
    (task / "Generators.deps.json").write_text(json.dumps(deps))
    machine = start(newest(), task=task, HOOKS="none")
    ready = frozen(machine)
    before = states(machine)
    _, said = answers(machine)

    for source, numbers in drawn(said).items():
        assert not set(numbers) & foretold(source, before), source
    assert "brings no Amazon.Lambda.Core" in ready.report["notes"][0]


def test_a_hook_that_is_registered_too_late_is_named(start):
    notes = frozen(start(newest(), LATE="1")).report["notes"]

    assert any(
        "Generators.Drivers.Nothing was registered while hooks were running" in n for n in notes
    )


CORES = bed.CORES


def library(core=CORES[-1]):
    """The arguments that run the class library of the host's tests, whose hooks are two before and two after."""
    task = bed.published(bed.FUNCTIONS / "Library", CoreVersion=core)
    return [
        *("--depsfile", f"{task}/Library.deps.json"),
        *("--runtimeconfig", f"{task}/Library.runtimeconfig.json"),
        str(assemblies.ready(RUNTIME) / "Thaw.Bootstrap.dll"),
        "Library::Library.Function::Handle",
    ]


def lines(machine):
    return [text.rpartition("\t")[2] for _, _, text in machine.logs()]


@pytest.mark.parametrize("core", CORES)
def test_a_class_library_of_any_core_says_what_is_renewed(start, core):
    machine = start(newest(), arguments=library(core))
    ready = frozen(machine)
    machine.restore()
    restored = wire.Restored.decode(machine.take(wire.Kind.RESTORED).payload)

    has = core not in {"1.2.0", "2.4.0"}
    assert ("has no SnapStart hooks" in "".join(ready.report["notes"])) is not has
    assert (ready.report["us"] > 0) is has
    assert by_name(restored.report)["random"]["result"] == "ok"


def test_ours_is_the_last_hook_before_the_snapshot(start):
    """The user's that runs just before it fails: ours has not run."""
    machine = start(newest(), arguments=library(), FAIL="before 1")
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert failed.error_type == "Runtime.BeforeSnapshotError"
    assert machine.agent._report == {}


def test_ours_is_the_first_hook_after_the_restore(start, monkeypatch):
    """It fails, as there is no secret for this clone: none of the user's has run."""
    machine = start(newest(), arguments=library())
    frozen(machine)
    monkeypatch.setattr(control, "thaw", lambda *_: struct.pack(">BBHI", 1, 3, 0, 8) + bytes(8))
    machine.restore()
    failed = wire.RestoreFailed.decode(machine.take(wire.Kind.RESTORE_FAILED).payload)
    machine.take(wire.Kind.EXITED)

    assert failed.error_type == "Runtime.AfterRestoreError"
    assert "THAW has 8 bytes" in failed.message
    assert not [line for line in lines(machine) if line.startswith("after")]


def test_where_start_up_hooks_are_switched_off_there_is_no_report(start, tmp_path):
    """And without one the daemon takes no snapshot."""
    task = tmp_path / "task"
    shutil.copytree(bed.published(bed.ROOT / "tests/dotnet/generators"), task)
    config = json.loads((task / "Generators.runtimeconfig.json").read_text())
    config["runtimeOptions"]["configProperties"]["System.StartupHookProvider.IsSupported"] = False
    (task / "Generators.runtimeconfig.json").write_text(json.dumps(config))
    machine = start(newest(), task=task)

    assert frozen(machine).report == {}


def test_children_get_neither_descriptor_nor_hook(start, tmp_path):
    """And the user's own start-up hooks, which run after ours, see only themselves."""
    machine = start(newest(), CHILD=sys.executable)
    frozen(machine)
    said = json.loads(next(text for _, _, text in machine.logs() if text.startswith("{")))

    assert said == {"THAW_CONTROL_FD": None, "DOTNET_STARTUP_HOOKS": None, "sockets": 0}


def test_on_demand_it_only_keeps_the_descriptor_from_children(start):
    machine = start(newest(), kind="on-demand", CHILD=sys.executable)
    machine.take(wire.Kind.INIT_DONE)
    said = json.loads(next(text for _, _, text in machine.logs() if text.startswith("{")))

    assert said == {"THAW_CONTROL_FD": None, "DOTNET_STARTUP_HOOKS": None, "sockets": 0}
    assert machine.agent._report == {}

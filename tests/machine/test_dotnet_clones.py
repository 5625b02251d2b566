"""Real clones of .NET functions: every source on every kind of thread, .NET 10 and 8, with the fixers and without."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dotnet_bed as bed
import pytest
import trio
from live import EMULATED, create, publish, running

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live import Daemon

CLONES = 8
FEW = 3
"""Enough to see that two are alike."""
AT_ONCE = 2
Said = dict[str, list[str]]

pytestmark = bed.needs_sdk

RUNTIMES = ("dotnet10", "dotnet8")
BY_HOOKS = {
    "applicationinsights", "aspnetcore", "awssdk", "kestrel", "mathnet", "mongodb", "newid", "sqlite", "uuidnext",
}  # fmt: skip
"""Fixers whose state only hooks reach: a function without hooks goes without them, and its publish says so."""


@pytest.fixture(scope="module")
def function() -> Path:
    return bed.published(bed.ROOT / "tests/dotnet/generators")


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, images: Path) -> str:
    """A runtime with its image."""

    async def ensure() -> None:
        await ImageStore(images).ensure(request.param)

    trio.run(ensure)
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def of_two_processors(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose machines have two processors: with one, .NET takes no server collector."""
    settings = f"{EMULATED}vcpus = 2\n[limits]\nrestore_limit_s = 30\n"
    with running(tmp_path_factory.mktemp("state"), images, settings) as daemon:
        yield daemon


def published(daemon: Daemon, name: str, runtime: str, folder: Path, **variables: str) -> None:
    with daemon.client() as client:
        create(
            client, name, bed.zipped(folder), environment=variables, Runtime=runtime, Handler="Generators",
            MemorySize=512, Timeout=60,
        )  # fmt: skip
        done = publish(client, name)
        assert done["State"] == "Active", done.get("StateReason")


def trials(
    daemon: Daemon, name: str, count: int = CLONES, *, at_once: int = AT_ONCE
) -> list[dict[str, Any]]:
    """So many restores of version 1, each with its answer to one event."""

    def one(_: int) -> dict[str, Any]:
        with daemon.client() as client:
            trial = client.start(name, "1", "restore", ["{}"])
            (answer,) = trial["answers"]
            assert answer["error_type"] is None, answer
            return {**trial, "said": json.loads(answer["payload"])}

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


def shared(clones: list[Said]) -> set[str]:
    """Sources of which two clones said the same, by their name without the thread."""
    found = set()
    for name in clones[0]:
        values = [value for said in clones for value in set(said[name])]
        if len(values) > len(set(values)):
            found.add(name.rpartition(", ")[0])
    return found


def sources(clones: list[Said], *prefixes: str) -> set[str]:
    return {
        source
        for name in clones[0]
        if (source := name.rpartition(", ")[0]).partition(":")[0] in prefixes
    }


def everywhere(said: Said, source: str) -> set[str]:
    """Values of a source on all threads: which of them draws first from an object that they share is chance."""
    return {value for name in said if name.startswith(f"{source}, ") for value in said[name]}


def every(clones: list[Said]) -> set[str]:
    return {name.rpartition(", ")[0] for name in clones[0]}


def test_nothing_is_shared_but_what_is_kept(daemon: Daemon, runtime: str, function: Path) -> None:
    """Eight clones of it all: what is kept is the same in each, everything else is in none twice."""
    name = f"{runtime}-renewed"
    published(daemon, name, runtime, function)
    clones = [trial["said"] for trial in trials(daemon, name)]

    assert shared(clones) == sources(clones, "kept")
    for kept in sources(clones, "kept"):
        assert len({frozenset(everywhere(said, kept)) for said in clones}) == 1, kept


def test_each_is_shared_when_its_fixer_is_left_out(
    daemon: Daemon, runtime: str, function: Path
) -> None:
    """So that the test above can fail. What draws from the kernel differs all the same."""
    name = f"{runtime}-left"
    published(daemon, name, runtime, function, THAW_SKIP_FIXERS="*")
    clones = [trial["said"] for trial in trials(daemon, name, FEW)]

    assert shared(clones) == every(clones) - sources(clones, "kernel")


def test_generators_of_a_function_without_hooks_are_renewed(
    daemon: Daemon, runtime: str, function: Path
) -> None:
    """A client that asks for its first event at once: the agent finds the generators by what was said at the start."""
    name = f"{runtime}-unhooked"
    published(daemon, name, runtime, function, HOOKS="none")
    clones = [trial["said"] for trial in trials(daemon, name, FEW)]

    assert shared(clones) == sources(clones, "kept", *BY_HOOKS)


def test_nothing_is_shared_though_the_server_collector_is_interrupted(
    of_two_processors: Daemon, runtime: str, function: Path
) -> None:
    """It moves everything all the time, on two processors, and stands still somewhere within."""
    name = f"{runtime}-collecting"
    published(of_two_processors, name, runtime, function, DOTNET_gcServer="1", COLLECT="1")
    clones = [trial["said"] for trial in trials(of_two_processors, name, FEW, at_once=1)]

    assert everywhere(clones[0], "kept: the collector") == {"server"}
    assert shared(clones) == sources(clones, "kept")

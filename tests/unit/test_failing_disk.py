"""A disk that refuses any write costs what was to be written, and nothing once it works again.

`DISK_EXAMPLES=200` tries so many; the long test tries 2,000.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog
import trio
from attrs import evolve
from core import Core, invocation, running_core, version
from failing_disk import ERRORS, FailingDisk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_code_unpack import make
from test_lying_guest import MEMORY
from trio.testing import MockClock

from thawd.catalog.models import LATEST, Code, FunctionVersion, State
from thawd.catalog.store import Catalog
from thawd.code.bundles import BundleStore
from thawd.errors import ThawError
from thawd.guest.testing import FakeFunction
from thawd.snapshots.base import guest_memory_mib
from thawd.testing import without_threads

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES: Final = int(os.environ.get("DISK_EXAMPLES", "10"))

ZIPS: Final = {
    name: make(("app.py", f"def handler(e, c): return {name!r}".encode())).getvalue()
    for name in ("old", "new", "newer", "last")
}

pytestmark = pytest.mark.skipif(
    shutil.which("mkfs.erofs") is None, reason="mkfs.erofs is not installed"
)


async def store(bundles: BundleStore, name: str) -> Code:
    bundle = await bundles.add(ZIPS[name])
    return Code(sha256=bundle.code_sha256_base64, size=bundle.zip_size)


async def settled(catalog: Catalog, name: str, number: str) -> FunctionVersion:
    with trio.fail_after(300):
        while (now := catalog.version(name, number)).state is State.PENDING:  # noqa: ASYNC110
            await trio.sleep(1)
    return now


def draft(name: str, code: Code) -> FunctionVersion:
    return evolve(version(LATEST), function_name=name, code=code)


async def answers(core: Core, of: FunctionVersion) -> None:
    with trio.fail_after(10):
        outcome = await core.invoker.invoke(invocation(of, b"[1]"))
    assert (outcome.payload, outcome.function_error) == (b"[1]", None)


async def play(disk: FailingDisk, steps: list[str], *, based: bool, repaired_s: float) -> None:
    """A daemon's life: before, while the disk refuses, after it was repaired, and the next start."""
    state = disk.directory
    bundles = BundleStore(state / "code")
    bundles.prepare()
    # What the daemon has said that it did: functions with their versions.
    said: dict[str, set[str]] = {}

    with Catalog.open(state / "catalog.sqlite") as catalog:
        catalog._database = disk.database(catalog._database)
        async with running_core(
            state,
            FakeFunction(log=("a line",)),
            states=catalog,
            log_bytes=1 << 20,
            ready_disk=bundles.ready_disk,
        ) as core:

            async def publish(name: str) -> str:
                published, new = catalog.publish_version(name)
                if new:
                    core.publisher.publish(published)
                said[name].add(published.version)
                return published.version

            async def create(name: str, code: str) -> None:
                catalog.create_function(draft(name, await store(bundles, code)))
                said[name] = set()

            async def act(step: str) -> None:
                match step:
                    case "create":
                        name = f"f{len(said)}"
                        await create(name, "new")
                        await publish(name)
                    case "publish":
                        code = await store(bundles, "newer")
                        catalog.update_latest("old", lambda latest: evolve(latest, code=code))
                        await publish("old")
                    case "tags":
                        catalog.set_tags("old", {"a": "b"})
                    case "delete":
                        for name in [name for name in said if name != "old"][-1:]:
                            catalog.delete_function(name)
                            del said[name]
                            await core.publisher.forget(name)
                    case "wait":
                        await trio.sleep(20)

            if based:
                await core.host.bases.ensure("python3.13", guest_memory_mib(128, 512))
                await create("old", "old")
                await settled(catalog, "old", await publish("old"))
                disk.armed = True
            else:
                # The very first function of a daemon.
                disk.armed = True
                with refusable():
                    await create("old", "old")
                if "old" not in said:
                    disk.armed = False
                    await create("old", "old")
                    disk.armed = True
            for step in steps:
                with refusable():
                    await act(step)
                if based:
                    # What is there goes on.
                    await answers(core, catalog.version("old", "1"))
            await trio.sleep(repaired_s)
            disk.armed = False

            await create("last", "last")
            last = await settled(catalog, "last", await publish("last"))
            assert last.state is State.ACTIVE
            await answers(core, last)
            await answers(core, catalog.version("last"))
            for name, numbers in said.items():
                for number in numbers:
                    now = await settled(catalog, name, number)
                    assert now.state in {State.ACTIVE, State.FAILED}
                    if now.state is State.ACTIVE:
                        await answers(core, now)
                    else:
                        assert "cannot be" in now.state_reason or "not" in now.state_reason
            versions = catalog.all_versions()
            await trio.sleep(400)
            assert core.fleet.statistics().machines == 0
            lines = [
                line
                for path in core.logs.directory.rglob("*.ndjson")
                # What follows the last newline is cut off when the file is opened again.
                for line in path.read_text().split("\n")[:-1]
            ]
            assert all(json.loads(line)["timestamp"] for line in lines)

    # The next start.
    with Catalog.open(state / "catalog.sqlite") as catalog:
        assert versions == catalog.all_versions()
        assert said.keys() == {latest.function_name for latest in catalog.functions()}
        bundles = BundleStore(state / "code")
        bundles.prepare()
        for each in catalog.all_versions():
            data = bundles.find_zip(each.code.sha256).read_bytes()
            assert base64.b64encode(hashlib.sha256(data).digest()).decode() == each.code.sha256
        async with running_core(state, states=catalog) as core:
            kept = {
                (each.function_name, each.version)
                for each in catalog.all_versions()
                if each.snapshotted and each.state is not State.FAILED
            }
            core.publisher.recover()
            assert set(core.snapshots.function_versions()) == kept
            for name, number in kept:
                await core.snapshots.load(
                    core.snapshots.version_path(name, number),
                    code_disk=(
                        await bundles.ready_disk(catalog.version(name, number).code.sha256)
                    ).digest,
                )
    assert list(state.rglob(".new-*")) == []


class refusable:  # noqa: N801 - used like suppress()
    """What the daemon answers a client with an error: one of ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        return isinstance(error, ThawError)


STEPS: Final = st.lists(
    st.sampled_from(["create", "create", "publish", "publish", "tags", "delete", "wait"]),
    min_size=1,
    max_size=5,
)
RANGES: Final = st.builds(
    lambda start, length: range(start, start + length),
    st.integers(0, 60) | st.integers(0, 300),
    st.sampled_from([1, 1, 2, 3, 10, 50, 100_000]),
)


def lived(examples: int) -> Counter[str]:
    """Live so many lives; how many met what."""
    met: Counter[str] = Counter()

    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(
        refused=st.lists(RANGES, min_size=1, max_size=3).map(tuple),
        error=st.sampled_from(ERRORS),
        short=st.booleans(),
        rolls_back=st.booleans(),
        steps=STEPS,
        based=st.sampled_from([True, True, False]),
        repaired_s=st.sampled_from([0.0, 1.0, 100.0]),
    )
    def lives(
        refused: tuple[range, ...],
        error: int,
        *,
        short: bool,
        rolls_back: bool,
        steps: list[str],
        based: bool,
        repaired_s: float,
    ) -> None:
        with (
            tempfile.TemporaryDirectory(dir=MEMORY) as directory,
            without_threads(),
            structlog.testing.capture_logs() as logged,
            pytest.MonkeyPatch.context() as patch,
        ):
            disk = FailingDisk(Path(directory), refused, error, short, rolls_back)
            disk.patch(patch)
            trio.run(
                partial(play, disk, steps, based=based, repaired_s=repaired_s),
                clock=MockClock(autojump_threshold=0),
            )
        assert [entry for entry in logged if entry["event"].endswith(".crashed")] == []
        met["all"] += 1
        met["refused"] += disk.refusals > 0
        met["often"] += disk.refusals > 3
        met["lines lost"] += any(entry["event"] == "logbook.cannot_write" for entry in logged)
        met["failed"] += any(entry.get("state") == "Failed" for entry in logged)

    lives()
    return met


def test_a_disk_that_refuses_costs_what_was_to_be_written() -> None:
    """Then everything is done again without a hand; nothing is half there, and what was said is kept."""
    assert lived(EXAMPLES)["refused"] > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_disk_refuses_two_thousand_times(proven: Callable[[str, str], None]) -> None:
    """The same, and each step has met refusals in some of the lives."""
    met = lived(2000)

    assert met["refused"] >= met["all"] // 2
    assert min(met.values()) > 0
    proven(f"{met['all']:,} lives", f"all was done again without a hand; {dict(met)}")

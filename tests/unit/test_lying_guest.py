"""A guest that lies costs its own version and its own invocations at most.

`LYING_EXAMPLES=1000` plays so many scripts; the long test plays 10,000.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog
import trio
from attrs import evolve
from core import CODE, Core, invocation, running_core, version
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from lying import LyingGuest, Script, scripts
from trio.testing import MockClock

from thawd.catalog.models import LATEST, Code, FunctionVersion, State
from thawd.catalog.store import Catalog
from thawd.guest import lines
from thawd.guest.testing import FakeFunction
from thawd.invoke.outcome import NotRun, Reason
from thawd.snapshots.base import guest_memory_mib
from thawd.testing import without_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from thawd.engines.testing import FakeMachine

EXAMPLES: Final = int(os.environ.get("LYING_EXAMPLES", "20"))
LOG_BYTES: Final = 1 << 20
WAIT_S: Final = 30.0
STARTS_S: Final = 3 * 2 * (120.0 + 10.0)
"""Of three machines that are lost, each with an init that is begun a second time."""
LIAR: Final = Code(sha256="liar", size=1)

MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a sync costs nothing."""
_BATCH: Final = 500
"""Hypothesis remembers what it drew."""


def create(catalog: Catalog, name: str, code: Code) -> FunctionVersion:
    draft = evolve(version(LATEST), function_name=name, code=code)
    return catalog.create_function(draft)


async def settled(catalog: Catalog, name: str) -> FunctionVersion:
    """Version 1 of a function, published one way or the other within what an init may take."""
    with trio.fail_after(600):
        while (now := catalog.version(name, "1")).state is State.PENDING:  # noqa: ASYNC110
            await trio.sleep(1)
    return now


async def publish(core: Core, catalog: Catalog, name: str) -> FunctionVersion:
    published, _ = catalog.publish_version(name)
    core.publisher.publish(published)
    return await settled(catalog, name)


async def answer(core: Core, of: FunctionVersion, *, tail: bool = False) -> str:
    """How an invocation ends, which it does within its time-out, the wait for room, and what starts may take."""
    with trio.fail_after(WAIT_S + STARTS_S + of.timeout_s + 1):
        outcome = await core.invoker.invoke(invocation(of, b'{"a": 1}', tail=tail))
    if isinstance(outcome, NotRun):
        assert outcome.reason is not Reason.STOPPING
        outcome.detail.encode()
        return "refused"
    if outcome.function_error is not None and b"errorType" in outcome.payload:
        json.loads(outcome.payload)
    return "error" if outcome.function_error else "response"


async def honest(core: Core, catalog: Catalog, name: str, *, new: bool) -> None:
    """Another function notices nothing."""
    if new:
        create(catalog, name, CODE)
        assert (await publish(core, catalog, name)).state is State.ACTIVE
    began = trio.current_time()
    outcome = await core.invoker.invoke(invocation(catalog.version(name, "1"), b'{"a": 1}'))
    assert (outcome.payload, outcome.function_error) == (b'{"a": 1}', None)
    assert trio.current_time() - began < 1


def read_logs(core: Core) -> None:
    """All lines are whole, are JSON, and are not more than a function may keep."""
    for folder in core.logs.directory.iterdir():
        parts = list(folder.iterdir())
        assert sum(part.stat().st_size for part in parts) <= LOG_BYTES
        for part in parts:
            data = part.read_bytes()
            assert data.endswith(b"\n")
            for line in data.splitlines():
                assert json.loads(line).keys() == {"timestamp", "stream", "message"}
                line.decode()
    assert core.logs.lost == 0


async def play(
    directory: Path, script: Script, *, snap_start: bool, invocations: int, tail: bool
) -> set[str]:
    """One lying function's life beside an honest one's; how far it came."""
    liar, fair = LyingGuest(script), FakeFunction()

    async def guest(port: trio.abc.Stream, machine: FakeMachine) -> None:
        lying = machine.code.name == f"disk-{LIAR.sha256}"
        await (liar.guest if lying else fair.guest)(port, machine)

    stages: set[str] = set()
    with Catalog.open(directory / "catalog.sqlite") as catalog:
        async with running_core(
            directory,
            states=catalog,
            guest=guest,
            log_bytes=LOG_BYTES,
            capacity_wait_s=WAIT_S,
            max_machines=6,
            idle_s=200,
        ) as core:
            await core.host.bases.ensure("python3.13", guest_memory_mib(128, 512))
            await honest(core, catalog, "honest", new=True)
            latest = create(catalog, "liar", LIAR)
            if snap_start:
                latest = await publish(core, catalog, "liar")
                assert latest.state in {State.ACTIVE, State.FAILED}
                assert len(latest.state_reason or "") <= 5000
                json.dumps(latest.state_reason, ensure_ascii=False).encode()
                if latest.state is State.ACTIVE:
                    stages |= {"init done", "snapshot ready"}
            for _ in range(invocations):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(partial(honest, core, catalog, "honest", new=False))
                    if await answer(core, latest, tail=tail) == "response":
                        stages.add("response")
            if latest.state is State.ACTIVE and core.fleet.pool(latest).statistics().started:
                stages |= {"init done", "restored"} if snap_start else {"init done"}
            await honest(core, catalog, "another", new=True)
            assert catalog.version("liar").state is State.ACTIVE

            # At rest the fleet counts what its pools know, and nothing when all is given up.
            await trio.sleep(150)
            figures = core.fleet.statistics()
            known = sum(p.ready + p.idle + p.leased + p.starting for p in figures.pools.values())
            assert figures.machines == known == len(core.engine.machines)
            assert all(pool.leased == 0 for pool in figures.pools.values())
            # A start may end when nobody waits for it any more (two minutes at most), and is stock until it is idle.
            await trio.sleep(300)
            assert core.fleet.statistics().machines == len(core.engine.machines) == 0
            assert core.invoker.statistics().running == 0
            assert core.publisher._tasks == {}
            read_logs(core)
            assert not list(core.snapshots.directory.glob(".new-*"))
    return stages


def played(monkeypatch: pytest.MonkeyPatch, examples: int) -> Counter[str]:
    """Play so many scripts, each beside honest functions; how many came how far."""
    # A flood is one sooner, so that examples stay small.
    monkeypatch.setattr(lines, "_LOG_BURST_BYTES", 256 << 10)
    monkeypatch.setattr(lines, "_LOG_BYTES_PER_S", 64 << 10)
    far: Counter[str] = Counter()

    def lives(script: Script, *, snap_start: bool, invocations: int, tail: bool) -> None:
        with (
            tempfile.TemporaryDirectory(dir=MEMORY) as directory,
            without_threads(),
            structlog.testing.capture_logs() as logged,
        ):
            stages = trio.run(
                partial(
                    play,
                    Path(directory),
                    script,
                    snap_start=snap_start,
                    invocations=invocations,
                    tail=tail,
                ),
                clock=MockClock(autojump_threshold=0),
            )
        assert [entry for entry in logged if entry["event"].endswith(".crashed")] == []
        far.update(stages | {"all"} | ({"lies"} if script.lies else set()))
        for stage in sorted(stages):
            event(stage)

    drawn = given(
        script=scripts(),
        snap_start=st.sampled_from([True, True, True, False, False]),
        invocations=st.integers(1, 3),
        tail=st.booleans(),
    )
    for begun in range(0, examples, _BATCH):
        settings(
            max_examples=min(_BATCH, examples - begun),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            # A long run tells what it found at once: shrinking takes longer than finding it again.
            phases=(Phase.generate, Phase.shrink) if examples <= _BATCH else (Phase.generate,),
        )(drawn(lives))()
    assert far["all"] >= examples
    return far


# A script may hold a megabyte; Hypothesis writes down each that it plays.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
STAGES: Final = ("init done", "snapshot ready", "restored", "response")


def test_a_lying_guest_ends_its_own_version_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody above it falls, waits or is held up, and no guard of last resort was needed."""
    far = played(monkeypatch, EXAMPLES)
    if any(far[stage] < far["all"] // 20 for stage in STAGES):
        # Of so few, chance may keep a stage from its share; not twice.
        far += played(monkeypatch, EXAMPLES)

    for stage in STAGES:
        assert far[stage] >= far["all"] // 20, f"{stage}: {far}"


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_lying_guest_ten_thousand_times(
    monkeypatch: pytest.MonkeyPatch, proven: Callable[[str, str], None]
) -> None:
    """The same, and of each stage of a start a fifth of the scripts came past it."""
    far = played(monkeypatch, 10_000)

    for stage in STAGES:
        assert far[stage] >= far["all"] // 5, f"{stage}: {far}"
    shares = ", ".join(f"{stage} {far[stage] / far['all']:.0%}" for stage in STAGES)
    proven(f"{far['all']:,} scripts", f"nothing above the guest fell; past {shares}")

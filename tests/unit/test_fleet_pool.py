"""The fleet against a model, whatever the order of leases, returns, updates, deletions, deaths, evictions and time."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve, fields
from core import version
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from thawd.catalog.models import LATEST, Code, FunctionVersion
from thawd.environments.environment import Environment, Stage, Start
from thawd.errors import EngineError, MachineDied
from thawd.fleet.fleet import _SETTINGS, _WORDS, Fleet, machine_key, open_fleet
from thawd.fleet.pool import Deleted, NoCapacity
from thawd.guest.session import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Machine:
    """Only what a pool does with a machine."""

    def __init__(self, private_bytes: int) -> None:
        self.paused = False
        self.private_bytes = private_bytes
        self.measured = 0

    def statistics(self) -> SimpleNamespace:
        self.measured += 1
        return SimpleNamespace(private_bytes=self.private_bytes)

    async def pause(self) -> None:
        await trio.sleep(0.001)
        self.paused = True

    async def resume(self) -> None:
        await trio.sleep(0.001)
        self.paused = False


class Starting:
    """Starts environments; counts those that live, and can be told to fail."""

    def __init__(self) -> None:
        self.alive: list[Environment] = []
        self.most_alive = 0
        self.begun = 0
        self.fail = False
        self.takes_s = 0.15
        self.private_bytes = 30 << 20
        self.ending_s = 0.0
        """How long a machine takes to be gone."""
        self.losses = 0
        """So many of the next starts lose their machine."""

    @asynccontextmanager
    async def __call__(self, of: FunctionVersion) -> AsyncIterator[Environment]:
        self.begun += 1
        await trio.sleep(self.takes_s)
        if self.losses:
            self.losses -= 1
            raise MachineDied("killed")
        if self.fail:
            raise EngineError("no")
        host, guest = trio.testing.memory_stream_pair()
        async with open_session(host) as session:
            environment = Environment(
                id="e",
                generation=1,
                version=of,
                machine=Machine(self.private_bytes),
                session=session,
                log=None,
                start=Start(how="restore", took_ms=150, runtime_ms=1),
            )
            environment.machine.guest = guest
            self.alive.append(environment)
            self.most_alive = max(self.most_alive, len(self.alive))
            try:
                yield environment
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.ending_s)
                self.alive.remove(environment)


@asynccontextmanager
async def fleet_of(**settings_: object) -> AsyncIterator[tuple[Fleet, Starting]]:
    start = Starting()
    options = {"max_machines": 4, "ready_target": 0, "idle_s": 60.0, **settings_}
    async with open_fleet(start, **options) as fleet:
        yield fleet, start
    assert start.alive == []


def balanced(fleet: Fleet) -> None:
    """No machine that nobody knows, and no number that means none."""
    now = fleet.statistics()
    known = sum(pool.ready + pool.idle + pool.leased + pool.starting for pool in now.pools.values())
    assert now.machines == known + now.leaving + now.elsewhere
    assert now.machines <= now.max_machines


def at_rest(fleet: Fleet, start: Starting) -> None:
    """Nobody waits, nothing is under way, and every machine that lives is one that can be leased or evicted."""
    balanced(fleet)
    now = fleet.statistics()
    assert (now.leaving, now.elsewhere) == (0, 0)
    assert len(start.alive) == now.machines
    assert all(pool.waiting == 0 and pool.starting == 0 for pool in now.pools.values())
    assert fleet._claims == {}


def latest(revision: int, *, words: int = 0) -> FunctionVersion:
    """`$LATEST` after so many updates of its code and of its description."""
    return evolve(
        version(LATEST),
        code=Code(sha256=f"sha{revision}", size=1),
        description=str(words),
        revision_id=f"{revision}.{words}",
        last_modified=f"2026-01-01T00:00:{revision:02}.{words:03}+0000",
    )


_SECONDS = st.sampled_from([0.0, 0.01, 0.5, 5.0])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.booleans(), _SECONDS),
        st.tuples(st.just("lease latest"), st.booleans(), _SECONDS),
        st.tuples(st.just("lease an older one"), st.booleans(), _SECONDS),
        st.tuples(st.just("update"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("room"), st.booleans(), _SECONDS),
        st.tuples(st.just("die"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("fail"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("forget"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("wait"), st.booleans(), st.sampled_from([0.05, 1.0, 100.0])),
        st.tuples(st.just("cancelled"), st.booleans(), st.sampled_from([0.01, 0.2])),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(
    steps=_STEPS,
    most=st.integers(1, 4),
    ready=st.integers(0, 2),
    budget_mib=st.sampled_from([None, 100, 200, 1000]),
    at_once=st.booleans(),
)
def test_no_order_of_events_breaks_the_pools_promises(
    steps: list[tuple[str, object, float]],
    most: int,
    ready: int,
    budget_mib: int | None,
    at_once: bool,  # noqa: FBT001
) -> None:
    """Never two users on one environment, never more machines than allowed, none lost, none left.

    `at_once`: what happens one after the other happens in the same tick, before any task takes a step.
    """

    async def main() -> None:
        start = Starting()
        in_use: set[int] = set()
        revision = 1

        async def use(fleet: Fleet, of: FunctionVersion, good: object, seconds: float) -> None:
            try:
                async with fleet.pool(of).lease(wait_s=20) as environment:
                    assert id(environment) not in in_use, "leased twice"
                    assert environment.version.code == of.code
                    in_use.add(id(environment))
                    try:
                        assert environment.stage in {Stage.LEASED, Stage.RETIRED}
                        assert not environment.machine.paused
                        await trio.sleep(seconds)
                        environment.reusable = bool(good)
                    finally:
                        in_use.remove(id(environment))
            except (NoCapacity, Deleted, EngineError):
                pass

        async def visit(fleet: Fleet, seconds: float) -> None:
            with suppress(NoCapacity):
                async with fleet.room("a test", wait_s=20):
                    await trio.sleep(seconds)

        budget = None if budget_mib is None else budget_mib << 20
        async with (
            open_fleet(
                start, max_machines=most, ready_target=ready, idle_s=30, budget_bytes=budget
            ) as fleet,
            trio.open_nursery() as nursery,
        ):
            for index, (kind, flag, seconds) in enumerate(steps):
                of = version(str(1 + index % 2))
                if kind == "lease":
                    nursery.start_soon(use, fleet, of, flag, seconds)
                elif kind == "lease latest":
                    nursery.start_soon(use, fleet, latest(revision), flag, seconds)
                elif kind == "lease an older one":
                    nursery.start_soon(use, fleet, latest(max(1, revision - 1)), flag, seconds)
                elif kind == "update":
                    revision += 1
                elif kind == "room":
                    nursery.start_soon(visit, fleet, seconds)
                elif kind == "cancelled":
                    with trio.move_on_after(seconds):
                        await use(fleet, of, flag, 10)
                elif kind == "die" and start.alive:
                    await start.alive[int(flag) % len(start.alive)].machine.guest.aclose()
                elif kind == "fail":
                    start.fail = bool(flag)
                elif kind == "forget":
                    fleet.forget("f", of.version if flag else LATEST)
                elif kind == "wait":
                    await trio.sleep(seconds)
                if not at_once:
                    await wait_all_tasks_blocked()
                assert len(start.alive) <= most
                balanced(fleet)
            start.fail = False
            await trio.sleep(20 + 5 + 1)
            at_rest(fleet, start)
            # Whatever happened before, the fleet serves again.
            async with fleet.pool(version("9")).lease(wait_s=20) as environment:
                environment.reusable = True
            await trio.sleep(200)
            at_rest(fleet, start)
            assert fleet.statistics().machines == 0, "idle machines stayed"
        assert start.alive == []

    trio.run(main, clock=MockClock(autojump_threshold=0))


@settings(max_examples=80, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "3", "latest", "older", "update", "words", "room", "wait"]),
            st.sampled_from([0.0, 0.1, 0.3]),
        ),
        max_size=20,
    ),
    most=st.integers(1, 3),
    ready=st.integers(0, 2),
)
def test_who_waits_is_served(steps: list[tuple[str, float]], most: int, ready: int) -> None:
    """However few machines, and however often the code changes meanwhile: as long as invocations end, nobody is refused."""

    async def main() -> None:
        start = Starting()
        revision, words, served = 1, 0, 0

        async def use(fleet: Fleet, of: FunctionVersion, seconds: float) -> None:
            nonlocal served
            async with fleet.pool(of).lease(wait_s=30) as environment:
                await trio.sleep(seconds)
                environment.reusable = True
            served += 1

        async def visit(fleet: Fleet, seconds: float) -> None:
            nonlocal served
            async with fleet.room("a test", wait_s=30):
                await trio.sleep(seconds)
            served += 1

        async with (
            open_fleet(start, max_machines=most, ready_target=ready, idle_s=30) as fleet,
            trio.open_nursery() as nursery,
        ):
            asked = 0
            for kind, seconds in steps:
                if kind == "update":
                    revision, words = revision + 1, 0
                    continue
                if kind == "words":
                    words += 1
                    continue
                if kind == "wait":
                    await trio.sleep(seconds)
                    continue
                asked += 1
                if kind == "room":
                    nursery.start_soon(visit, fleet, seconds)
                elif kind == "latest":
                    nursery.start_soon(use, fleet, latest(revision, words=words), seconds)
                elif kind == "older":
                    nursery.start_soon(use, fleet, latest(max(1, revision - 1)), seconds)
                else:
                    nursery.start_soon(use, fleet, version(kind), seconds)
            await trio.sleep(29)
            assert served == asked
            at_rest(fleet, start)
        assert start.most_alive <= most

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_pool_that_is_superseded_or_closed_in_the_tick_of_a_lease_loses_no_machine(
    autojump_clock: MockClock,
) -> None:
    """Six leases that ask for two revisions in turn, in one tick, on four machines; and a deletion between two more."""
    async with fleet_of() as (fleet, start), trio.open_nursery() as nursery:
        served: list[str] = []

        async def use(of: FunctionVersion) -> None:
            async with fleet.pool(of).lease(wait_s=20) as environment:
                assert environment.version.code == of.code
                environment.reusable = True
                served.append(of.code.sha256)

        for revision in (1, 2, 1, 2, 1, 2):
            nursery.start_soon(use, latest(revision))
        await trio.sleep(5)
        assert sorted(served) == ["sha1", "sha1", "sha1", "sha2", "sha2", "sha2"]
        at_rest(fleet, start)
        assert {one.version.code.sha256 for one in start.alive} == {"sha2"}

        async def wait() -> None:
            with pytest.raises(Deleted):
                async with pool.lease(wait_s=20):
                    pass

        pool = fleet.pool(version("3"))
        nursery.start_soon(wait)
        await trio.lowlevel.checkpoint()
        fleet.forget("f")
        await trio.sleep(1)
        at_rest(fleet, start)
        assert start.alive == []


async def test_a_start_that_is_only_scheduled_when_its_pool_closes_never_begins(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of() as (fleet, start):
        pool = fleet.pool(version())
        place = fleet.spare(1)
        assert place is not None
        pool.start(place)
        fleet.forget("f")
        balanced(fleet)
        await trio.sleep(1)
        at_rest(fleet, start)
        assert start.begun == 0


@pytest.mark.parametrize(("versions", "most"), [(1, 1), (2, 2)])
async def test_stock_in_advance_evicts_nothing(
    autojump_clock: MockClock, versions: int, most: int
) -> None:
    """With the default of one ready machine and as many places as versions: warm machines are used again."""
    async with fleet_of(max_machines=most, ready_target=1) as (fleet, start):
        for _ in range(8):
            for number in range(versions):
                async with fleet.pool(version(str(number))).lease(wait_s=10) as environment:
                    environment.reusable = True
                await trio.sleep(1)
        statistics = fleet.statistics()
        assert statistics.evictions == versions - 1, "stock made way for who waited, once"
        assert [pool.reused for pool in statistics.pools.values()] == [7] * versions
        at_rest(fleet, start)


async def test_stock_that_is_being_started_goes_before_what_has_served(
    autojump_clock: MockClock,
) -> None:
    one, two = version("1"), version("2")
    async with fleet_of(max_machines=2, ready_target=1) as (fleet, _start):
        async with fleet.pool(one).lease(wait_s=60) as served:
            served.reusable = True
        assert fleet.pool(one).statistics().starting == 1
        async with fleet.pool(two).lease(wait_s=60) as other:
            other.reusable = True

        async with fleet.pool(one).lease(wait_s=60) as again:
            assert again is served
        assert fleet.statistics().evictions == 1


async def test_one_who_waits_evicts_one(autojump_clock: MockClock) -> None:
    """A machine on its way out is room on its way: others are not evicted for the same need."""
    async with fleet_of(max_machines=3) as (fleet, start):
        start.ending_s = 1.0
        for number in ("1", "2", "3"):
            async with fleet.pool(version(number)).lease(wait_s=10) as environment:
                environment.reusable = True
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:

            async def use(number: str) -> None:
                async with fleet.pool(version(number)).lease(wait_s=10) as environment:
                    environment.reusable = True

            nursery.start_soon(use, "4")
            await trio.sleep(0.5)
            # Something else happens meanwhile, which makes the fleet look again.
            await use("3")
        assert fleet.statistics().evictions == 1


async def test_a_machine_given_back_makes_room_for_another_version(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of(max_machines=1) as (fleet, _), trio.open_nursery() as nursery:

        async def use(number: str, seconds: float) -> None:
            async with fleet.pool(version(number)).lease(wait_s=10) as environment:
                await trio.sleep(seconds)
                environment.reusable = True

        nursery.start_soon(use, "1", 2)
        await trio.sleep(1)
        with trio.fail_after(2):
            await use("2", 0)


async def test_a_busy_version_does_not_keep_others_out(autojump_clock: MockClock) -> None:
    """Its queue is never empty; the other one waits for seconds and not for as long as that lasts."""
    async with fleet_of(max_machines=1) as (fleet, _), trio.open_nursery() as nursery:

        async def busy() -> None:
            while True:
                async with fleet.pool(version("1")).lease(wait_s=60) as environment:
                    await trio.sleep(0.5)
                    environment.reusable = True

        for _ in range(3):
            nursery.start_soon(busy)
        await trio.sleep(1)
        with trio.fail_after(7):
            async with fleet.pool(version("2")).lease(wait_s=60):
                pass
        with trio.fail_after(7):
            async with fleet.room("a publish"):
                pass
        assert fleet.statistics().evictions <= 4
        nursery.cancel_scope.cancel()


async def test_an_update_lets_invocations_end_and_serves_who_waits(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of(max_machines=1) as (fleet, start), trio.open_nursery() as nursery:
        order: list[str] = []

        async def use(of: FunctionVersion, seconds: float) -> None:
            async with fleet.pool(of).lease(wait_s=30) as environment:
                await trio.sleep(seconds)
                assert environment.healthy
                environment.reusable = True
                order.append(of.code.sha256)

        nursery.start_soon(use, latest(1), 3)
        await wait_all_tasks_blocked()
        nursery.start_soon(use, latest(1), 1)
        await wait_all_tasks_blocked()
        await use(latest(2), 0)
        assert order == ["sha1", "sha1", "sha2"]
        at_rest(fleet, start)


async def test_other_words_are_not_another_machine(autojump_clock: MockClock) -> None:
    async with fleet_of() as (fleet, start):
        for words in range(3):
            async with fleet.pool(latest(1, words=words)).lease(wait_s=10) as environment:
                environment.reusable = True
        assert fleet.statistics().pools["f:$LATEST"].started == 1
        await trio.sleep(1)
        at_rest(fleet, start)


@pytest.mark.parametrize(
    "change",
    [
        {"code": Code(sha256="other", size=1)},
        {"environment": {"A": "1"}},
        {"handler": "app.other"},
        {"memory_mib": 256},
        {"ephemeral_mib": 1024},
        {"timeout_s": 4},
        {"runtime": "python3.12"},
        {"log_format": "JSON"},
        {"log_group": "/other"},
        {"a setting that is new": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_machine_depends_on_makes_another_machine(change: dict[str, object]) -> None:
    if "a setting that is new" in change:
        known = {one.name for one in fields(FunctionVersion)}
        # Whoever adds a setting decides here: it makes another machine unless it is named as words.
        assert known - _WORDS == set(_SETTINGS) | {"environment"}
        return
    before = version(LATEST)
    assert machine_key(evolve(before, **change)) != machine_key(before)


async def test_an_invocation_of_an_older_revision_leaves_the_newer_ones_machines(
    autojump_clock: MockClock,
) -> None:
    """It was accepted before an update and runs after it: it gets a machine of its own, which nobody keeps."""
    async with fleet_of() as (fleet, start):
        for of in (latest(1), latest(2), latest(1), latest(2)):
            async with fleet.pool(of).lease(wait_s=10) as environment:
                environment.reusable = True
            await trio.sleep(1)
        pools = fleet.statistics().pools
        assert (pools["f:$LATEST"].idle, pools["f:$LATEST"].reused) == (1, 1)
        assert [one.version.code.sha256 for one in start.alive] == ["sha2"]


async def test_a_clock_that_was_set_back_does_not_make_new_code_old_for_long(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of() as (fleet, _):
        newer = evolve(latest(2), last_modified="2025-12-31T00:00:00.000+0000")
        async with fleet.pool(latest(1)).lease(wait_s=10) as environment:
            environment.reusable = True
        await trio.sleep(61)
        for _ in range(2):
            async with fleet.pool(newer).lease(wait_s=10) as environment:
                environment.reusable = True
        assert fleet.statistics().pools["f:$LATEST"].reused == 1


async def test_a_deletion_lets_invocations_end_and_refuses_who_waits(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of(max_machines=1) as (fleet, start):
        ended = False

        async def run() -> None:
            nonlocal ended
            async with fleet.pool(version()).lease(wait_s=30) as environment:
                await trio.sleep(3)
                ended = environment.reusable = environment.healthy

        async def wait() -> None:
            with pytest.raises(Deleted):
                async with fleet.pool(version()).lease(wait_s=30):
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(1)
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            fleet.forget("f")
        await trio.sleep(1)
        assert ended
        assert start.alive == []
        assert fleet.statistics().pools == {}


async def test_what_runs_outside_of_the_pools_takes_a_place(autojump_clock: MockClock) -> None:
    """And makes room for itself as an invocation does; whoever comes after it waits."""
    async with fleet_of(max_machines=1) as (fleet, start):
        async with fleet.pool(version()).lease(wait_s=10) as environment:
            environment.reusable = True
        async with fleet.room("a publish", wait_s=5):
            assert start.alive == []
            assert (fleet.statistics().machines, fleet.statistics().elsewhere) == (1, 1)
            with pytest.raises(NoCapacity):
                async with fleet.pool(version()).lease(wait_s=5):
                    pass
            with pytest.raises(NoCapacity, match="for another publish"):
                async with fleet.room("another publish", wait_s=5):
                    pass
        async with fleet.pool(version()).lease(wait_s=5):
            pass
        await trio.sleep(1)
        at_rest(fleet, start)


async def test_memory_is_measured_when_a_machine_is_paused_and_not_at_each_admission(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of(budget_bytes=300 << 20) as (fleet, start):
        start.private_bytes = 120 << 20
        for number in ("1", "2"):
            async with fleet.pool(version(number)).lease(wait_s=10) as environment:
                environment.reusable = True
        await trio.sleep(1)
        machines = [one.machine for one in start.alive]
        measured = [machine.measured for machine in machines]
        for number in ("3", "4", "5"):
            async with fleet.pool(version(number)).lease(wait_s=10):
                assert fleet.statistics().machines == 2, "one of 120 MiB and the new one have room"
        assert [machine.measured for machine in machines] == measured


async def test_a_running_machine_that_grows_makes_others_go(autojump_clock: MockClock) -> None:
    async with fleet_of(budget_bytes=300 << 20) as (fleet, start):
        start.private_bytes = 40 << 20
        async with fleet.pool(version("1")).lease(wait_s=10) as environment:
            environment.reusable = True
        await trio.sleep(1)
        async with fleet.pool(version("2")).lease(wait_s=10) as environment:
            environment.machine.private_bytes = 290 << 20
            await trio.sleep(10)
            assert start.alive == [environment]
            environment.reusable = True
        await trio.sleep(10)
        at_rest(fleet, start)
        assert start.alive == [environment], "alone it may stay, whatever it takes"


async def test_a_freed_environment_serves_a_waiter_before_a_new_start_does(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of() as (fleet, start):
        pool = fleet.pool(version())
        async with pool.lease(wait_s=1) as first:
            first.reusable = True
            async with trio.open_nursery() as nursery:

                async def second() -> None:
                    async with pool.lease(wait_s=1) as environment:
                        assert environment is first

                nursery.start_soon(second)
                await wait_all_tasks_blocked()
                pool._give_back(first)
                await trio.sleep(0.01)
                first.reusable = False
        await trio.sleep(1)
        assert len(start.alive) == 1  # what was started meanwhile is ready stock


async def test_who_waits_for_room_is_throttled_and_who_waits_for_a_start_is_not(
    autojump_clock: MockClock,
) -> None:
    """How long a start may take is its own affair: an init has a limit."""
    async with fleet_of(max_machines=1) as (fleet, start):
        start.takes_s = 100
        outcomes: list[tuple[str, float]] = []

        async def lease(number: str) -> None:
            try:
                async with fleet.pool(version(number)).lease(wait_s=10):
                    outcomes.append((f"served {number}", trio.current_time()))
            except NoCapacity:
                outcomes.append((f"throttled {number}", trio.current_time()))

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in ("1", "1", "2"):
                nursery.start_soon(lease, number)
                await wait_all_tasks_blocked()  # a nursery starts its tasks in any order
        after = sorted((what, at - began) for what, at in outcomes)

        assert [what for what, _ in after] == ["served 1", "throttled 1", "throttled 2"]
        assert [at for _, at in after] == pytest.approx([100, 10, 10])


async def test_a_failed_start_is_raised_in_who_waits_for_it(autojump_clock: MockClock) -> None:
    async with fleet_of() as (fleet, start):
        start.fail = True
        with pytest.raises(EngineError):
            async with fleet.pool(version()).lease(wait_s=10):
                pass


@pytest.mark.parametrize(("most", "losses"), [(4, 1), (4, 2), (1, 2)])
async def test_a_machine_lost_while_it_starts_is_not_its_invocations_loss(
    autojump_clock: MockClock, most: int, losses: int
) -> None:
    async with fleet_of(max_machines=most) as (fleet, start):
        start.losses = losses
        async with fleet.pool(version()).lease(wait_s=10) as environment:
            assert environment.healthy
        assert fleet.pool(version()).statistics().failed == losses


async def test_a_snapshot_that_loses_every_machine_is_given_up(autojump_clock: MockClock) -> None:
    async with fleet_of() as (fleet, start):
        start.losses = 100
        with pytest.raises(MachineDied):
            async with fleet.pool(version()).lease(wait_s=10):
                pass
        assert start.losses == 97


async def test_the_least_recently_used_environment_of_any_pool_makes_room(
    autojump_clock: MockClock,
) -> None:
    async with fleet_of(max_machines=2) as (fleet, _):
        for number in ("1", "2", "3"):
            async with fleet.pool(version(number)).lease(wait_s=10) as environment:
                environment.reusable = True
            await trio.sleep(1)

        pools = fleet.statistics().pools
        assert (pools["f:1"].idle, pools["f:2"].idle, pools["f:3"].idle) == (0, 1, 1)

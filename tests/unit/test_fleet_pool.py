"""The pool against a model, whatever the order of leases, returns, deaths, evictions and time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from core import version
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from thawd.environments.environment import Environment, Stage, Start
from thawd.errors import EngineError, MachineDied
from thawd.fleet.fleet import Fleet, open_fleet
from thawd.fleet.pool import NoCapacity
from thawd.guest.session import open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.catalog.models import FunctionVersion


class Machine:
    """Only what a pool does with a machine."""

    def __init__(self) -> None:
        self.paused = False

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
        self.fail = False
        self.losses = 0
        """So many of the next starts lose their machine."""

    @asynccontextmanager
    async def __call__(self, of: FunctionVersion) -> AsyncIterator[Environment]:
        await trio.sleep(0.15)
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
                machine=Machine(),
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
                self.alive.remove(environment)


@asynccontextmanager
async def fleet_of(**settings_: object) -> AsyncIterator[tuple[Fleet, Starting]]:
    start = Starting()
    options = {"max_machines": 4, "ready_target": 0, "idle_s": 60.0, **settings_}
    async with open_fleet(start, **options) as fleet:
        yield fleet, start
    assert start.alive == []


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.booleans(), st.sampled_from([0.01, 0.5, 5.0])),
        st.tuples(st.just("die"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("fail"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("forget"), st.booleans(), st.just(0.0)),
        st.tuples(st.just("wait"), st.booleans(), st.sampled_from([0.05, 1.0, 100.0])),
        st.tuples(st.just("cancelled"), st.booleans(), st.sampled_from([0.01, 0.2])),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(steps=_STEPS, most=st.integers(1, 4), ready=st.integers(0, 2))
def test_no_order_of_events_breaks_the_pools_promises(
    steps: list[tuple[str, object, float]], most: int, ready: int
) -> None:
    """Never two users on one environment, never more machines than allowed, none lost, none left."""

    async def main() -> None:
        start = Starting()
        in_use: set[int] = set()

        async def use(fleet: Fleet, number: str, good: object, seconds: float) -> None:
            try:
                async with fleet.pool(version(number)).lease(wait_s=20) as environment:
                    assert id(environment) not in in_use, "leased twice"
                    in_use.add(id(environment))
                    try:
                        assert environment.stage is Stage.LEASED
                        assert not environment.machine.paused
                        await trio.sleep(seconds)
                        environment.reusable = bool(good)
                    finally:
                        in_use.remove(id(environment))
            except (NoCapacity, EngineError):
                pass

        async with (
            open_fleet(start, max_machines=most, ready_target=ready, idle_s=30) as fleet,
            trio.open_nursery() as nursery,
        ):
            for index, (kind, flag, seconds) in enumerate(steps):
                number = str(1 + index % 2)
                if kind == "lease":
                    nursery.start_soon(use, fleet, number, flag, seconds)
                elif kind == "cancelled":
                    with trio.move_on_after(seconds):
                        await use(fleet, number, flag, 10)
                elif kind == "die" and start.alive:
                    await start.alive[int(flag) % len(start.alive)].machine.guest.aclose()
                elif kind == "fail":
                    start.fail = bool(flag)
                elif kind == "forget":
                    fleet.forget("f", number)
                elif kind == "wait":
                    await trio.sleep(seconds)
                await wait_all_tasks_blocked()
                assert len(start.alive) <= most
            start.fail = False
            await trio.sleep(60)
            # Whatever happened before, the fleet serves again.
            async with fleet.pool(version("9")).lease(wait_s=20) as environment:
                environment.reusable = True
            statistics = fleet.statistics()
            assert statistics.machines <= most
            await trio.sleep(200)
            assert fleet.statistics().machines == 0, "idle machines stayed"
        assert start.alive == []

    trio.run(main, clock=MockClock(autojump_threshold=0))


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

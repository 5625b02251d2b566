"""How long an init may take: a sleep as on Lambda, computing by what it would take on a real processor."""

from __future__ import annotations

import pytest
from agent_bed import Bed
from hypothesis import given
from hypothesis import strategies as st

from thaw_agent import init_limit, wire
from thaw_agent.init_limit import InitLimit

TICK_S = 0.001


class World:
    """Clock, loop and control group in one. `share` of the time the function's processes use a processor."""

    def __init__(self, share):
        self.now_s = 0.0
        self.share = share
        self.timers = []

    def monotonic_ns(self):
        return round(self.now_s * 1e9)

    def after(self, seconds, call):
        self.timers.append((self.now_s + seconds, call))

    def processor_us(self):
        return round(self.now_s * self.share * 1e6)

    def run(self, until_s):
        while self.timers and self.timers[0][0] <= until_s:
            self.now_s, call = self.timers.pop(0)
            call()
        self.now_s = until_s


@pytest.fixture
def over_at(monkeypatch):
    def run(share, *, limit_s, slow_down, ends_s=None):
        world, over = World(share), []
        monkeypatch.setattr(init_limit, "time", world)
        limit = InitLimit(
            world, world, limit_us=round(limit_s * 1e6), slow_down=slow_down,
            over=lambda: over.append(world.now_s),
        )  # fmt: skip
        if ends_s is not None:
            world.run(ends_s)
            limit.end()
        world.run(1e6)
        return over, limit.counted_us() / 1e6

    return run


@pytest.mark.parametrize("slow_down", [1, 20])
def test_a_sleep_ends_when_it_does_on_lambda(over_at, slow_down):
    over, _ = over_at(0.0, limit_s=10, slow_down=slow_down)

    assert over == pytest.approx([10], abs=0.03)


@pytest.mark.parametrize(("slow_down", "at_s"), [(1, 10), (20, 200)])
def test_computing_gets_the_time_that_it_needs_on_this_processor(over_at, slow_down, at_s):
    over, _ = over_at(1.0, limit_s=10, slow_down=slow_down)

    assert over == pytest.approx([at_s], abs=0.5)


def test_several_processors_do_not_make_time_go_backwards(over_at):
    over, _ = over_at(4.0, limit_s=10, slow_down=20)

    assert over == pytest.approx([200], abs=0.5)


@given(
    share=st.floats(0, 2), limit_s=st.floats(0.1, 900), slow_down=st.integers(1, 50),
    ends_s=st.floats(0, 2000),
)  # fmt: skip
def test_it_is_over_once_or_it_ended_before(share, limit_s, slow_down, ends_s):
    with pytest.MonkeyPatch.context() as patch:
        world, over = World(share), []
        patch.setattr(init_limit, "time", world)
        limit = InitLimit(
            world, world, limit_us=round(limit_s * 1e6), slow_down=slow_down,
            over=lambda: over.append(world.now_s),
        )  # fmt: skip
        world.run(ends_s)
        counted_s = limit.end() / 1e6
        world.run(1e6)

        assert len(over) <= 1
        assert world.timers == []
        # The last look may be this much late, in the slowest clock that there is.
        assert counted_s <= limit_s + 0.03
        assert not over or counted_s >= limit_s - 1e-5


def test_the_host_is_told(tmp_path):
    with Bed(tmp_path) as bed:
        bed.start("on-demand", limit_ms=30)
        failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    assert failed.error_type == wire.INIT_TIMED_OUT


def test_an_init_that_ends_in_time_says_what_it_took(tmp_path):
    with Bed(tmp_path) as bed:
        bed.start("on-demand", limit_ms=60_000, slow_down=20)
        client = bed.client()
        client.ask("GET", "/2018-06-01/runtime/invocation/next")
        done = wire.InitDone.decode(bed.take(wire.Kind.INIT_DONE).payload)

        assert 0 < done.counted_us <= done.duration_us + 1000
        assert bed.agent._init_limit._ended_us == done.counted_us

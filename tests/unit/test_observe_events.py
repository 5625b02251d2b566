"""Lifecycle events: bounded broadcast."""

from __future__ import annotations

import pytest
import trio
from attrs import define, field

from thawd.observe.events import DROPPED, Event, Events


@define
class FakeLog:
    lines: list = field(factory=list)

    def info(self, name, **fields):
        self.lines.append(("info", name, fields))

    def warning(self, name, **fields):
        self.lines.append(("warning", name, fields))


@pytest.fixture
def log():
    return FakeLog()


@pytest.fixture
def events(log):
    return Events(clock=lambda: 12.5, log=log)


async def test_one_call_reaches_the_log_and_every_subscriber(events, log):
    with events.subscribe() as one, events.subscribe() as two:
        events.emit("machine.restored", version=3)
        events.emit("machine.died", level="warning")

        for receive in (one, two):
            assert Event("machine.restored", 12.5, {"version": 3}) == await receive.receive()
            assert (await receive.receive()).name == "machine.died"
    assert log.lines == [
        ("info", "machine.restored", {"version": 3}),
        ("warning", "machine.died", {}),
    ]


async def test_a_slow_subscriber_loses_events_and_is_told_how_many(events):
    with events.subscribe(buffer=2) as slow, events.subscribe() as quick:
        for number in range(5):
            events.emit("e", number=number)
        seen = [(await slow.receive()).fields for _ in range(2)]
        events.emit("e", number=5)
        seen.append((await slow.receive()).as_dict())
        seen.append((await slow.receive()).fields)

        assert seen == [
            {"number": 0},
            {"number": 1},
            {"event": DROPPED, "time": 12.5, "count": 3},
            {"number": 5},
        ]
        assert quick.statistics().current_buffer_used == 6
    assert events.statistics().dropped == 3


async def test_the_gap_is_told_even_when_only_its_notice_fits(events):
    """The notice takes the one free place: the event itself then counts as missed again."""
    with events.subscribe(buffer=1) as slow:
        for number in range(3):
            events.emit("e", number=number)
        assert (await slow.receive()).fields == {"number": 0}
        events.emit("e", number=3)
        assert (await slow.receive()).fields == {"count": 2}
        events.emit("e", number=4)

        assert (await slow.receive()).fields == {"count": 1}


async def test_a_subscription_ends_with_its_scope(events):
    with events.subscribe() as receive:
        assert events.statistics().subscribers == 1
    events.emit("e")

    with pytest.raises(trio.ClosedResourceError):
        receive.receive_nowait()
    assert events.statistics().subscribers == 0


async def test_a_subscriber_that_closed_its_end_does_no_harm(events):
    with events.subscribe() as receive:
        receive.close()
        events.emit("e")

    assert events.statistics().emitted == 1

"""As configured by default, a machine that has served serves again: making up stock takes no place from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from live import EMULATED, Daemon, call, publish_everything, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thawd.cli.client import Client

INVOCATIONS = 8


@pytest.fixture(scope="module")
def small(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two published functions, whose number of machines each test sets."""
    with running(tmp_path_factory.mktemp("small"), images) as daemon:
        publish_everything(daemon, "one", "two")
        yield daemon


def limited(daemon: Daemon, machines: int) -> Daemon:
    daemon.stop()
    daemon.settings = f"{EMULATED}[pool]\nmax_machines = {machines}\n"
    return daemon.start()


def counted(daemon: Daemon, client: Client, name: str) -> int:
    """How manieth call of its machine an invocation is.

    A machine is free when its runtime has asked for the next invocation, which is after the answer: a caller that does
    not wait for that may well get another one.
    """

    def free() -> bool:
        pools = daemon.statistics()["fleet"]["pools"]
        return not any(pool["leased"] for pool in pools.values())

    count: int = call(client, name)["calls"]
    wait_until(free, what="its machine rests")
    return count


def test_one_machine_serves_all_invocations_of_its_version(small: Daemon) -> None:
    limited(small, 1)
    with small.client() as client:
        calls = [counted(small, client, "one") for _ in range(INVOCATIONS)]

    assert calls == list(range(1, INVOCATIONS + 1))
    fleet = small.statistics()["fleet"]
    assert (fleet["evictions"], fleet["pools"]["one:1"]["reused"]) == (0, INVOCATIONS - 1)


def test_two_machines_serve_two_versions_in_turn(small: Daemon) -> None:
    limited(small, 2)
    with small.client() as client:
        calls = [
            [counted(small, client, name) for name in ("one", "two")] for _ in range(INVOCATIONS)
        ]

    assert calls == [[count, count] for count in range(1, INVOCATIONS + 1)]
    fleet = small.statistics()["fleet"]
    # The first one's stock was in the place that the second needed; what served was never evicted.
    assert fleet["evictions"] <= 1
    assert [fleet["pools"][name]["reused"] for name in ("one:1", "two:1")] == [INVOCATIONS - 1] * 2


def test_a_warm_machine_is_reused_beside_one_that_is_kept_ready(
    client: Client, daemon: Daemon, everything: str
) -> None:
    """With room to spare there are both: the one that served, and `pool.ready` that nobody has used yet."""
    first = counted(daemon, client, everything)

    calls = [counted(daemon, client, everything) for _ in range(INVOCATIONS)]

    assert calls == list(range(first + 1, first + 1 + INVOCATIONS))

    def ready() -> int:
        return int(daemon.statistics()["fleet"]["pools"][f"{everything}:1"]["ready"])

    wait_until(lambda: ready() == 1, what="one is ready")

"""Clones of one snapshot: independent, unique, on time, hooks run."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from live import Daemon, call

if TYPE_CHECKING:
    from thawd.cli.client import Client

CLONES = 8
AT_ONCE = 3


def start(
    client: Client, name: str, *events: dict[str, object], how: str = "restore"
) -> list[dict[str, object]]:
    """One clone's answers to these events."""
    trial = client.start(
        name, "1" if how == "restore" else None, how, [json.dumps(event) for event in events]
    )
    assert all(answer["error_type"] is None for answer in trial["answers"]), trial
    return [json.loads(answer["payload"]) for answer in trial["answers"]]


def test_eight_clones_share_no_unique_value(daemon: Daemon, everything: str) -> None:
    """os.urandom, uuid4, secrets, random, ssl.RAND_bytes, names and ids: no value of one clone is another's."""

    def one(_: int) -> list[dict[str, object]]:
        with daemon.client() as client:
            return start(client, everything, {"do": "unique"}, {"do": "unique"})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        clones = list(pool.map(one, range(CLONES)))

    for source in clones[0][0]:
        if source in {"hostname", "machine_id", "boot_id"}:
            values = [answers[0][source] for answers in clones]
        else:
            values = [answer[source] for answers in clones for answer in answers]
        assert len(set(values)) == len(values), f"{source} repeats: {values}"


def test_clones_do_not_see_each_other(daemon: Daemon, client: Client, everything: str) -> None:
    first = start(client, everything, {}, {}, {})
    second = start(client, everything, {})

    assert [answer["calls"] for answer in first] == [1, 2, 3]
    assert second[0]["calls"] == 1


def test_hooks_ran_last_registered_first_then_first_registered_first(
    client: Client, everything: str
) -> None:
    (answer,) = start(client, everything, {})

    assert answer["order"] == ["before 2", "before 1", "after 1", "after 2"]


def test_the_clock_is_right_however_old_the_snapshot_is(client: Client, everything: str) -> None:
    """Within 50 ms; the snapshot was taken seconds ago, and its clock stood still since."""
    time.sleep(2)

    offsets = []
    for _ in range(3):
        trial = client.start(everything, "1", "restore", ["{}", "{}"])
        second = trial["answers"][1]
        said = json.loads(second["payload"])["time"]
        # The value was read between sending the second event and its answer.
        offsets.append((said - second["began_s"], said - second["ended_s"]))
    for since_sent, until_answered in offsets:
        assert since_sent > -0.05, offsets
        assert until_answered < 0.05, offsets


def test_the_clock_is_right_after_a_pause(client: Client, everything: str) -> None:
    call(client, everything)
    time.sleep(2)  # idle machines are paused after 0.1 s

    before = time.time()
    answer = call(client, everything)
    after = time.time()

    assert before - 0.05 <= answer["time"] <= after + 0.05
    assert answer["calls"] > 1


def test_a_start_from_the_base_snapshot_is_unique_too(client: Client, everything: str) -> None:
    """$LATEST starts from a snapshot as well, one that all functions share."""
    first = start(client, everything, {"do": "unique"}, how="base")
    second = start(client, everything, {"do": "unique"}, how="base")

    for source, value in first[0].items():
        assert value != second[0][source], source


def test_steps_of_a_restore_are_reported(client: Client, everything: str) -> None:
    trial = client.start(everything, "1", "restore", ["{}"])

    assert {"clock", "entropy", "identity", "thaw"} <= set(trial["start"]["steps_us"])
    fixers = {fixer["name"]: fixer["result"] for fixer in trial["start"]["report"]["fixers"]}
    assert fixers["random"] == fixers["openssl"] == "ok"
    assert [hook["name"] for hook in trial["start"]["report"]["hooks"]] == [
        "app.after_one",
        "app.after_two",
    ]

"""What a function does to the agent of its machine costs that function at most, with its own error and nobody's 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from live import FUNCTIONS, Daemon, call, create, failed, publish, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client


@pytest.fixture(scope="module")
def hostile(client: Client) -> str:
    create(client, "hostile", FUNCTIONS / "hostile")
    published = publish(client, "hostile")
    assert published["State"] == "Active", published["StateReason"]
    return "hostile"


@pytest.fixture(scope="module")
def neighbour(client: Client) -> str:
    create(client, "neighbour", FUNCTIONS / "hostile")
    publish(client, "neighbour")
    return "neighbour"


@pytest.fixture(autouse=True)
def unaffected(client: Client, neighbour: str) -> Iterator[None]:
    """Another function is served before and after."""
    assert call(client, neighbour, do="nothing") == "well"
    yield
    assert call(client, neighbour, do="nothing") == "well"


def test_connections_of_many_processes_are_bounded(client: Client, hostile: str) -> None:
    answer = call(client, hostile, do="connections")

    assert answer["connections"] > 1900
    assert answer["status"] == 404  # the agent serves
    assert call(client, hostile, do="nothing") == "well"


@pytest.mark.parametrize(
    ("act", "answer"),
    [
        ("half_bodies", 404),
        ("year", "well"),
        ("control", 100),
        ("foreign", [400, 403, 403, 403, 403]),
    ],
)
def test_nonsense_to_the_agent_is_refused_and_the_machine_serves_on(
    client: Client, hostile: str, act: str, answer: object
) -> None:
    assert call(client, hostile, do=act) == answer
    assert call(client, hostile, do="nothing") == "well"


def test_of_two_answers_the_first_counts(client: Client, hostile: str) -> None:
    assert call(client, hostile, do="own") == "first"
    assert call(client, hostile, do="nothing") == "well"


def test_a_fork_bomb_ends_with_the_timeout(client: Client, daemon: Daemon, hostile: str) -> None:
    client.update_configuration(hostile, {"Timeout": 2})
    version = publish(client, hostile)["Version"]
    client.update_configuration(hostile, {"Timeout": 30})
    error = failed(client, hostile, version, do="bomb")

    def gone() -> bool:
        # Others of the version are ready in advance; the one that was bombed is neither leased nor idle nor leaving.
        fleet = daemon.statistics()["fleet"]
        pool = fleet["pools"].get(f"{hostile}:{version}", {"leased": 0, "idle": 0})
        return not (pool["leased"] or pool["idle"] or fleet["leaving"])

    assert error["errorType"] == "Sandbox.Timedout"
    wait_until(gone, what="the machine is gone")
    assert call(client, hostile, version, do="nothing") == "well"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("next", "the function asked for its next invocation before its init was over"),
        ("large error", "LookupError: eeee"),
    ],
)
def test_a_failed_publish_says_what_the_function_did(client: Client, act: str, reason: str) -> None:
    name = f"hostile-{act.replace(' ', '-')}"
    create(client, name, FUNCTIONS / "hostile", environment={"HOSTILE": act})
    published = publish(client, name)

    assert (published["State"], published["StateReasonCode"]) == ("Failed", "FunctionError")
    assert reason in published["StateReason"]


def test_a_time_beyond_the_calendar_in_a_hook_is_a_line_like_others(client: Client) -> None:
    create(client, "hostile-year", FUNCTIONS / "hostile", environment={"HOSTILE": "year"})
    assert publish(client, "hostile-year")["State"] == "Active"

    assert call(client, "hostile-year", do="nothing") == "well"


def test_a_function_has_lambdas_limits_and_no_user_namespaces(client: Client, hostile: str) -> None:
    assert call(client, hostile, do="namespace") == {
        "unshare": -1,
        "most": "0",
        "bpf": "1",
        "descriptors": 1024,
    }


def test_lines_below_the_application_log_level_are_dropped(client: Client) -> None:
    create(
        client,
        "levels",
        FUNCTIONS / "hostile",
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"},
    )
    publish(client, "levels")
    call(client, "levels", do="log")

    def told() -> list[str]:
        lines = [entry["message"] for entry in client.logs("levels", version="1", lines=30)]
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return [one["level"] for one in said if str(one.get("message")).startswith("told at")]

    wait_until(told, what="its lines are in the log")
    assert told() == ["WARNING", "ERROR"]

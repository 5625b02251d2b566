"""Every way an invocation, a restore or a publish can end, as Lambda ends it: type, message, status, log line."""

from __future__ import annotations

import base64
import re

import pytest
from live import (
    FUNCTIONS,
    Daemon,
    call,
    create,
    failed,
    last_log,
    machine_asked_last,
    publish,
    wait_until,
)

from thawd.cli.client import Client, DaemonRefused


def test_surroundings_are_lambdas(client: Client, everything: str) -> None:
    seen = call(client, everything, do="surroundings")

    environment = seen["environment"]
    assert (seen["uid"], seen["cwd"], seen["task_writable"], seen["tmp_mib"]) == (
        993,
        "/var/task",
        False,
        512,
    )
    assert seen["from_init"] == "written before the snapshot"
    assert (seen["function"], seen["version"]) == ("everything", "1")
    assert seen["arn"].endswith(":function:everything:1")
    assert 25_000 < seen["remaining_ms"] <= 30_000
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environment["_HANDLER"] == "app.handler"
    for absent in (
        "AWS_ACCESS_KEY_ID",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "THAW_CONTROL_FD",
    ):
        assert absent not in environment


def test_boto3_finds_credentials_and_each_clone_its_own(client: Client, everything: str) -> None:
    import json

    keys = set()
    for _ in range(2):
        trial = client.start(everything, "1", "restore", ['{"do": "credentials"}'])
        answer = json.loads(trial["answers"][0]["payload"])
        assert answer["token"]
        keys.add(answer["access_key"])
    assert len(keys) == 2


def test_latest_runs_on_demand(client: Client, everything: str) -> None:
    environment = call(client, everything, None, do="surroundings")["environment"]

    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environment["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    # REPORT comes after the answer, when the runtime asks for its next invocation.
    wait_until(
        lambda: "Init Duration" in last_log(client, everything, "$LATEST")[-1], what="REPORT"
    )


def test_tail_is_the_invocations_log(client: Client, everything: str) -> None:
    answer = client.invoke(everything, "1", b'{"do": "print"}', tail=True)

    lines = base64.b64decode(answer.log_tail).decode().splitlines()
    assert lines[0].startswith("START RequestId: ")
    assert {"to standard output", "to standard error"} <= set(lines)
    assert lines[-2].startswith("END RequestId: ")
    assert re.fullmatch(
        r"REPORT RequestId: [0-9a-f-]{36}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\t"
        r"Max Memory Used: [1-9]\d* MB\t(Restore Duration: \d+\.\d\d ms\tBilled Restore Duration: \d+ ms\t)?",
        lines[-1],
    )


def test_an_exception_is_the_functions_error(client: Client, everything: str) -> None:
    error = failed(client, everything, do="raise")

    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'no such thing'")
    assert "do_raise" in "".join(error["stackTrace"])


def test_a_timeout_ends_the_machine(client: Client, daemon: Daemon, everything: str) -> None:
    client.update_configuration(everything, {"Timeout": 1})
    version = publish(client, everything)["Version"]
    error = failed(client, everything, version, do="sleep", seconds=60)
    client.update_configuration(everything, {"Timeout": 30})

    assert error["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(
        r"RequestId: \S+ Error: Task timed out after 1.00 seconds", error["errorMessage"]
    )
    lines = last_log(client, everything, version)
    assert lines[-1].endswith("\tStatus: timeout")
    assert re.search(r"Task timed out after 1.00 seconds$", lines[-3])
    assert call(client, everything, version)["calls"] == 1  # another machine


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"do": "exit", "code": 0}, "Runtime exited without providing a reason"),
        ({"do": "exit", "code": 7}, "Runtime exited with error: exit status 7"),
        ({"do": "kill"}, "Runtime exited with error: signal: killed"),
    ],
)
def test_an_exit_of_the_runtime_ends_the_machine(
    client: Client, everything: str, event: dict[str, object], message: str
) -> None:
    error = failed(client, everything, **event)

    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: " + message)
    assert last_log(client, everything)[-1].endswith("Status: error\tError Type: Runtime.ExitError")
    assert call(client, everything)["calls"] == 1


def test_memory_beyond_the_limit_kills_the_function_only(client: Client, everything: str) -> None:
    """MemorySize 256 MB and 512 MB for /tmp: a gigabyte is too much."""
    error = failed(client, everything, do="eat", bytes=1 << 30)

    assert error["errorType"] in {"Runtime.ExitError", "MemoryError"}
    assert call(client, everything)["order"]


def test_a_response_over_the_limit(client: Client, everything: str) -> None:
    assert len(call(client, everything, do="large", bytes=6_000_000)) == 6_000_000
    error = failed(client, everything, do="large", bytes=6_291_556)

    assert error == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    machine = machine_asked_last(client, everything)
    call(client, everything)
    assert machine_asked_last(client, everything) != machine


def test_a_large_event_comes_back_whole(client: Client, everything: str) -> None:
    text = "large event " * 400_000
    assert call(client, everything, do="echo", text=text)["text"] == text


def test_invalid_json_never_reaches_a_machine(client: Client, everything: str) -> None:
    with pytest.raises(DaemonRefused) as caught:
        client.invoke(everything, "1", b"{not json")

    assert (caught.value.status, caught.value.code) == (400, "InvalidRequestContentException")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("init", "ValueError: the module failed"),
        ("exit", "Runtime.ExitError"),
        ("before", "Runtime.BeforeSnapshotError|RuntimeError: the before hook failed"),
    ],
)
def test_a_failed_init_fails_the_version_with_the_true_reason(
    client: Client, everything: str, kind: str, reason: str
) -> None:
    name = f"fails-{kind}"
    create(client, name, FUNCTIONS / "everything", environment={"FAIL": kind})
    published = publish(client, name)

    assert (published["State"], published["StateReasonCode"]) == ("Failed", "FunctionError")
    assert published["StateReason"].startswith("An error occurred during function initialization.")
    assert re.search(reason, published["StateReason"]), published["StateReason"]
    assert any("Status: error" in line for line in last_log(client, name))
    with pytest.raises(DaemonRefused) as caught:
        client.invoke(name, "1", b"{}")
    assert caught.value.status == 409


def test_a_failed_after_hook_is_a_snapstart_exception(client: Client, everything: str) -> None:
    create(client, "fails-after", FUNCTIONS / "everything", environment={"FAIL": "after"})
    assert publish(client, "fails-after")["State"] == "Active"

    with pytest.raises(DaemonRefused) as caught:
        client.invoke("fails-after", "1", b"{}")

    assert (caught.value.status, caught.value.code) == (400, "SnapStartException")
    assert last_log(client, "fails-after")[-1].endswith(
        "Status: error\tError Type: Runtime.AfterRestoreError"
    )


def test_a_restore_over_its_limit_is_a_snapstart_timeout(client: Client, everything: str) -> None:
    create(client, "fails-slow", FUNCTIONS / "everything", environment={"FAIL": "slow"})
    assert publish(client, "fails-slow")["State"] == "Active"

    with pytest.raises(DaemonRefused) as caught:
        client.invoke("fails-slow", "1", b"{}")

    assert (caught.value.status, caught.value.code) == (408, "SnapStartTimeoutException")
    assert last_log(client, "fails-slow")[-1].endswith("\tStatus: timeout")

"""The host of class libraries as a process under the agent: with any release of Amazon.Lambda.Core, and with none."""

from __future__ import annotations

import json
import os
import subprocess

import dotnet_bed as bed
import host_bed
import pytest
import thaw_dotnet_assemblies as assemblies
from host_bed import reply, restored, texts

from thaw_agent import wire

pytestmark = bed.needs_sdk

CORES = bed.CORES
HANDLE = "Library::Library.Function::Handle"


@pytest.fixture
def start(serve):
    """Start a function of the test library, built against this release of Core; the bed it runs in."""

    def started(kind="on-demand", *, core=CORES[-1], handler=HANDLE, **more):
        folder = bed.published(bed.FUNCTIONS / "Library", CoreVersion=core)
        return serve(folder, handler, kind, **more)

    return started


@pytest.mark.parametrize("core", CORES)
def test_a_function_of_any_core_sees_its_context_and_logs(start, core):
    machine = start(core=core)
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(
        machine,
        {"Say": "tea"},
        trace_id="Root=1-2-3",
        client_context='{"custom":{"a":"é"}}',
        cognito_identity='{"cognitoIdentityId":"me"}',
    )
    machine.take(wire.Kind.DONE)
    answer = json.loads(body)

    assert kind is wire.Kind.RESPONSE
    assert answer["calls"] == 1
    assert answer["request"] == "request-1"
    assert answer["function"] == "orders:7"
    assert answer["memory"] == 512
    assert answer["heap"] == 512
    assert answer["identity"] == "me"
    assert answer["custom"] == {"a": "é"}
    assert answer["trace"] == "Root=1-2-3"
    assert answer["remaining"]
    assert answer["types"]
    expected = [
        "\tinfo\tconstructed",
        "request-1\tinfo\ttea",
        "request-1\tfail\ttea on error",
        "request-1\tinfo\ttea by the logger",
        "request-1\ttrce\ttea by the static one",
    ]
    if core != "1.2.0":
        expected.append("request-1\twarn\ttea with a warning")
    if core not in {"1.2.0", "2.4.0", "2.5.0"}:
        assert answer["traced"] == "Root=1-2-3"
    assert texts(machine) == expected


@pytest.mark.parametrize("core", CORES)
def test_hooks_run_around_the_snapshot_in_awss_order_where_core_has_any(start, core):
    machine = start("snap-start", core=core)
    restored(machine)
    kind, _ = reply(machine, {})

    has = core not in {"1.2.0", "2.4.0"}
    assert kind is wire.Kind.RESPONSE
    lines = [text.rpartition("\t")[2] for text in texts(machine)]
    if has:
        assert lines == ["constructed", "before 2", "before 1", "after 1", "after 2"]
    else:
        assert lines[0] == "constructed"
        assert "updating the version of Amazon.Lambda.Core" in lines[1]


def test_the_log_group_is_nobodys_under_snapstart(start):
    machine = start("snap-start")
    restored(machine)
    _, body = reply(machine, {})

    assert json.loads(body).get("group") is None


def test_an_error_of_the_handler_is_posted_and_logged_and_the_next_event_is_served(start):
    machine = start()
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, {"Throw": "no tea"})
    machine.take(wire.Kind.DONE)
    error = json.loads(body)

    assert kind is wire.Kind.ERROR
    assert list(error) == ["errorType", "errorMessage", "stackTrace", "cause"]
    assert (error["errorType"], error["errorMessage"]) == ("InvalidOperationException", "no tea")
    assert error["stackTrace"][0].startswith("at Library.Function.Handle(")
    assert error["cause"]["errorMessage"] == "of the kettle"
    assert texts(machine)[-1].startswith(
        "request-1\tfail\tSystem.InvalidOperationException: no tea\n"
    )
    assert reply(machine, {}, stream=2)[0] is wire.Kind.RESPONSE


def test_a_response_that_is_too_large_fails_its_invocation_alone(start):
    machine = start()
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, {"Megabytes": 7})
    machine.take(wire.Kind.DONE)

    assert kind is wire.Kind.ERROR
    assert b"ResponseSizeTooLarge" in body
    assert reply(machine, {}, stream=2)[0] is wire.Kind.RESPONSE


def test_an_exit_in_the_handler_is_the_processs_end(start):
    machine = start()
    machine.take(wire.Kind.INIT_DONE)
    machine.invoke(b'{"Exit": 3}')

    assert wire.Exited.decode(machine.take(wire.Kind.EXITED).payload).code == 3


@pytest.mark.parametrize("kind", ["on-demand", "snap-start"])
@pytest.mark.parametrize(
    ("handler", "variables", "error"),
    [
        (HANDLE, {"FAIL": "constructor"}, "TargetInvocationException"),
        ("Library::Library.Function::Nowhere", {}, "LambdaValidationException"),
        ("Nowhere::Library.Function::Handle", {}, "LambdaValidationException"),
    ],
)
def test_an_init_that_fails_is_posted_and_the_process_ends_with_1(
    start, kind, handler, variables, error
):
    machine = start(kind, handler=handler, variables=variables)
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)
    exited = wire.Exited.decode(machine.take(wire.Kind.EXITED).payload)

    assert json.loads(failed.body)["errorType"] == error
    assert exited.code == 1


def test_a_before_hook_that_fails_fails_the_init(start):
    machine = start("snap-start", variables={"FAIL": "before 1"})
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert (failed.error_type, failed.message) == ("Runtime.BeforeSnapshotError", "cache is cold")
    assert wire.Exited.decode(machine.take(wire.Kind.EXITED).payload).code == 1


def test_an_after_hook_that_fails_fails_the_restore(start):
    machine = start("snap-start", variables={"FAIL": "after 1"})
    machine.take(wire.Kind.SNAPSHOT_READY)
    machine.restore()
    failed = wire.RestoreFailed.decode(machine.take(wire.Kind.RESTORE_FAILED).payload)

    assert (failed.error_type, failed.message) == ("Runtime.AfterRestoreError", "no route")
    assert wire.Exited.decode(machine.take(wire.Kind.EXITED).payload).code == 1
    assert wire.Kind.RESTORED not in machine.kinds()


def test_without_core_in_the_package_the_init_error_says_what_is_missing(start):
    machine = start(without=["Amazon.Lambda.Core.dll"])
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert "has no Amazon.Lambda.Core" in failed.message
    assert wire.Exited.decode(machine.take(wire.Kind.EXITED).payload).code == 1


@pytest.mark.parametrize(
    ("handler", "event", "answer"),
    [("Echo", b"as it is, \xff too", b"as it is, \xff too"), ("Nothing", b"{}", b"")],
)
def test_streams_and_no_result_go_out_as_they_are(start, handler, event, answer):
    machine = start(handler=f"Library::Library.Function::{handler}")
    machine.take(wire.Kind.INIT_DONE)

    assert reply(machine, event)[1] == answer


def test_a_streamed_response_is_what_was_written_and_not_what_was_returned(start):
    machine = start("snap-start", handler="Library::Library.Function::Streams")
    restored(machine)

    assert reply(machine, {}) == (wire.Kind.RESPONSE, b'{"streamed":true}')
    machine.take(wire.Kind.DONE)
    assert reply(machine, {}, stream=2)[1] == b'{"streamed":true}'


def test_json_records_carry_the_request(start):
    machine = start(
        variables={"AWS_LAMBDA_HANDLER_LOG_FORMAT": "JSON", "AWS_LAMBDA_HANDLER_LOG_LEVEL": "WARN"}
    )
    machine.take(wire.Kind.INIT_DONE)
    reply(machine, {"Say": "tea"})
    machine.take(wire.Kind.DONE)
    records = [json.loads(text) for _, _, text in machine.logs()]

    assert [record["message"] for record in records] == [
        "tea on error",
        "tea by the static one",
        "tea with a warning",
    ]
    assert {record["requestId"] for record in records} == {"request-1"}
    assert records[2]["level"] == "Warning"
    assert records[2]["text"] == "tea"


def test_a_runtime_api_that_is_not_there_ends_the_process_with_70(tmp_path):
    folder = bed.published(bed.FUNCTIONS / "Library", CoreVersion=CORES[-1])
    done = subprocess.run(
        [
            bed.sdk(),
            "exec",
            *("--depsfile", folder / "Library.deps.json"),
            *("--runtimeconfig", folder / "Library.runtimeconfig.json"),
            assemblies.ready(host_bed.RUNTIME) / "Thaw.Bootstrap.dll",
            HANDLE,
        ],
        env={
            **assemblies.build_environment(tmp_path),
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 70
    assert "cannot be reached" in done.stdout

"""Executables with AWS's runtime client, or the stand-in for it: what either does is what these tests hold."""

from __future__ import annotations

import json
import re
import signal
import struct

import dotnet_bed as bed
import pytest
from process_bed import executed

from thaw_agent import control, wire

pytestmark = bed.needs_sdk

ENDED = (0, None)
ABORTED = (None, signal.SIGABRT)


@pytest.fixture(scope="module")
def program():
    return executed(bed.published(bed.FUNCTIONS / "Executable") / "Executable.dll")


def lines(machine):
    """What the function said, without the times and levels that AWS's client puts in front."""
    return [text.rpartition("\t")[2] for _, _, text in machine.logs()]


def restored(machine):
    """Take the snapshot and be a clone; what its publish reported."""
    ready = wire.SnapshotReady.decode(machine.take(wire.Kind.SNAPSHOT_READY).payload)
    machine.restore()
    machine.take(wire.Kind.RESTORED)
    return ready.report


def reply(machine, event, stream=1, **members):
    """Invoke and wait for the answer: its kind and value."""
    machine.invoke(json.dumps(event).encode(), stream=stream, **members)
    kinds = (wire.Kind.RESPONSE, wire.Kind.ERROR)
    machine.until(lambda: any(frame.kind in kinds for frame in machine.frames))
    head = next(frame for frame in machine.frames if frame.kind in kinds)
    machine.frames.remove(head)
    value = json.loads(machine.body())
    machine.take(wire.Kind.DONE)
    return head.kind, value


def exited(machine):
    """Status and signal that the process ended with."""
    end = wire.Exited.decode(machine.take(wire.Kind.EXITED).payload)
    return end.code, end.signal


def test_hooks_run_in_awss_order_around_the_snapshot_and_ours_are_there(launch, program):
    machine = launch(program)
    report = restored(machine)
    kind, value = reply(machine, {"Say": "tea"}, trace_id="Root=1-2-3")

    assert kind is wire.Kind.RESPONSE
    assert (value["Id"], value["Remaining"], value["Trace"]) == ("request-1", True, "Root=1-2-3")
    assert value.get("Hooks") is None
    assert {one["name"]: one["result"] for one in report["fixers"]}["random"] == "ok"
    assert not [note for note in report["notes"] if "hook" in note]
    said = [line for line in lines(machine) if line]
    assert said == [
        "init",
        *("before 2", "before 1"),
        *("after 1", "after 2"),
        *("tea", "tea on error", "tea by the logger"),
    ]


def test_a_line_is_a_record_of_its_request(launch, program):
    machine = launch(program, kind="on-demand")
    machine.take(wire.Kind.INIT_DONE)
    reply(machine, {"Say": "tea"})
    records = [text.partition("\t") for _, _, text in machine.logs()]

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:]{8}\.\d{3}Z", when) for when, _, _ in records)
    assert [rest for _, _, rest in records] == [
        "\tinfo\tinit",
        "request-1\tinfo\ttea",
        "request-1\tfail\ttea on error",
        "request-1\tinfo\ttea by the logger",
    ]


@pytest.mark.parametrize("one_file", ["true", "false"])
def test_an_executable_that_brings_its_own_net_is_renewed(launch, one_file):
    dotnet = bed.sdk()
    assert dotnet is not None
    if not list(dotnet.parent.glob("packs/Microsoft.NETCore.App.Runtime.linux-x64/10.0.*")):
        pytest.skip("there is no runtime pack of .NET 10 here")
    options = ("--runtime=linux-x64", "--self-contained")
    folder = bed.published(bed.FUNCTIONS / "Executable", *options, PublishSingleFile=one_file)
    machine = launch([str(folder / "Executable")])
    report = restored(machine)
    _, value = reply(machine, {})

    assert (folder / "Executable.dll").exists() is (one_file == "false")
    assert value["Id"] == "request-1"
    assert {one["name"]: one["result"] for one in report["fixers"]}["random"] == "ok"
    assert [line for line in lines(machine) if line.startswith("after")] == ["after 1", "after 2"]


def test_ours_is_the_last_hook_before_the_snapshot(launch, program):
    """The user's that runs just before it fails: ours has not run."""
    machine = launch(program, FAIL="before 1")
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert (failed.error_type, failed.message) == ("Runtime.BeforeSnapshotError", "cache is cold")
    assert json.loads(failed.body)["errorType"] == "InvalidOperationException"
    assert exited(machine) == ENDED
    assert machine.agent._report == {}
    said = lines(machine)
    assert "before 2" in said
    assert "after RunAsync" in said


def test_ours_is_the_first_hook_after_the_restore(launch, program, monkeypatch):
    """It fails, as there is no secret for this clone: none of the user's has run."""
    machine = launch(program)
    machine.take(wire.Kind.SNAPSHOT_READY)
    monkeypatch.setattr(control, "thaw", lambda *_: struct.pack(">BBHI", 1, 3, 0, 8) + bytes(8))
    machine.restore()
    failed = wire.RestoreFailed.decode(machine.take(wire.Kind.RESTORE_FAILED).payload)

    assert failed.error_type == "Runtime.AfterRestoreError"
    assert exited(machine) == ENDED
    assert not [line for line in lines(machine) if line in {"after 1", "after 2"}]


def test_an_after_hook_that_fails_fails_the_restore_and_later_ones_do_not_run(launch, program):
    machine = launch(program, FAIL="after 1")
    machine.take(wire.Kind.SNAPSHOT_READY)
    machine.restore()
    failed = wire.RestoreFailed.decode(machine.take(wire.Kind.RESTORE_FAILED).payload)

    assert (failed.error_type, failed.message) == ("Runtime.AfterRestoreError", "no route")
    assert exited(machine) == ENDED
    assert "after 2" not in lines(machine)


@pytest.mark.parametrize(("kind", "code"), [("on-demand", ABORTED), ("snap-start", (1, None))])
def test_an_initializer_that_fails_is_posted(launch, program, kind, code):
    machine = launch(program, kind=kind, FAIL="init")
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert json.loads(failed.body)["errorType"] == "InvalidOperationException"
    assert json.loads(failed.body)["errorMessage"] == "no cache"
    assert exited(machine) == code


@pytest.mark.parametrize(("fails", "code"), [("main", ABORTED), ("refuse", ENDED)])
def test_a_program_that_ends_before_it_asks_for_anything_has_exited(launch, program, fails, code):
    machine = launch(program, FAIL=fails)

    assert exited(machine) == code
    assert wire.Kind.SNAPSHOT_READY not in machine.kinds()


def test_an_error_of_the_handler_is_posted_with_its_causes_and_the_next_event_is_served(
    launch, program
):
    machine = launch(program, kind="on-demand")
    machine.take(wire.Kind.INIT_DONE)
    kind, error = reply(machine, {"Throw": "no tea"})

    assert kind is wire.Kind.ERROR
    assert list(error) == ["errorType", "errorMessage", "stackTrace", "cause"]
    assert (error["errorType"], error["errorMessage"]) == ("InvalidOperationException", "no tea")
    assert error["stackTrace"][0].startswith("at ")
    assert error["cause"] == {"errorType": "TimeoutException", "errorMessage": "of the kettle"}
    assert "no tea" in "".join(lines(machine))
    assert reply(machine, {}, stream=2)[0] is wire.Kind.RESPONSE

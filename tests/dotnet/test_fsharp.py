"""Functions in F# under our host: each kind of handler, hooks, errors, and what is noted where nobody waits for one."""

from __future__ import annotations

import json

import dotnet_bed as bed
import pytest
from host_bed import frozen, reply, restored, texts

from thaw_agent import wire

pytestmark = bed.needs_sdk

ORDER = {"Item": "tea", "Count": 2}


@pytest.fixture(scope="module")
def folder():
    return bed.published(bed.FUNCTIONS / "FSharp")


@pytest.fixture
def start(serve, folder):
    """Start a handler of the library in F#; the bed it runs in."""

    def started(handler, kind="on-demand", **more):
        return serve(folder, f"FSharp::Shop.{handler}", kind, **more)

    return started


def test_fsharps_own_library_is_in_the_package(folder):
    assert (folder / "FSharp.Core.dll").exists()


@pytest.mark.parametrize(
    "handler",
    [
        "Handlers::Member",
        "Handlers::Static",
        "Handlers::Curried",
        "Handlers::Task",
        "Functions::handle",
        "TillModule::handle",
    ],
)
def test_each_kind_of_handler_takes_and_gives_records(start, handler):
    machine = start(handler)
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, ORDER)

    assert (kind, json.loads(body)) == (
        wire.Kind.RESPONSE,
        {"Text": "2 x tea", "Request": "request-1"},
    )


def test_a_task_without_a_result_is_waited_for_and_answers_nothing(start):
    machine = start("Handlers::Unit")
    machine.take(wire.Kind.INIT_DONE)

    assert reply(machine, ORDER) == (wire.Kind.RESPONSE, b"")
    machine.take(wire.Kind.DONE)
    # What goes to the console without an end of line is no record, as on AWS.
    assert texts(machine)[-2:] == ["2 x tea", "request-1\tinfo\t"]


@pytest.mark.parametrize("handler", ["Handlers::Member", "Handlers::Task"])
def test_an_exception_of_fsharp_is_the_error_by_its_name(start, handler):
    machine = start(handler)
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, {"Item": "tea", "Count": 101})

    assert kind is wire.Kind.ERROR
    assert json.loads(body)["errorType"] == "OutOfStock"


def test_hooks_run_around_the_snapshot_also_those_that_wait(start):
    machine = start("Handlers::Member", "snap-start")
    restored(machine)
    reply(machine, ORDER)

    lines = [text.rpartition("\t")[2] for text in texts(machine)]
    assert lines == ["constructed", "before", "after"]


def test_a_generator_of_the_class_goes_on_with_another_state_in_each_clone(start):
    machine = start("Handlers::Draws", "snap-start", hooked=True)
    report = frozen(machine).report
    machine.restore()
    machine.take(wire.Kind.RESTORED)

    fixers = {fixer["name"]: fixer for fixer in report["fixers"]}
    assert fixers["random"]["result"] == "ok"
    assert "in memory" in fixers["random"]["detail"]
    assert reply(machine, {})[0] is wire.Kind.RESPONSE


@pytest.mark.parametrize(("handler", "result"), [("Async", "FSharpAsync"), ("Value", "ValueTask")])
def test_a_handler_that_nobody_waits_for_is_named_in_the_publish_note(start, handler, result):
    notes = frozen(start(f"Handlers::{handler}", "snap-start", hooked=True)).report["notes"]

    expected = f"the handler {handler} returns {result}, which nobody waits for"
    assert [note for note in notes if note.startswith(expected)]


def test_an_async_is_answered_by_an_empty_object_as_on_aws(start):
    machine = start("Handlers::Async")
    machine.take(wire.Kind.INIT_DONE)

    assert json.loads(reply(machine, ORDER)[1]) == {}

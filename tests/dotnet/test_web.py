"""ASP.NET Core with AWS's hosting package, or the stand-in for it: an HTTP API's events in, responses out."""

from __future__ import annotations

import base64
import json
from itertools import count

import dotnet_bed as bed
import pytest
import thaw_dotnet_assemblies as assemblies
from process_bed import executed

from thaw_agent import wire

pytestmark = bed.needs_sdk

STREAMS = count(1)


@pytest.fixture(scope="module")
def program():
    return executed(bed.published(bed.FUNCTIONS / "Web") / "Web.dll")


@pytest.fixture
def served(launch, program):
    """The application, on demand."""
    machine = launch(program, kind="on-demand")
    machine.take(wire.Kind.INIT_DONE)
    return machine


def ask(machine, method, path, **members):
    """The response to an event of an HTTP API, payload format 2.0."""
    stream = next(STREAMS)
    traced = {"trace_id": members.pop("trace")} if "trace" in members else {}
    event = json.dumps(bed.http_event(method, path, **members)).encode()
    machine.invoke(event, stream=stream, **traced)
    machine.take(wire.Kind.RESPONSE)
    response = json.loads(machine.body())
    machine.take(wire.Kind.DONE)
    return response


def draw(machine, **members):
    response = ask(machine, "GET", "/draw", headers={"Authorization": "Ada"}, **members)
    assert response["statusCode"] == 200, response
    return json.loads(response["body"])


def lines(machine):
    return [text.rpartition("\t")[2] for _, _, text in machine.logs()]


def test_a_request_arrives_as_it_was_sent(served):
    response = ask(
        served,
        "POST",
        "/echo/some%20where",
        query="a=1&a=2&b=%C3%A9",
        headers={"x-many": "one,two", "x-forwarded-port": "443", "content-type": "text/plain"},
        cookies=["c=3", "d=4"],
        body="tea é",
    )

    assert response["statusCode"] == 200
    assert response["headers"]["Content-Type"] == "application/json; charset=utf-8"
    assert response["headers"]["X-Started"] == "yes"
    assert response["isBase64Encoded"] is False
    assert json.loads(response["body"]) == {
        "method": "POST",
        "scheme": "https",
        "host": "api.example",
        "base": None,
        "path": "/echo/some where",
        "rest": "some where",
        "query": {"a": ["1", "2"], "b": ["é"]},
        "cookies": {"c": "3", "d": "4"},
        "header": ["one", "two"],
        "length": 6,
        "from": "192.0.2.1",
        "port": 0,  # read from X-Forwarded-Port, which HTTP APIs write small
        "body": "tea é",
    }


def test_a_body_of_bytes_and_a_stage_are_taken_off(served):
    response = ask(
        served, "POST", "/live/echo/x", stage="live", body=base64.b64encode(b"tea").decode(), base64=True
    )  # fmt: skip
    said = json.loads(response["body"])

    assert (said["base"], said["path"], said["body"]) == ("/live", "/echo/x", "tea")


def test_responses_are_what_an_http_api_takes(served):
    cookies = ask(served, "GET", "/cookies")
    data = ask(served, "GET", "/bytes")
    nothing = ask(served, "GET", "/nothing")

    assert cookies["cookies"] == ["a=1; path=/", "b=2; path=/"]
    assert cookies["headers"]["X-Many"] == "one,two"
    assert (data["isBase64Encoded"], base64.b64decode(data["body"])) == (True, b"\0\xff\1")
    assert (nothing["statusCode"], nothing["body"]) == (204, "")
    assert nothing["headers"]["Content-Type"] is None
    assert ask(served, "GET", "/nowhere")["statusCode"] == 404
    assert ask(served, "GET", "/draw")["statusCode"] == 401


def test_a_request_that_fails_is_a_response_500_and_not_the_functions_error(launch, program):
    machine = launch(program, kind="on-demand", ENVIRONMENT="Production")
    machine.take(wire.Kind.INIT_DONE)
    response = ask(machine, "GET", "/fails")

    assert response["statusCode"] == 500
    assert response["headers"]["ErrorType"] == "InvalidOperationException"
    assert "no tea" in "".join(text for _, _, text in machine.logs())
    assert draw(machine)["user"] == "Ada"


def test_a_request_has_lambdas_context_and_trace(served):
    first = draw(served, trace="Root=1-2-3")
    second = draw(served)

    assert first["trace"] == "Root=1-2-3"
    assert second["trace"] not in {"", "Root=1-2-3"}
    assert (first["visit"], second["visit"]) == ("/draw", "/draw")
    assert second["contexts"] == [first["request"], second["request"]]


def test_requests_run_five_times_before_the_applications_own_hook(launch, program):
    """With authentication, the accessor and scopes that are checked: each has failed there."""
    machine = launch(program)
    ready = wire.SnapshotReady.decode(machine.take(wire.Kind.SNAPSHOT_READY).payload)
    machine.restore()
    machine.take(wire.Kind.RESTORED)
    said = draw(machine)

    assert said["contexts"] == ["none"] * 5 + [said["request"]]
    assert [line for line in lines(machine) if line] == ["before after 5 requests", "after"]
    fixers = {one["name"]: one["result"] for one in ready.report["fixers"]}
    assert fixers["aspnetcore"] == fixers["kestrel"] == fixers["random"] == "ok"
    assert not [note for note in ready.report["notes"] if "hook" in note]


def test_a_request_that_fails_before_the_snapshot_does_not_fail_the_publish(launch, program):
    machine = launch(program, WARM_UP="/fails")
    machine.take(wire.Kind.SNAPSHOT_READY)
    machine.restore()
    machine.take(wire.Kind.RESTORED)

    assert draw(machine)["user"] == "Ada"


def test_a_class_library_of_asp_net_core_is_served_by_thawds_host(launch):
    task = bed.published(bed.FUNCTIONS / "WebLibrary")
    host = assemblies.ready(bed.ROOT / "runtimes" / "dotnet") / "Thaw.Bootstrap.dll"
    command = executed(
        *("--depsfile", task / "WebLibrary.deps.json"),
        *("--runtimeconfig", task / "WebLibrary.runtimeconfig.json"),
        *(host, "WebLibrary::WebLibrary.EntryPoint::FunctionHandlerAsync"),
    )
    machine = launch(command)
    ready = wire.SnapshotReady.decode(machine.take(wire.Kind.SNAPSHOT_READY).payload)
    machine.restore()
    machine.take(wire.Kind.RESTORED)
    response = ask(machine, "GET", "/tea")

    assert (response["statusCode"], response["body"]) == (200, "/tea is number 6")
    assert [line for line in lines(machine) if line] == ["before after 0 requests"]
    assert {one["name"]: one["result"] for one in ready.report["fixers"]}["aspnetcore"] == "ok"

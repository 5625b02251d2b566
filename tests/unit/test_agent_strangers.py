"""What user code says to the agent, however wrong or large: an answer for the host, never the agent's own fault."""

from __future__ import annotations

import json
import os

import pytest
from agent_bed import Bed

from thaw_agent import wire
from thaw_agent.logs import Frames

RUNTIME = "/2018-06-01/runtime"
ERRORS = [
    b"[" * 200_000,
    json.dumps({"errorMessage": "x" * 300_000, "errorType": "E"}).encode(),
    json.dumps({"errorMessage": "\u00e9" * 100_000, "errorType": ["E"]}).encode(),
    json.dumps({"errorMessage": "\udcff.txt", "errorType": "E"}).encode(),
    b"\xff" * 1_000_000,
    b"\x00" * wire.MAX_BODY,
]
NAMES = ["deep", "long", "wide", "surrogate", "bytes", "nothing"]


@pytest.fixture
def bed(tmp_path):
    with Bed(tmp_path) as bed:
        yield bed


def check(failed):
    """What the daemon relies on: a type, a message and a body that is text, and JSON if it had to be shortened."""
    assert failed.error_type == "Runtime.Unknown"
    assert 0 < len(failed.message) <= 4000
    failed.message.encode()
    if len(failed.body) < 100_000 and failed.body.startswith("{"):
        assert set(json.loads(failed.body)) >= {"errorMessage", "errorType"}


@pytest.mark.parametrize("body", ERRORS, ids=NAMES)
class TestErrors:
    def test_of_init(self, bed, body):
        bed.start("on-demand")
        answer = bed.client().call("POST", f"{RUNTIME}/init/error", body)

        assert answer.status == 202
        check(wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload))

    def test_of_a_restore(self, bed, body):
        bed.start("snap-start")
        client = bed.client()
        client.ask("GET", f"{RUNTIME}/restore/next")
        bed.take(wire.Kind.SNAPSHOT_READY)
        bed.restore()
        client.answer()
        client.call("POST", f"{RUNTIME}/restore/error", body)

        check(wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload))


def test_an_error_of_ordinary_size_reaches_the_host_as_it_was_posted(bed):
    body = json.dumps({"errorMessage": "no t\u00e9a", "errorType": "E", "stackTrace": ["a", "b"]})
    bed.start("on-demand")
    bed.client().call("POST", f"{RUNTIME}/init/error", body.encode())
    failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    assert (failed.message, failed.body) == ("no t\u00e9a", body)


def test_of_an_error_too_large_for_a_message_the_type_and_the_beginnings_are_left(bed):
    error = {
        "errorMessage": "e" * 3_000_000,
        "errorType": "Exception",
        "stackTrace": [f"frame {number} {'x' * 1000}" for number in range(100)] + [["odd"]],
    }
    bed.start("on-demand")
    bed.client().call("POST", f"{RUNTIME}/init/error", json.dumps(error).encode())
    failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    left = json.loads(failed.body)
    assert (left["errorType"], left["errorMessage"]) == ("Exception", "e" * 4000)
    assert left["stackTrace"][-1].startswith("frame 99 x")
    assert len(left["stackTrace"]) == 20


def test_an_error_over_the_limit_of_all_bodies_says_so(bed):
    bed.start("on-demand")
    bed.client().call("POST", f"{RUNTIME}/init/error", bytes(wire.MAX_BODY + 1))
    failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    assert "exceeded maximum allowed payload size" in failed.message


@pytest.mark.parametrize("character", ["x", "\x80", "\x01"])
def test_a_content_type_of_any_length_and_kind_is_no_fault(bed, character):
    bed.start("on-demand")
    client = bed.client()
    client.ask("GET", f"{RUNTIME}/invocation/next")
    bed.take(wire.Kind.INIT_DONE)
    bed.invoke()
    client.answer()
    head = f"POST {RUNTIME}/invocation/request-1/response HTTP/1.1\r\nContent-Length: 2\r\n"
    client.send((head + f"Content-Type: a{character * 60_000}\r\n\r\n{{}}").encode("latin-1"))

    assert client.answer().status == 202
    wire.Response.decode(bed.take(wire.Kind.RESPONSE).payload)


def test_a_pipe_full_of_line_ends_is_sent_in_few_parts(bed, monkeypatch):
    parts = []
    monkeypatch.setattr(bed.agent._channel, "send", lambda *given: parts.extend(given))
    reader, writer = os.pipe()
    bed.agent._logs.add(reader, wire.LogSource.STDOUT)
    os.write(writer, b"\n" * 65_536)

    def lines() -> int:
        frames = wire.Decoder().feed(wire.SYNC + b"".join(parts))
        return sum(wire.decode_log(frame.payload)[2].count(b"\n") + 1 for frame in frames)

    bed.until(lambda: lines() == 65_536)
    os.close(writer)
    bed.settle()

    assert lines() == 65_536
    assert len(parts) <= 8


@pytest.mark.parametrize("data", [b"x\n", b"hi there\n", b"\xa5\n", b"a longer line than 16\n"])
def test_text_on_the_telemetry_descriptor_is_shown_as_soon_as_it_can_be_no_frame(data):
    assert [text for _, _, text in Frames().feed(data)] == [data[:-1]]

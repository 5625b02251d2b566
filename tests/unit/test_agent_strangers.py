"""What user code says to the agent, however wrong or large: an answer for the host, never the agent's own fault."""

from __future__ import annotations

import json

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
        assert set(json.loads(failed.body)) == {"errorMessage", "errorType"}


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


@pytest.mark.parametrize("data", [b"x\n", b"hi there\n", b"\xa5\n", b"a longer line than 16\n"])
def test_text_on_the_telemetry_descriptor_is_shown_as_soon_as_it_can_be_no_frame(data):
    assert [text for _, _, text in Frames().feed(data)] == [data[:-1]]

"""Whatever a guest claims can be calculated with, written down and shown."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw_agent import wire
from thawd.guest import said

TEXTS = st.text(st.characters(categories=None))
"""Half surrogate pairs too."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def usable(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    database = sqlite3.connect(":memory:")
    assert (text,) == database.execute("SELECT ?", (text,)).fetchone()
    database.close()


@given(VALUES)
def test_a_plain_value_can_be_written_anywhere(value):
    usable(said.plain(value))


def test_depth_is_bounded():
    deep: object = 1
    for _ in range(900):
        deep = [deep]

    usable(said.plain(deep))


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_numbers_can_be_calculated_with(huge):
    ready = said.harmless(
        wire.SnapshotReady(duration_us=huge, steps={"x": huge}, report={"us": huge})
    )

    assert 0 <= ready.duration_us / 1e3 <= said.MOST
    assert 0 <= ready.steps["x"] <= said.MOST
    datetime.fromtimestamp(ready.duration_us / 1e6 % 1e9, UTC)


@given(st.one_of(st.binary(), VALUES.map(json.dumps), st.builds("[{}".format, st.text())), TEXTS)
def test_a_cause_is_one_bounded_text(body, otherwise):
    line = said.cause(body, otherwise=otherwise, error_type="E")

    assert len(line) <= 4000
    line.encode()


def test_a_cause_names_type_message_and_place():
    body = {"errorType": "KeyError", "errorMessage": "'x'", "stackTrace": ["  app.py, line 3\n"]}

    assert said.cause(json.dumps(body), otherwise="?") == "KeyError: 'x' (app.py, line 3)"


def test_of_an_error_that_wraps_others_the_innermost_is_named():
    """As .NET reports what a constructor threw."""
    what = {"errorType": "InvalidOperationException", "errorMessage": "no CONNECTION_STRING"}
    inner = {"errorType": "TypeInitializationException", "errorMessage": "no", "cause": what}
    body = {
        "errorType": "TargetInvocationException",
        "errorMessage": "An invocation threw.",
        "stackTrace": ["at Program.Main()"],
        "cause": inner,
    }

    assert said.cause(json.dumps(body), otherwise="?") == (
        "TargetInvocationException: An invocation threw. "
        "Cause: InvalidOperationException: no CONNECTION_STRING"
    )


def test_half_a_surrogate_pair_becomes_text():
    body = '{"errorType": "\\udcff", "errorMessage": "\\udcff.txt"}'

    assert said.cause(body, otherwise="?") == "?: ?.txt"


@given(st.text(), st.integers(200, 5000))
def test_what_fits_is_shown_as_it_is_and_all_else_is_bounded(value, longest):
    shown = said.shortened(value, longest=longest)

    assert len(shown) <= longest
    if len(value) <= longest and len(value.splitlines()) <= 20:
        assert shown == said.text(value)


def test_of_a_long_traceback_the_beginning_and_the_useful_end_are_kept():
    calls = "\n".join(f'  File "app.py", line {number}' for number in range(1000))
    shown = said.shortened(f"Import failed:\n{calls}\nOSError: libfoo.so is missing")

    lines = shown.splitlines()
    assert lines[0] == "Import failed:"
    assert lines[3] == "[... 987 lines left out ...]"
    assert lines[-1] == "OSError: libfoo.so is missing"
    assert len(lines) == 16


def test_of_one_long_line_the_middle_goes():
    shown = said.shortened("Error: " + "x" * 10_000 + " at app.py, line 3")

    assert len(shown) == 4000
    assert shown.startswith("Error: xxx")
    assert "characters left out" in shown
    assert shown.endswith("x at app.py, line 3")


def test_a_long_message_keeps_the_place_it_came_from():
    body = {"errorType": "E", "errorMessage": "m" * 9000, "stackTrace": ["  app.py, line 3\n"]}

    assert said.cause(json.dumps(body), otherwise="?").endswith("m (app.py, line 3)")


@pytest.mark.parametrize(
    "text",
    [
        "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
        "OSError: [Errno 101] Network is unreachable",
        "Error: getaddrinfo EAI_AGAIN dynamodb.us-east-1.amazonaws.com",
        "connect ENETUNREACH 10.0.0.5:5432",
        'EndpointConnectionError: Could not connect to the endpoint URL: "https://sts.amazonaws.com/"',
        "dial tcp: lookup example.com: no such host",
        "java.net.UnknownHostException: example.com",
        "httpx.ConnectTimeout: timed out",
    ],
)
def test_whoever_looked_for_a_network_is_told_that_there_is_none(text):
    assert "Guests have no network yet" in said.network_hint("INIT_START", text)


@pytest.mark.parametrize(
    "text", ["KeyError: 'network'", "ConnectionRefusedError: 127.0.0.1:8080", ""]
)
def test_other_failures_are_not_put_down_to_the_network(text):
    assert said.network_hint(text) == ""

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


def test_half_a_surrogate_pair_becomes_text():
    body = '{"errorType": "\\udcff", "errorMessage": "\\udcff.txt"}'

    assert said.cause(body, otherwise="?") == "?: ?.txt"

"""The records between agent and runtime: both halves against the vectors, and against each other."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw_agent import control as agent
from thaw_runtime import protocol as runtime

VECTORS = json.loads(
    (Path(__file__).parents[2] / "runtimes/protocol/vectors.json").read_text(encoding="utf-8")
)
KINDS = {
    "start": runtime.START,
    "thaw": runtime.THAW,
    "frozen": runtime.FROZEN,
    "thawed": runtime.THAWED,
    "record": runtime.RECORD,
    "book": agent.BOOK,
    "opened": agent.OPENED,
}
FROM_RUNTIME = {"frozen", "thawed", "record", "book", "opened"}
NOT_PYTHONS = {"book", "opened"}
"""Python's objects do not move and can be found by its own fixers: it has nothing to say of these."""
SHAPES = {
    agent.FOUR_WORDS: "four words",
    agent.ONE_WORD: "one word",
    agent.DERIVED: "derived",
    agent.OPENSSL: "openssl",
}


def named(section):
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[section]]


def write(vector):
    """This vector's bytes, by the half that writes such a record."""
    match vector["kind"]:
        case "start":
            return agent.start(vector["leave_out"], trace=vector["trace"])
        case "thaw":
            secret = bytes.fromhex(vector["entropy"])
            return agent.thaw(vector["generation"], vector["clock_ns"], secret)
        case "record":
            return runtime.record(json.dumps(vector["record"]).encode())
        case kind:
            said = dict(vector["report"])
            assert said.pop("runtime") == "thaw_runtime"
            return runtime.report(KINDS[kind], said.pop("us"), **said)


def read(vector):
    """What this vector's bytes mean, by the half that reads such a record, as the vector says it."""
    data = bytes.fromhex(vector["hex"])
    half = agent if vector["kind"] in FROM_RUNTIME else runtime
    kind, flags, body = half.split(data)
    assert kind == KINDS[vector["kind"]]
    match vector["kind"]:
        case "start":
            return {"leave_out": runtime.names(body), "trace": bool(flags & runtime.TRACE)}
        case "thaw":
            return {"entropy": runtime.entropy(body).hex()}
        case "record":
            return {"record": agent.record(body)}
        case "book":
            return told(agent.book(body))
        case "opened":
            return {"hooks": not flags & agent.NO_HOOKS, "report": agent.report(flags, body)}
        case _:
            return {"report": agent.report(flags, body)}


def told(book):
    """A book as the vectors have it."""
    words = [f"{word:x}" for word in struct.unpack("<4Q", book.canary)]
    return {
        "canary": {
            "table": f"{book.canary_table:x}",
            "words": [word if word == "0" else word.zfill(16) for word in words],
        },
        "entries": [
            {"kind": SHAPES[one.kind], "table": f"{one.table:x}", "name": one.name}
            for one in book.entries
        ],
    }


@pytest.mark.parametrize(
    "vector", [one for one in named("both") if one.values[0]["kind"] not in NOT_PYTHONS]
)
def test_each_half_writes_the_vectors(vector):
    assert vector["hex"] == write(vector).hex()


@pytest.mark.parametrize("vector", [*named("both"), *named("read")])
def test_each_half_reads_the_vectors(vector):
    meaning = read(vector)

    assert {name: vector[name] for name in meaning} == meaning


@pytest.mark.parametrize("vector", named("refused"))
def test_each_half_refuses_what_is_no_record_for_it(vector):
    data = bytes.fromhex(vector["hex"])

    if vector["to"] == "agent":
        with pytest.raises(agent.Malformed):
            hear(data)
    else:
        assert not understood(data)


def hear(data):
    """What the agent does with bytes from the control socket."""
    kind, flags, body = agent.split(data)
    if kind == agent.BOOK:
        return agent.book(body)
    if kind in (agent.FROZEN, agent.THAWED, agent.OPENED):
        return agent.report(flags, body)
    if kind == agent.RECORD:
        return agent.record(body)
    raise agent.Malformed


def understood(data):
    """Whether a runtime takes it for START or THAW."""
    try:
        kind, _, body = runtime.split(data)
        if kind == runtime.START:
            runtime.names(body)
        elif kind == runtime.THAW:
            runtime.entropy(body)
        else:
            return False
    except runtime.Malformed:
        return False
    return True


text = st.text(max_size=40)
times = st.integers(0, 2**64)
fixers = st.fixed_dictionaries(
    {
        "name": text,
        "version": text,
        "result": st.sampled_from(runtime.RESULTS),
        "essential": st.booleans(),
        "us": times,
        "detail": text,
    }
)
hooks = st.fixed_dictionaries({"name": text, "us": times, "ok": st.booleans()})


def as_sent(item):
    """An item as it arrives: half surrogate pairs are question marks, times end at 71 minutes."""
    return {
        name: value.encode(errors="replace").decode()
        if isinstance(value, str)
        else min(value, 2**32 - 1)
        if name == "us"
        else value
        for name, value in item.items()
    }


@given(st.integers(0, 2**64 - 1), st.lists(fixers), st.lists(hooks), st.lists(text), st.booleans())
def test_a_report_arrives_as_it_was_sent(elapsed_us, fixers, hooks, notes, thawed):
    kind = runtime.THAWED if thawed else runtime.FROZEN
    data = runtime.report(kind, elapsed_us, version="3", fixers=fixers, hooks=hooks, notes=notes)
    found, flags, body = agent.split(data)
    report = agent.report(flags, body)

    assert found == kind
    assert report["us"] == elapsed_us
    assert [as_sent(fixer) for fixer in fixers] == report["fixers"]
    assert [as_sent(hook) for hook in hooks] == report["hooks"]
    assert [note.encode(errors="replace").decode() for note in notes] == report["notes"]


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.booleans())
def test_a_start_arrives_as_it_was_sent(names, trace):
    kind, flags, body = runtime.split(agent.start(names, trace=trace))

    assert (kind, flags, names) == (runtime.START, int(trace), runtime.names(body))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=64, max_size=64))
def test_the_secret_arrives_as_it_was_sent(generation, clock_ns, secret):
    kind, _, body = runtime.split(agent.thaw(generation, clock_ns, secret))

    assert (kind, secret) == (runtime.THAW, runtime.entropy(body))


heads = st.builds(
    lambda kind, flags, body: bytes([1, kind]) + flags + len(body).to_bytes(4) + body,
    st.sampled_from([*KINDS.values()]) | st.integers(0, 255),
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=300),
)


@given(st.binary(max_size=300) | heads)
def test_whatever_the_bytes_are_they_are_a_record_or_refused(data):
    try:
        report = hear(data)
    except agent.Malformed:
        pass
    else:
        if not isinstance(report, agent.Book):
            json.dumps(report, allow_nan=True).encode()
    understood(data)


@given(st.integers(1, 9000), st.sampled_from(["x", "\x01", "\u00e9", "\U0001f9ca", "\ud800"]))
def test_any_number_of_notes_fits_a_record_and_a_message_to_the_host(count, letter):
    data = runtime.report(runtime.FROZEN, 1, version="3", notes=[letter * 100] * count)
    _, flags, body = agent.split(data)
    report = agent.report(flags, body)

    assert len(data) <= runtime.LARGEST
    assert len(json.dumps(report)) <= agent.LARGEST
    assert len(report["notes"]) == count or report["notes"][-1] == "further notes did not fit"


def test_a_report_that_cannot_be_made_short_enough_is_refused():
    fixer = {"name": "", "version": "", "result": "ok", "essential": False, "us": 0, "detail": ""}
    _, flags, body = agent.split(
        runtime.report(runtime.FROZEN, 1, version="3", fixers=[fixer] * 5000)
    )

    with pytest.raises(agent.Malformed):
        agent.report(flags, body)


def test_what_is_too_long_for_a_record_is_the_writers_error():
    with pytest.raises(ValueError, match="exceeds"):
        runtime.record(bytes(runtime.LARGEST))
    with pytest.raises(ValueError, match="do not fit"):
        agent.start(["x" * 60_000] * 3, trace=False)

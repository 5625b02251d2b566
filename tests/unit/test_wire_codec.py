"""The wire: frames survive any cut of the stream, strangers' bytes are refused, messages round trip."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_agent import wire

STREAMS = st.integers(0, 2**32 - 1)
FRAMES = st.builds(
    wire.Frame,
    kind=st.sampled_from(wire.Kind),
    stream=STREAMS,
    payload=st.binary(max_size=40) | st.sampled_from([wire.SYNC, wire.MAGIC, b"x" * 5000]),
    end=st.booleans(),
)
MESSAGES = [
    value
    for value in vars(wire).values()
    if isinstance(value, type) and issubclass(value, wire.Message) and value is not wire.Message
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-(2**63), 2**63)
VALUES = {
    "str": TEXT,
    "int": INTEGERS,
    "bool": st.booleans(),
    "int | None": st.none() | INTEGERS,
    "list[str]": st.lists(TEXT, max_size=3),
    "dict[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
    "dict[str, str] | None": st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
    "dict[str, int]": st.dictionaries(TEXT, INTEGERS, max_size=3),
    "dict[str, Any]": st.dictionaries(TEXT, TEXT | st.lists(INTEGERS, max_size=3), max_size=3),
}


def encoded(frame):
    return wire.encode(frame.kind, frame.payload, stream=frame.stream, end=frame.end)


def pieces(data, cuts):
    """The bytes in pieces, cut at these places (taken modulo the length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def decode(parts, decoder=None):
    decoder = decoder or wire.Decoder()
    return [frame for part in parts for frame in decoder.feed(part)]


def synchronised():
    decoder = wire.Decoder()
    decoder.feed(wire.SYNC)
    return decoder


def required(message):
    """Values for a message's fields that have no default."""
    samples = {"str": "text", "int": 7}
    return {
        member.name: samples[member.type]
        for member in dataclasses.fields(message)
        if member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING
    }


class TestFrames:
    @settings(max_examples=60)
    @given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 10**6), max_size=30))
    def test_any_cut_of_the_stream_gives_the_same_frames(self, frames, cuts):
        data = wire.SYNC + b"".join(encoded(frame) for frame in frames)

        assert decode(pieces(data, cuts)) == frames

    @given(st.lists(FRAMES, max_size=3))
    @settings(max_examples=20)
    def test_byte_by_byte(self, frames):
        data = wire.SYNC + b"".join(encoded(frame) for frame in frames if len(frame.payload) < 99)

        assert decode(bytes([byte]) for byte in data) == [
            frame for frame in frames if len(frame.payload) < 99
        ]

    @pytest.mark.parametrize("length", [0, 1, wire.MAX_PAYLOAD - 1, wire.MAX_PAYLOAD])
    def test_payloads_up_to_the_limit(self, length):
        frame = wire.Frame(wire.Kind.PAYLOAD, 7, bytes(length), end=True)

        assert synchronised().feed(encoded(frame)) == [frame]

    def test_a_payload_over_the_limit_is_not_written(self):
        with pytest.raises(ValueError, match="exceeds"):
            wire.encode(wire.Kind.PAYLOAD, bytes(wire.MAX_PAYLOAD + 1))

    def test_every_buffer_type_is_taken(self):
        data = wire.SYNC + wire.encode(wire.Kind.PING, b"x")

        for kind in (bytes, bytearray, memoryview):
            assert len(wire.Decoder().feed(kind(data))) == 1


class TestSynchronisation:
    @given(st.binary(max_size=200), st.lists(st.integers(0, 10**6), max_size=10))
    @settings(max_examples=60)
    def test_garbage_before_the_first_sync_is_thrown_away(self, garbage, cuts):
        garbage = garbage.replace(wire.SYNC, b"")
        # A prefix of SYNC at the end of the garbage must not hide the real one: \x00 may come twice.
        data = garbage + b"\x00" + wire.SYNC + wire.encode(wire.Kind.PING, b"p")

        assert decode(pieces(data, cuts))[-1:] == [wire.Frame(wire.Kind.PING, 0, b"p")]

    def test_garbage_is_not_kept(self):
        decoder = wire.Decoder()
        for _ in range(100):
            decoder.feed(bytes(10_000))

        assert len(decoder._buffer) < len(wire.SYNC)

    @given(FRAMES, st.integers(0, 10**6), FRAMES, st.lists(st.integers(0, 10**6), max_size=5))
    @settings(max_examples=60)
    def test_after_a_half_frame_and_reset_the_next_sync_counts(self, half, cut, whole, cuts):
        decoder = synchronised()
        data = encoded(half)
        decoder.feed(data[: cut % len(data)])
        decoder.reset()
        emptied = not decoder._buffer
        # What the old host had still on its way comes first.
        rest = data[cut % len(data) :].replace(wire.SYNC, b"")

        assert emptied
        assert decode(pieces(rest + wire.SYNC + encoded(whole), cuts), decoder) == [whole]

    @settings(max_examples=60)
    @given(st.lists(FRAMES, min_size=1, max_size=4), st.lists(st.integers(0, 10**6), max_size=20))
    def test_sync_between_frames_is_a_host_that_came_back(self, frames, cuts):
        data = b"".join(
            wire.SYNC * (1 + number % 2) + encoded(f) for number, f in enumerate(frames)
        )

        assert decode(pieces(data, cuts)) == frames

    def test_nothing_is_decoded_before_sync(self):
        decoder = wire.Decoder()

        assert decoder.feed(wire.encode(wire.Kind.PING)) == []


class TestRefusal:
    @pytest.mark.parametrize(
        ("header", "message"),
        [
            ((b"Tx", 1, 0, 0, 0), "bad frame magic b'Tx'"),
            ((b"\x00\xff", 1, 0, 0, 0), "bad frame magic"),
            ((wire.MAGIC, 1, 0, 0, wire.MAX_PAYLOAD + 1), "frame of 262145 bytes exceeds 262144"),
            ((wire.MAGIC, 1, 0, 0, 2**32 - 1), "exceeds"),
            ((wire.MAGIC, 1, 2, 0, 0), "unknown frame flags 0x2"),
            ((wire.MAGIC, 1, 0xFF, 0, 0), "unknown frame flags"),
            ((wire.MAGIC, 0, 0, 0, 0), "unknown frame kind 0"),
            ((wire.MAGIC, 255, 0, 0, 0), "unknown frame kind 255"),
        ],
    )
    def test_what_is_no_frame_is_refused_as_soon_as_its_header_is_there(self, header, message):
        with pytest.raises(wire.WireError, match=message):
            synchronised().feed(wire.HEADER.pack(*header))

    @given(st.binary(max_size=300))
    @settings(max_examples=100)
    def test_any_bytes_give_frames_or_wire_error(self, data):
        decoder = synchronised()
        try:
            frames = decoder.feed(data)
        except wire.WireError:
            return
        assert b"".join(encoded(f) for f in frames) in data.replace(wire.SYNC, b"")

    def test_a_refused_stream_stays_refused(self):
        decoder = synchronised()
        for _ in range(2):
            with pytest.raises(wire.WireError):
                decoder.feed(b"no frame at all")


class TestBodies:
    @pytest.mark.parametrize(
        "length",
        [0, 1, wire.MAX_PAYLOAD - 1, wire.MAX_PAYLOAD, wire.MAX_PAYLOAD + 1, 2 * wire.MAX_PAYLOAD],
    )
    def test_a_body_comes_back_and_only_its_last_frame_ends_it(self, length):
        body = bytes(range(256)) * (length // 256) + bytes(length % 256)
        frames = decode(wire.encode_body(body, stream=9), synchronised())

        assert b"".join(frame.payload for frame in frames) == body
        assert [frame.end for frame in frames] == [False] * (len(frames) - 1) + [True]
        assert {(frame.kind, frame.stream) for frame in frames} == {(wire.Kind.PAYLOAD, 9)}

    @given(st.binary(max_size=50), st.sampled_from(wire.LogSource), st.integers(0, 2**64 - 1))
    @settings(max_examples=40)
    def test_a_log_line_round_trips(self, line, source, timestamp_us):
        data = wire.encode_log(line, source, timestamp_us=timestamp_us, stream=3)
        (frame,) = synchronised().feed(data)

        assert (frame.kind, frame.stream) == (wire.Kind.LOG, 3)
        assert wire.decode_log(frame.payload) == (timestamp_us, source, line)

    def test_a_log_line_over_the_limit_is_cut(self):
        data = wire.encode_log(
            b"x" * wire.MAX_PAYLOAD, wire.LogSource.STDOUT, timestamp_us=1, stream=0
        )
        (frame,) = synchronised().feed(data)

        assert len(frame.payload) == wire.MAX_PAYLOAD

    @pytest.mark.parametrize("payload", [b"", b"short", wire.LOG_HEADER.pack(1, 0) + b"line"])
    def test_a_log_frame_that_is_none_is_refused(self, payload):
        with pytest.raises(wire.WireError, match="malformed log frame"):
            wire.decode_log(payload)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
class TestMessages:
    @given(data=st.data())
    @settings(max_examples=12)
    def test_every_field_round_trips(self, message, data):
        values = {
            member.name: data.draw(VALUES[str(member.type)])
            for member in dataclasses.fields(message)
        }
        sent = message(**values)
        (frame,) = synchronised().feed(sent.encode(stream=5, end=True))

        assert frame.kind is message.KIND
        assert (frame.stream, frame.end) == (5, True)
        assert message.decode(frame.payload) == sent

    def test_a_newer_ends_fields_are_ignored_and_an_older_ends_have_defaults(self, message):
        values = required(message)
        payload = json.dumps(values | {"of_a_later_version": [1]}).encode()

        assert message.decode(payload) == message(**values)

    def test_a_missing_field_is_named(self, message):
        for name in required(message):
            rest = {key: value for key, value in required(message).items() if key != name}
            with pytest.raises(wire.WireError, match=rf"{message.__name__}: .*'{name}'"):
                message.decode(json.dumps(rest).encode())

    def test_a_value_of_another_type_is_refused_and_its_field_named(self, message):
        for member in dataclasses.fields(message):
            values = required(message) | {member.name: 0.5}
            with pytest.raises(wire.WireError, match=f"{member.name} is not"):
                message.decode(json.dumps(values).encode())

    @pytest.mark.parametrize(
        "payload", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 200_000, b"1" * 5000]
    )
    def test_what_is_no_json_object_is_refused(self, message, payload):
        with pytest.raises(wire.WireError, match=f"{message.__name__}: not"):
            message.decode(payload)


class TestValues:
    @pytest.mark.parametrize(
        ("message", "member", "value"),
        [
            (wire.Hello, "version", True),
            (wire.Hello, "version", "1"),
            (wire.Hello, "role", "\ud800"),
            (wire.Hello, "role", None),
            (wire.Init, "environment", {"A": 1}),
            (wire.Init, "environment", {"\udfff": "a"}),
            (wire.Init, "environment", ["A"]),
            (wire.Init, "skip_fixers", [1]),
            (wire.Init, "skip_fixers", "*"),
            (wire.Init, "trace", 1),
            (wire.Init, "credentials", []),
            (wire.SnapshotReady, "steps", {"a": "1"}),
            (wire.Exited, "signal", False),
        ],
    )
    def test_a_strangers_value_is_refused(self, message, member, value):
        payload = json.dumps(required(message) | {member: value}).encode()

        with pytest.raises(wire.WireError, match=f"{member} is not"):
            message.decode(payload)

    def test_every_kind_with_a_message_has_one(self):
        bare = {wire.Kind.PING, wire.Kind.PONG, wire.Kind.PAYLOAD, wire.Kind.LOG}

        assert sorted(message.KIND for message in MESSAGES) == sorted(set(wire.Kind) - bare)

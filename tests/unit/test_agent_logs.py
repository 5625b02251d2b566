"""The function's output: lines and telemetry frames, however they are cut."""

from __future__ import annotations

import itertools
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_agent.logs import LONGEST, Frames, Lines, Logs
from thaw_agent.loop import Loop
from thaw_agent.wire import SYNC, Decoder, LogSource, decode_log

CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def feed(reader, data, cuts):
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    entries = []
    for start, end in itertools.pairwise(places):
        entries += reader.feed(data[start:end])
    return entries


def framed(text, *, kind=0xA55A0003, timestamp_us=5):
    return struct.pack(">IIQ", kind, len(text), timestamp_us) + text


class TestLines:
    @given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))), CUTS)
    @settings(max_examples=60)
    def test_any_cut_gives_the_same_lines(self, lines, cuts):
        reader = Lines(LogSource.STDOUT)
        entries = feed(reader, b"".join(line + b"\n" for line in lines), cuts)

        assert [line for _, _, text in entries for line in text.split(b"\n")] == lines
        assert reader.flush(final=True) == []

    def test_a_last_line_without_its_end_comes_with_the_flush_and_once(self):
        reader = Lines(LogSource.STDERR)
        before = reader.feed(b"half")
        ((source, _, text),) = reader.flush(final=False)

        assert before == []
        assert (source, text) == (LogSource.STDERR, b"half")
        assert reader.flush(final=True) == []

    @pytest.mark.parametrize("end", [b"", b"\n"])
    def test_a_line_longer_than_a_frame_comes_in_pieces_and_is_not_held(self, end):
        reader = Lines(LogSource.STDOUT)
        line = bytes(range(1, 10)) * (LONGEST // 3)
        entries = reader.feed(line + end)
        held = len(reader._rest)
        entries += reader.flush(final=True)

        assert held <= LONGEST
        assert b"".join(text for _, _, text in entries) == line
        assert max(len(text) for _, _, text in entries) <= LONGEST


class TestFrames:
    @given(st.lists(st.binary(max_size=30)), CUTS)
    @settings(max_examples=60)
    def test_any_cut_gives_the_same_entries(self, texts, cuts):
        texts = [text.rstrip(b"\n") for text in texts if text.rstrip(b"\n")]
        data = b"".join(framed(text, timestamp_us=n) for n, text in enumerate(texts))
        entries = feed(Frames(), data, cuts)

        assert [(when, text) for _, when, text in entries] == list(enumerate(texts))

    @pytest.mark.parametrize(
        ("kind", "source"),
        [
            *(
                (0xA55A0000 + low, LogSource.TELEMETRY_JSON)
                for low in (2, 0xA, 0xE, 0x12, 0x16, 0x1A)
            ),
            *(
                (0xA55A0000 + low, LogSource.TELEMETRY_TEXT)
                for low in (3, 0xB, 0xF, 0x13, 0x17, 0x1B)
            ),
        ],
    )
    def test_the_type_tells_json_from_text_at_every_level(self, kind, source):
        assert Frames().feed(framed(b"x", kind=kind)) == [(source, 5, b"x")]

    def test_an_entry_keeps_its_lines_but_the_last_end(self):
        assert Frames().feed(framed(b"a\n b\n")) == [(LogSource.TELEMETRY_TEXT, 5, b"a\n b")]

    def test_an_empty_entry_is_none(self):
        reader = Frames()

        assert reader.feed(framed(b"") + framed(b"next")) == [
            (LogSource.TELEMETRY_TEXT, 5, b"next")
        ]

    def test_an_entry_of_gigabytes_is_passed_on_and_not_held(self):
        reader = Frames()
        entries = reader.feed(
            struct.pack(">IIQ", 0xA55A0003, 2**32 - 1, 5) + bytes(3 * LONGEST + 1)
        )

        assert len(entries) == 3
        assert len(reader._buffer) == 1

    def test_half_an_entry_is_not_cut_by_a_flush_but_by_the_end(self):
        reader = Frames()
        reader.feed(framed(b"whole entry")[:-3])
        between = reader.flush(final=False)
        ((_, _, text),) = reader.flush(final=True)

        assert between == []
        assert text == b"whole en"

    @given(st.binary(min_size=16, max_size=60), CUTS)
    @settings(max_examples=60)
    def test_what_is_not_framed_is_shown_as_it_is(self, data, cuts):
        data = b"!" + data
        reader = Frames()
        entries = feed(reader, data, cuts) + reader.flush(final=True)

        assert b"\n".join(text for _, _, text in entries) in {data, data.removesuffix(b"\n")}


class Collector:
    """A channel that keeps what it is given, and is as full as the test says."""

    def __init__(self):
        self.congested = False
        self.sent = b""
        self.waiting = []

    def send(self, *parts):
        self.sent += b"".join(parts)

    def when_room(self, call):
        self.waiting.append(call)

    def texts(self):
        decoder = Decoder()
        frames = decoder.feed(SYNC + self.sent)
        return [line for frame in frames for line in decode_log(frame.payload)[2].split(b"\n")]


@pytest.fixture
def pipe():
    """A loop, a channel, logs that read a pipe, and the pipe's other end."""
    loop, channel = Loop(), Collector()
    logs = Logs(loop, channel, lambda: 0)
    reader, writer = os.pipe()
    logs.add(reader, LogSource.STDOUT)
    yield loop, channel, logs, writer
    loop.close()
    for descriptor in (*logs._pipes, writer):
        try:
            os.close(descriptor)
        except OSError:
            assert descriptor == writer


class TestPipes:
    def test_while_the_channel_is_full_nothing_is_read_and_afterwards_nothing_is_lost(self, pipe):
        loop, channel, _, writer = pipe
        channel.congested = True
        os.write(writer, b"1\n2\n")
        loop.turn(0.1)
        loop.turn(0.0)
        assert channel.texts() == []

        channel.congested = False
        for call in channel.waiting:
            call()
        loop.turn(0.1)
        assert channel.texts() == [b"1", b"2"]

    def test_a_pipe_that_ended_while_the_channel_was_full_is_not_watched_again(self, pipe):
        loop, channel, logs, writer = pipe
        channel.congested = True
        os.write(writer, b"last")
        os.close(writer)
        loop.turn(0.1)
        logs.drain()
        logs.drain()
        for call in channel.waiting:
            call()
        loop.turn(0.0)

        assert channel.texts() == [b"last"]

    def test_a_flood_is_read_with_rests_while_the_logs_are_gentle(self, pipe):
        """Its writer blocks meanwhile: in a restore it would keep the processor from the hooks."""
        loop, channel, logs, writer = pipe
        logs.gentle = True
        os.write(writer, b"x\n" * 16 * 1024)
        descriptor = next(iter(logs._pipes))
        loop.turn(0.1)
        assert (len(channel.texts()), descriptor in loop._watched) == (4096, False)

        while len(channel.texts()) < 16 * 1024:
            loop.turn(0.1)

        os.write(writer, b"y\n")
        while channel.texts()[-1] != b"y":
            loop.turn(0.1)

    def test_a_drain_ends_although_the_writer_does_not(self, pipe, monkeypatch):
        _, channel, logs, _ = pipe
        monkeypatch.setattr("thaw_agent.logs.os.read", lambda _fd, size: b"x" * (size - 1) + b"\n")
        logs.drain()

        assert 0 < len(channel.texts()) < 1000

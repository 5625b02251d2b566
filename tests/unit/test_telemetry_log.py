"""The daemon's log: the same facts in every format."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import structlog

from thawd.telemetry import log as logs


@pytest.fixture(autouse=True)
def fresh_structlog():
    yield
    structlog.reset_defaults()


def written(level: str, chosen: str, tell) -> str:
    stream = io.StringIO()
    logs.configure(level, chosen, stream=stream, environ={})
    tell(structlog.get_logger())
    return stream.getvalue()


def restored(log) -> None:
    log.info("machine.restored", version=3, restore_ms=97.4, warm=False, why="a b")


def test_journal_lines_begin_with_the_severity():
    assert (
        written("info", "journal", restored)
        == '<6>machine.restored version=3 restore_ms=97.4 warm=false why="a b"\n'
    )


def test_every_line_of_a_traceback_has_a_severity():
    """The journal takes each line as an entry."""

    def fail(log):
        try:
            int("no")
        except ValueError:
            log.exception("machine.failed", version=3)

    lines = written("info", "journal", fail).splitlines()

    assert lines[0] == "<3>machine.failed version=3"
    assert lines[-1] == "<3>ValueError: invalid literal for int() with base 10: 'no'"
    assert all(line.startswith("<3>") for line in lines)


def test_logfmt():
    line = written("info", "logfmt", restored)

    assert line.startswith("timestamp=20")
    assert line.endswith(
        'level=info event=machine.restored version=3 restore_ms=97.4 warm=false why="a b"\n'
    )


def test_json_has_plain_values_and_no_local_variables():
    def fail(log):
        secret = "hunter2"  # noqa: F841
        try:
            int("no")
        except ValueError:
            log.exception("machine.failed", path=io.StringIO)

    text = written("info", "json", fail)
    event = json.loads(text)

    assert (event["event"], event["level"]) == ("machine.failed", "error")
    assert event["exception"][0]["exc_type"] == "ValueError"
    assert "hunter2" not in text


def test_console_has_no_colour_where_there_is_no_terminal():
    text = written("info", "console", restored)

    assert "machine.restored" in text
    assert "restore_ms=97.4" in text
    assert "\x1b" not in text


def test_less_severe_events_are_left_out():
    assert written("warning", "logfmt", restored) == ""


def test_auto_is_journal_only_on_the_journals_own_stream(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}

        assert logs.choose_format("auto", stream, named) == "journal"
        assert logs.choose_format("auto", stream, {"JOURNAL_STREAM": "1:2"}) == "logfmt"
        assert logs.choose_format("json", stream, named) == "json"
    assert logs.choose_format("auto", io.StringIO(), named) == "logfmt"


def test_a_log_that_cannot_be_written_raises_nothing():
    with Path("/dev/full").open("w") as full:
        logs.configure("info", "logfmt", stream=full, environ={})

        structlog.get_logger().info("machine.restored", path="\udcff")


def test_a_reader_that_went_away_raises_nothing():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        logs.configure("info", "logfmt", stream=pipe, environ={})

        structlog.get_logger().info("machine.restored")


def test_a_reader_that_stops_reading_blocks_nothing_and_learns_how_much_it_missed():
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe, os.fdopen(read, "rb", buffering=0) as reader:
        logs.configure("info", "logfmt", stream=pipe, environ={})
        for _ in range(5000):
            structlog.get_logger().info("machine.restored", padding="x" * 100)
        while len(reader.read(1 << 16)) == 1 << 16:
            pass
        structlog.get_logger().info("machine.killed")
        told = reader.read(1 << 16)

    killed, lost = told.splitlines()[-2:]
    assert b"machine.killed" in killed
    assert int(lost.rpartition(b"=")[2]) > 1000

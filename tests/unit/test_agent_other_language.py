"""A made-up language under the agent: what stands in its folder is all that agent and daemon are told of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from agent_bed import Bed

from thaw_agent import wire
from thaw_agent.language import Language
from thawd import runtimes

ROOT = Path(__file__).parents[2]
LANGUAGES = ROOT / "tests/machine/languages"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a function of this language; the bed it runs in."""
    monkeypatch.setenv(runtimes.DIRECTORIES, str(LANGUAGES))
    runtime = runtimes.find("tiny1")
    language = Language(json.loads(runtime.baked()))
    baked = language.command

    def command(init):
        # The image's paths are this machine's: its interpreter, and the file where the image's copy comes from.
        _, *options, _, handler = baked(init)
        return [sys.executable, *options, str(runtime.directory / "tiny.py"), handler]

    beds = []

    def started(kind, **variables):
        bed = Bed(tmp_path, command, language)
        beds.append(bed)
        (tmp_path / "var/task/greeting.txt").write_text("Good morning,")
        bed.start(kind, runtime="tiny1", handler=runtime.default_handler, environment=variables)
        return bed

    yield started
    for bed in beds:
        bed.close()


def reply(bed):
    bed.invoke(b'{"name": "Ada"}')
    bed.take(wire.Kind.RESPONSE)
    answer = json.loads(bed.body())
    bed.take(wire.Kind.DONE)
    return answer


def test_it_is_frozen_thawed_and_answers(start):
    bed = start("snap-start")
    ready = wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)
    bed.restore()
    restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)
    answer = reply(bed)

    assert (ready.report["runtime"], ready.report["notes"]) == ("tiny", ["one secret"])
    assert restored.report["notes"] == ["another secret"]
    assert answer["greeting"] == "Good morning, Ada"
    assert answer["version"] == "1.0 with 128 MB"
    assert answer["others"] == []


def test_it_answers_without_a_snapshot(start):
    bed = start("on-demand")
    bed.take(wire.Kind.INIT_DONE)

    assert reply(bed)["greeting"] == "Good morning, Ada"


def test_neither_daemon_nor_agent_mentions_it():
    for folder in ("daemon", "guest_agent"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "tiny" not in path.read_text().lower(), path


@pytest.mark.parametrize("words", ['startswith("python")', "python3.13", '"python:'])
def test_neither_daemon_nor_agent_says_what_only_pythons_folder_says(words):
    for folder in ("daemon/thawd", "guest_agent"):
        for path in (ROOT / folder).rglob("*.py"):
            assert words not in path.read_text(), path

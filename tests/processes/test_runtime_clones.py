"""Real clones of one process, without a machine: no source of the standard library repeats, and without fixers all do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BED = ROOT / "tests" / "clone_bed.py"
SOURCES = ROOT / "tests" / "libraries"
CLONES = 8

KERNEL = {"os.urandom", "secrets", "uuid4", "SystemRandom"}
"""Sources without a state in memory: the bed's clones share one kernel, so these differ without fixers too."""


def clone(sources: Path, *options: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(BED), str(sources), "--clones", str(CLONES), *options],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "runtimes" / "python")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shared(clones: list[dict], name: str) -> set[str]:
    """Values of one source that two clones both gave."""
    seen: set[str] = set()
    twice: set[str] = set()
    for said in clones:
        values = {json.dumps(value) for value in said[name]}
        twice |= values & seen
        seen |= values
    return twice


@pytest.mark.parametrize("module", ["stdlib", "mailbox", "fork_handlers"])
def test_clones_share_nothing_but_what_is_kept(module):
    """Eight clones, every source that the fixers claim: no value occurs in two of them."""
    result = clone(SOURCES / f"sources_{module}.py")
    clones = result["clones"]

    assert len(clones) == CLONES
    duplicates = {n for n in clones[0] if not n.startswith("kept: ") and shared(clones, n)}
    assert set() == duplicates
    for name in clones[0]:
        if name.startswith("kept: "):
            assert all(said[name] == clones[0][name] for said in clones), name
    assert {f["result"] for f in result["fixers"]} <= {"ok", "absent"}


@pytest.mark.parametrize("module", ["stdlib", "mailbox", "fork_handlers"])
def test_without_fixers_the_same_test_finds_them_all(module):
    """The test above can fail: every source with a state in memory repeats when nothing renews it."""
    clones = clone(SOURCES / f"sources_{module}.py", "--off")["clones"]

    assert KERNEL & set(clones[0]) == {n for n in clones[0] if not shared(clones, n)}


def test_a_kept_seed_is_reported_with_its_place():
    """What is not touched is named: file and line of the explicit seed."""
    notes = clone(SOURCES / "sources_stdlib.py")["notes"]

    assert any("sources_stdlib.py:" in note and "explicit seeds" in note for note in notes)


def test_one_fixer_left_out_is_one_source_repeating():
    """Opting out of a fixer affects what it renews and nothing else."""
    clones = clone(SOURCES / "sources_stdlib.py", "--skip", "sqlite3")["clones"]

    assert {"sqlite randomblob"} == {
        n for n in clones[0] if not n.startswith("kept: ") and shared(clones, n)
    }

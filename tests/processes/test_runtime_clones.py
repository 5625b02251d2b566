"""Real clones of one process, without a machine: no source of the standard library repeats, and without fixers all do."""

from __future__ import annotations

import pytest
from cloning import CLONES, clone, shared

KERNEL = {"os.urandom", "secrets", "uuid4", "SystemRandom"}
"""Sources without a state in memory: the bed's clones share one kernel, so these differ without fixers too."""


@pytest.mark.parametrize("module", ["stdlib", "mailbox", "fork_handlers", "wipe_on_fork"])
def test_clones_share_nothing_but_what_is_kept(module):
    """Eight clones, every source that the fixers claim: no value occurs in two of them."""
    result = clone(module)
    clones = result["clones"]

    assert len(clones) == CLONES
    duplicates = {n for n in clones[0] if not n.startswith("kept: ") and shared(clones, n)}
    assert set() == duplicates
    for name in clones[0]:
        if name.startswith("kept: "):
            assert all(said[name] == clones[0][name] for said in clones), name
    assert {f["result"] for f in result["fixers"]} <= {"ok", "absent"}


@pytest.mark.parametrize("module", ["stdlib", "mailbox", "fork_handlers", "wipe_on_fork"])
def test_without_fixers_the_same_test_finds_them_all(module):
    """The test above can fail: every source with a state in memory repeats when nothing renews it."""
    clones = clone(module, "--off")["clones"]

    assert KERNEL & set(clones[0]) == {n for n in clones[0] if not shared(clones, n)}


def test_a_kept_seed_is_reported_with_its_place():
    """What is not touched is named: file and line of the explicit seed."""
    notes = clone("stdlib")["notes"]

    assert any("sources_stdlib.py:" in note and "explicit seeds" in note for note in notes)


def test_one_fixer_left_out_is_one_source_repeating():
    """Opting out of a fixer affects what it renews and nothing else."""
    clones = clone("stdlib", "--skip", "sqlite3")["clones"]

    assert {"sqlite randomblob"} == {
        n for n in clones[0] if not n.startswith("kept: ") and shared(clones, n)
    }

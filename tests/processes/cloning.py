"""Clones of a process, in the bed that tests/clone_bed.py is, and what they share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BED = ROOT / "tests" / "clone_bed.py"
CLONES = 8


def clone(sources: str, *options: str) -> dict:
    """What the bed printed of tests/libraries/sources_<name>.py. Skips where no clone can be made."""
    file = ROOT / "tests" / "libraries" / f"sources_{sources}.py"
    done = subprocess.run(
        [sys.executable, str(BED), str(file), "--clones", str(CLONES), *options],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "runtimes" / "python"),
            # A raw clone has no worker threads: what would wait for one runs in the calling thread instead.
            "POLARS_MAX_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
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

"""Clones of processes with real libraries: heavier than the unit tests, and skipped by name where one is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLONES = 8


@pytest.fixture
def clone():
    """Run a sources file in the clone bed and return what it printed. Skips where no clone can be made."""

    def run(sources: Path, *options: str) -> dict:
        done = subprocess.run(
            [
                sys.executable,
                str(HERE.parent / "clone_bed.py"),
                str(sources),
                "--clones",
                str(CLONES),
                *options,
            ],
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

    return run

"""What long tests prove is written down: `.cache/long-results.md`, one row a command.

docs/operations.md has the same table; who has run a long test copies its row there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import thawd

# Containers often say that no bytecode is kept. Then each worker would compile every test at each run (ten seconds), and
# processes that tests start would do with their files what they do nowhere else.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".cache" / "long-results.md"
HEAD = ["| command | count | version | result |", "|---|---|---|---|"]

Proven = Callable[[str, str], None]


def version() -> str:
    """Of what was tested: the package's, and the commit where there is git."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return f"{thawd.__version__} ({said})" if said else thawd.__version__


def with_row(text: str, row: str) -> str:
    """The table `text` with this row, in the place of an older one of the same command."""
    command = row.split(" | ", maxsplit=1)[0]
    rows = [
        line
        for line in text.splitlines()
        if line not in HEAD and line.split(" | ", maxsplit=1)[0] != command
    ]
    return "\n".join([*HEAD, *rows, row]) + "\n"


@pytest.fixture
def proven(request: pytest.FixtureRequest) -> Proven:
    """Call it at a long test's end with how much was tried ("200 kills") and what came of it, in a few words."""

    def write(count: str, result: str) -> None:
        name = request.node.nodeid.replace("|", " ")
        row = f"| `./dev test --long {name}` | {count} | {version()} | {result} |"
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(with_row(RESULTS.read_text() if RESULTS.exists() else "", row))
        print(row)

    return write

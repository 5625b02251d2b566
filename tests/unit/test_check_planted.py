"""The linter on functions with planted bugs: each is found at its line, nothing else is, and what is put right is clean.

What real clones show of the same functions is in tests/machine/test_check_planted.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from thawd.check.lint import lint_path

EXAMPLES = Path(__file__).parents[2] / "runtimes" / "python" / "examples" / "check"
MARK = re.compile(r"# bug: ([\w-]+)$")


def planted(name: str) -> list[dict[str, Any]]:
    about = json.loads((EXAMPLES / name / "bugs.json").read_text())
    return [*about["bugs"], *about["aws_only"]]


def marked(name: str) -> dict[int, str]:
    """Bugs by line, as the source's comments mark them."""
    lines = (EXAMPLES / name / "app.py").read_text().splitlines()
    return {n: found[1] for n, line in enumerate(lines, 1) if (found := MARK.search(line))}


@pytest.mark.parametrize("name", ["planted", "aws_docs"])
def test_every_bug_is_found_where_it_is_and_nothing_else(name: str) -> None:
    marks = marked(name)
    found = set()
    for finding in lint_path(EXAMPLES / name).findings:
        assert finding.where is not None
        places = [finding.where.line, *(place.line for place in finding.related)]
        bug = next((marks[line] for line in places if line in marks), f"line {places[0]}")
        found.add((bug, finding.rule))

    assert {(bug["name"], bug["lint"]) for bug in planted(name) if bug["lint"]} == found


@pytest.mark.parametrize("name", ["planted", "aws_docs"])
def test_marks_and_list_agree(name: str) -> None:
    bugs = planted(name)

    assert {bug["name"] for bug in bugs if bug["lint"]} == set(marked(name).values())
    assert all(bug["lint"] or bug["clone"] for bug in bugs), "a bug that nothing could find"


@pytest.mark.parametrize("name", ["planted_fixed", "aws_docs_fixed"])
def test_what_is_put_right_is_clean(name: str) -> None:
    assert lint_path(EXAMPLES / name).findings == ()

"""The table of what long tests proved, and the page that keeps it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("long_results", TESTS / "conftest.py")
results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(results)

OLD = "| `./dev test --long a` | 3 kills | 0.1 | lost nothing |"
OTHER = "| `./dev test --long ab` | 5 kills | 0.1 | lost nothing |"
NEW = "| `./dev test --long a` | 9 kills | 0.2 | lost nothing |"


def test_a_row_takes_the_place_of_the_last_one_of_its_command():
    table = ""
    for row in (OLD, OTHER, NEW):
        table = results.with_row(table, row)

    assert table.splitlines() == [*results.HEAD, OTHER, NEW]


def test_the_page_has_the_same_table_with_tests_that_exist():
    page = (TESTS.parent / "docs" / "operations.md").read_text()
    table = page.partition("\n".join(results.HEAD) + "\n")[2].splitlines()
    rows = [re.fullmatch(r"\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", row) for row in table]

    assert rows
    assert all(rows)
    for command in (row[1] for row in rows):
        named = re.search(r"(tests/\S+\.py)::(\w+)", command)
        assert named is None or f"def {named[2]}(" in (TESTS.parent / named[1]).read_text()

"""What GUARANTEES.md promises names tests that exist; what docs/uniqueness.md shows can be run."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "uniqueness.md"


def named_tests() -> set[tuple[str, str]]:
    """Every test as its file, relative to the tree, and its name."""
    return {
        (path.relative_to(ROOT).as_posix(), node.name)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


KNOWN = named_tests()
REFERENCES = sorted(
    span
    for span in set(re.findall(r"`([^`]+)`", (ROOT / "GUARANTEES.md").read_text()))
    if "test_" in span
)


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_named_test_exists(reference: str) -> None:
    """A file, a test of a file, or a test alone; `*` stands for anything."""
    file, _, test = reference.rpartition("::")
    if not file and ("/" in test or test.endswith(".py")):
        file, test = test, "*"
    assert any(
        fnmatch(path, f"*{file}*") and (fnmatch(name, test) or fnmatch(Path(path).stem, test))
        for path, name in KNOWN
    )


def test_every_fixer_has_a_row() -> None:
    text = (ROOT / "GUARANTEES.md").read_text()
    fixers = (ROOT / "runtimes" / "python" / "thaw_runtime" / "fixers").glob("*.py")
    assert {path.name for path in fixers if f"`{path.name}`" not in text} == {"__init__.py"}


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks())))
def test_the_pages_examples_run(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AWS's registry, reduced to what it does."""
    import sys
    import types

    before, after = [], []
    registry = types.ModuleType("snapshot_restore_py")
    registry.register_before_snapshot = lambda hook: before.append(hook) or hook
    registry.register_after_restore = lambda hook: after.append(hook) or hook
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", registry)
    scope: dict[str, object] = {}
    exec(blocks()[number], scope)  # noqa: S102 - what the page's reader will do
    for hook in [*reversed(before), *after]:
        hook()
    if "handler" in scope:
        assert scope["handler"]({}, None)

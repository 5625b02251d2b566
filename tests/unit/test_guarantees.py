"""What GUARANTEES.md promises names tests that exist; what docs/uniqueness.md shows can be run, and does what it says."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from thaw_check.lint import lint_path

ROOT: Final = Path(__file__).parents[2]
RUNTIME: Final = ROOT / "runtimes" / "python"
FIXERS: Final = RUNTIME / "thaw_runtime" / "fixers"
GUARANTEES: Final = (ROOT / "GUARANTEES.md").read_text()
PAGE: Final = (ROOT / "docs" / "uniqueness.md").read_text()

TESTS: Final = {
    path.relative_to(ROOT).as_posix(): frozenset(
        re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    )
    for path in (ROOT / "tests").rglob("test_*.py")
}
"""The names of the tests of each file."""


def exists(reference: str) -> bool:
    """Is there such a test? A file, a test of a file, or a test alone; `*` stands for anything."""
    file, _, test = reference.rpartition("::")
    if not file and ("/" in test or test.endswith(".py")):
        file, test = test, "*"
    return any(
        fnmatchcase(path if "/" in file else path.rpartition("/")[2], file or "*")
        and any(fnmatchcase(name, test) for name in names)
        for path, names in TESTS.items()
    )


REFERENCES: Final = sorted(set(re.findall(r"`((?:tests/|test_)[^`]*)`", GUARANTEES)))


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_named_test_exists(reference):
    assert exists(reference)


@pytest.mark.parametrize(
    "reference",
    ["test_nothing_of_the_kind", "tests/unit/test_nothing.py", "test_clones.py::test_nothing", "clones.py"],
)  # fmt: skip
def test_a_test_that_is_not_there_is_missed(reference):
    assert not exists(reference)


def test_every_fixer_has_a_row_and_a_name_on_the_page():
    fixers = {path.stem for path in FIXERS.glob("*.py")} - {"__init__"}
    names = PAGE.partition("The names:\n")[2].partition("## ")[0]

    assert {name for name in fixers if f"`{name}.py`" not in GUARANTEES} == set()
    assert set(re.findall(r"`(\w+)`", names)) == {name.removeprefix("_") for name in fixers}


BLOCKS: Final = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
HOOKS: Final = [block for block in BLOCKS if "register_after_restore" in block]

RUN: Final = """
import json, os, sys

import snapshot_restore_py as hooks

before, after = hooks.get_before_snapshot(), hooks.get_after_restore()
scope = {"__name__": "app"}
exec(compile(sys.stdin.read(), "app.py", "exec"), scope)
while before:
    function, args, kwargs = before.pop()
    function(*args, **kwargs)


def clone(restored):
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            for function, args, kwargs in after if restored else ():
                function(*args, **kwargs)
            said = scope["handler"]({}, None)
        except Exception as error:
            said = repr(error)
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with open(reader) as pipe:
        return json.load(pipe)


print(json.dumps([clone(True), clone(True), clone(False), clone(False)]))
"""
PSYCOPG: Final = """
import os


class Connection:
    closed = False

    def __init__(self):
        self.made_by = os.getpid()

    def close(self):
        self.closed = True

    def execute(self, query):
        if self.closed:
            raise OSError("the connection is closed")
        return self

    def fetchone(self):
        return [f"made by {self.made_by}"]


def connect(url):
    return Connection()
"""


def run(tmp_path, program, block, **variables):
    """What a program prints, with a page's block on its standard input, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{RUNTIME}", **variables},
        input=block,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("block", HOOKS, ids=range(len(HOOKS)))
def test_hooks_part_two_clones_that_are_the_same_without(tmp_path, block):
    """Forked processes, since these values are the function's own: no library renews them after a fork()."""
    pytest.importorskip("snapshot_restore_py")
    (tmp_path / "psycopg.py").write_text(PSYCOPG)

    one, other, *without = run(tmp_path, RUN, block, DATABASE_URL="host=db")

    assert one != other
    assert "closed" not in f"{one}{other}"
    assert without[0] == without[1]


@pytest.mark.parametrize("block", HOOKS, ids=range(len(HOOKS)))
def test_the_linter_has_nothing_against_the_hooks(tmp_path, block):
    (tmp_path / "app.py").write_text(block)

    assert [finding.rule for finding in lint_path(tmp_path).findings] == []


def test_the_first_example_is_what_the_linter_finds(tmp_path):
    (tmp_path / "app.py").write_text(BLOCKS[0])
    scope: dict = {}
    exec(BLOCKS[0], scope)  # noqa: S102 - what the page's reader will do
    first, second = scope["handler"]({}, None), scope["handler"]({}, None)

    assert [finding.rule for finding in lint_path(tmp_path).findings] == ["SNAP001"]
    assert {key for key in first if first[key] == second[key]} == {"instance"}


INTENT: Final = """
import json, os, sys

from thaw_runtime.registry import Registry

registry = Registry()
registry.start()
scope = {"__name__": "app"}
exec(compile(sys.stdin.read(), "app.py", "exec"), scope)
registry.freeze()
found = sys.modules["thaw_runtime.fixers.random"].fixer._found
print(json.dumps([any(one is scope[name] for one in found) for name in ("sampler", "jitter")]))
"""


def test_keep_and_reseed_say_what_the_page_says(tmp_path):
    (block,) = (block for block in BLOCKS if "from thaw_runtime import keep, reseed" in block)

    assert run(tmp_path, INTENT, block) == [False, True]


def test_the_fixer_shown_is_the_fixer():
    (block,) = (block for block in BLOCKS if "(Fixer)" in block)
    source = (FIXERS / "uuid_utils.py").read_text()

    assert the_class(block) == the_class(source)


def the_class(source: str) -> str:
    """A module's class as code, without docstrings and comments."""
    (found,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for node in ast.walk(found):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.unparse(found)


APP: Final = """
import time
import uuid

INSTANCE_ID = uuid.uuid4()
STARTED = time.time()
CONSTANT = "eu-central-1"


class Kept:
    instance = uuid.uuid4()
"""
NOTES: Final = """
import json, sys, threading

from thaw_runtime.registry import Registry

registry = Registry(skip=sys.stdin.read().split())
registry.start()
import app, library

registry.freeze()
print(json.dumps(registry.notes))
"""


def notes(tmp_path, skip=""):
    library = tmp_path / "library"
    library.mkdir()
    (library / "__init__.py").write_text(
        "import os\ndef again(): ...\nos.register_at_fork(after_in_child=again)\n"
    )
    (library / "py.typed").touch()
    (tmp_path / "app.py").write_text(APP)
    return run(tmp_path, NOTES, skip, LAMBDA_TASK_ROOT=str(tmp_path))


def test_what_stays_the_same_is_reported(tmp_path):
    """Globals of the function made from the kernel or the clock, not what hangs on them; and what nothing renews."""
    said = notes(tmp_path)

    assert [note.partition(" was made")[0] for note in said if " was made unique" in note] == [
        "app.INSTANCE_ID",
        "app.STARTED",
    ]
    assert [note for note in said if note.startswith("library repairs itself after fork()")]


def test_without_fixers_nothing_is_reported(tmp_path):
    assert notes(tmp_path, "*") == []

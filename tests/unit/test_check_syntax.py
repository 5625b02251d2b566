"""The border to the parser that knows every Python: the same tree as each Python's own parser gives."""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
from pathlib import Path
from textwrap import dedent

import pytest
import syntax_trees
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_check.lint import lint_source, newer, older, syntax
from thaw_check.lint.unreadable import Unreadable

SAMPLE = (
    "contextlib.py", "fractions.py", "json/decoder.py", "asyncio/taskgroups.py", "concurrent/futures/_base.py", "string.py",
    "types.py",
)  # fmt: skip
"""Of the standard library, in a second. tests/processes/test_check_parsers.py takes more of it, and other Pythons."""


@pytest.mark.parametrize("name", SAMPLE)
def test_the_tree_is_as_the_hosts_parser_gives_it(name):
    text = syntax_trees.text_of(Path(sysconfig.get_path("stdlib"), name))

    expected = syntax_trees.digest(older.lowered(ast.parse(text)))
    assert expected == syntax_trees.digest(newer.tree_of(text))


NEWER = {
    "type X[T] = list[T]": "X = list[T]",
    "def f[T: int = str, *A, **P](x: T) -> T: ...": "def f(x: T) -> T: ...",
    "class C[T](B): ...": "class C(B): ...",
    """x = f"{", ".join(["a"])} {f"{1!r:>{w}}"}" """: """x = f'{", ".join(["a"])} {f"{1!r:>{w}}"}'""",
    'x = f"{\n    a  # why\n}"': 'x = f"{a}"',
    "try: pass\nexcept A, B: pass": "try: pass\nexcept (A, B): pass",
    "try: pass\nexcept* A, B: pass": "try: pass\nexcept* (A, B): pass",
    'x = t"hi {name!r:>{w}}"': 'x = f"hi {name!r:>{w}}"',
    'x = rt"\\{name}"': 'x = rf"\\{name}"',
    "x = [*a for a in b]": "x = [*a for a in b]",
    "lazy import os": "import os",
    "lazy from os import path as p": "from os import path as p",
}
"""What is newer than 3.11, and the nearest that is not."""


class TestNewerThanTheHost:
    @pytest.mark.parametrize("source", NEWER)
    def test_becomes_the_nearest_older_syntax(self, source):
        tree = syntax.tree_of(source)

        assert {type(node).__module__ for node in ast.walk(tree)} == {"ast"}
        assert not [n for n in ast.walk(tree) if type(n).__name__ in {"TypeAlias", "TemplateStr"}]
        if "[*a" not in source:
            assert ast.unparse(ast.parse(NEWER[source])) == ast.unparse(tree)

    def test_a_finding_is_where_the_source_has_it(self):
        source = 'import uuid\ntype T = int\nä = f"ß {\n    uuid.uuid4()\n}"\n'

        (finding,) = lint_source(source).findings

        assert ("SNAP001", 4, 5) == (finding.rule, finding.where.line, finding.where.column)

    def test_an_invalid_escape_is_not_our_matter(self):
        assert () == lint_source("type X = int\nY = '\\('\n").findings

    @pytest.mark.parametrize(
        ("source", "line"),
        [
            ("type X = int\ndef f(:\n", 2),
            ("x = 1\nprint 'x'\n", 2),
            ("type X = int\nf(a=1, 2)\n", 2),
            ("if 1:\npass\n", 2),
        ],
    )
    def test_what_no_python_reads_is_said_where_it_is(self, source, line):
        (finding,) = lint_source(source).findings

        assert ("SNAP000", line) == (finding.rule, finding.where.line)

    @pytest.mark.parametrize(
        "deep",
        [
            "(" * 5000 + ")" * 5000,
            "not " * 20_000 + "1",
            "lambda: " * 20_000 + "1",
            "-" * 20_000 + "1",
            "if 1: pass\n" + "elif 1: pass\n" * 2_000,
            "x" + "[0]" * 5_000,
            "".join(" " * n + "if 1:\n" for n in range(300)) + " " * 300 + "pass",
        ],
        ids=["brackets", "not", "lambda", "minus", "elif", "subscripts", "blocks"],
    )
    @pytest.mark.parametrize("first", ["", "type X = int\n"])
    def test_nesting_without_end_is_refused_or_read(self, first, deep):
        """The parser is native: what it cannot bear would end the process."""
        for finding in lint_source(first + deep).findings:
            assert finding.rule == "SNAP000"

    @given(st.text(alphabet="type X=[]():,f't\"{}!\n \\*@.1äß#", max_size=40))
    @settings(max_examples=100, deadline=None)
    def test_any_text_is_read_or_refused(self, text):
        try:
            tree = newer.tree_of(text)
        except Unreadable:
            return
        assert isinstance(tree, ast.Module)


def test_the_host_is_asked_first(monkeypatch):
    """Its parser is in C. Only what it refuses goes to the other, which takes thirty times as long."""
    monkeypatch.setattr(newer, "tree_of", lambda _: pytest.fail("asked"))

    assert "x" == syntax.tree_of("x = 1").body[0].targets[0].id


def test_the_other_parser_is_loaded_only_when_it_is_needed():
    code = dedent(
        """
        import sys
        from thaw_check.lint import lint_source
        lint_source("x = 1")
        assert "libcst" not in sys.modules
        """
    )

    subprocess.run([sys.executable, "-c", code], check=True)

"""The border to the parser that knows every Python: the same tree as each Python's own parser gives."""

from __future__ import annotations

import ast
import json
import re
import shutil
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

FEW = (
    "_collections_abc.py", "ast.py", "contextlib.py", "dataclasses.py", "enum.py", "fractions.py", "json/decoder.py",
    "pprint.py", "asyncio/taskgroups.py", "concurrent/futures/_base.py", "string.py", "statistics.py", "types.py",
)  # fmt: skip
"""Of the standard library, in half a minute. All of it takes the long test."""
BEYOND = {
    "test/test_fstring.py": "libcst 1.9 loses the space behind a conversion, and with it the columns of that line",
    "test/test_grammar.py": "libcst 1.9 refuses an annotation of a name in brackets",
}
"""Files that the parser cannot read, and why."""
OF_SYNTAX = re.compile(
    r"test_(ast|type_\w+|typing|patma|fstring|tstring|grammar|syntax|with|generators|exception_group|unpack_ex|coroutines"
    r"|positional_only_arg|named_expressions|string_literals|unicode_identifiers|descr|dis|compile|lambda|dictcomps|listcomps)\.py"
)
"""Of Python's own tests, those of its syntax."""
EXE = {version: f"python{version}" for version in ("3.12", "3.13", "3.14")}


def interpreter(python):
    """Its path, from PATH or from where pyenv and uv put theirs; skips where there is none."""
    version = python.removeprefix("python")
    places = [Path(found)] if (found := shutil.which(python)) else []
    places += sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))
    places += sorted(Path.home().glob(f".local/share/uv/python/cpython-{version}*/bin/python3"))
    for place in places:
        # A shim of pyenv is there for versions that are not chosen.
        if not subprocess.run([place, "-V"], capture_output=True, check=False).returncode:
            return str(place)
    pytest.skip(f"no {python} on this machine")


def library_of(python):
    """The folder of a Python's standard library."""
    found = interpreter(python)
    code = "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('stdlib'), sys.version_info[:2]]))"
    ran = subprocess.run([found, "-c", code], capture_output=True, text=True, check=True)
    folder, _ = json.loads(ran.stdout)
    return Path(folder)


def trees_of(python, paths):
    """The digest of each file's tree, as that Python parses it."""
    ran = subprocess.run(
        [python, syntax_trees.__file__, older.__file__],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(paths, ran.stdout.splitlines(), strict=True))


def differing(python, folder, paths):
    wrong = []
    for path, expected in trees_of(interpreter(python), paths).items():
        if expected == "-" or str(path.relative_to(folder)) in BEYOND:
            continue
        try:
            found = syntax_trees.digest(newer.tree_of(syntax_trees.text_of(path)))
        except Unreadable as error:
            wrong.append(f"{path}:{error.line}: {error.message}")
            continue
        if found != expected:
            wrong.append(str(path))
    return wrong


def few(folder):
    return [folder / name for name in FEW if (folder / name).exists()]


class TestSameTree:
    def test_as_the_hosts_parser_gives(self):
        folder = Path(sysconfig.get_path("stdlib"))

        assert len(few(folder)) > 8
        assert [] == differing(sys.executable, folder, few(folder))

    @pytest.mark.parametrize("version", EXE)
    def test_as_a_newer_pythons_parser_gives(self, version):
        folder = library_of(EXE[version])
        newest = [p for p in (folder / "test").glob("test_type_*.py") if p.stat().st_size < 60_000]

        assert [] == differing(EXE[version], folder, [*few(folder)[:4], *newest])

    @pytest.mark.long
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("python", [sys.executable, *EXE.values()])
    def test_of_the_whole_standard_library(self, python):
        folder = library_of(python)
        paths = [
            path
            for path in sorted(folder.rglob("*.py"))
            if not {"site-packages", "lib2to3", "idlelib", "turtledemo"} & set(path.parts)
            and ("test" not in path.parts or OF_SYNTAX.fullmatch(path.name))
        ]

        assert len(paths) > 400
        assert [] == differing(python, folder, paths)


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
    @settings(max_examples=300, deadline=None)
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

"""The border to the parser that knows every Python: the same tree as each Python's own parser gives, of whole libraries.

What newer syntax becomes is in tests/unit/test_check_syntax.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import syntax_trees

from thaw_check.lint import newer, older
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

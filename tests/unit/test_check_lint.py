"""The linter: every rule on its cases, suppressions, bundles, and source that nobody would write."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_check.errors import CheckError
from thaw_check.findings import Level
from thaw_check.lint import RULES, lint_path, lint_source

CASES = Path(__file__).parent / "check_cases"
HAZARDS = [rule for rule in RULES if rule != "SNAP000"]


@frozen
class Case:
    rule: str
    bad: bool
    title: str
    source: str

    @property
    def expected(self):
        found = []
        for number, line in enumerate(self.source.splitlines(), 1):
            if match := re.search(r"# expect: (.*)", line):
                found += [(number, rule.strip()) for rule in match[1].split(",")]
        return found


def parts(path):
    """Kind, title and source of each case in a file."""
    for part in path.read_text().split("# case: ")[1:]:
        title, _, source = part.partition("\n")
        kind, _, title = title.partition(": ")
        yield kind, title, source


def cases():
    for path in sorted(CASES.glob("snap*.py")):
        for kind, title, source in parts(path):
            yield Case(path.stem.upper(), kind == "bad", title, source)


ALL = list(cases())
WORLD = [
    Case(path.stem, kind == "bad", title, source)
    for path in sorted((CASES / "world").glob("*.py"))
    for kind, title, source in parts(path)
]
"""What functions of the field do, by theme."""


class TestRules:
    @pytest.mark.parametrize(
        "case", [*ALL, *WORLD], ids=lambda c: f"{c.rule}-{c.title.replace(' ', '-')}"
    )
    def test_finds_what_is_marked_and_nothing_else(self, case):
        report = lint_source(case.source)

        assert sorted(case.expected) == sorted((f.where.line, f.rule) for f in report.findings)
        assert case.bad == bool(case.expected)

    @pytest.mark.parametrize("rule", HAZARDS)
    def test_each_rule_has_three_cases_on_either_side(self, rule):
        bad = [case for case in ALL if case.rule == rule and case.bad]
        good = [case for case in ALL if case.rule == rule and not case.bad]

        assert len(bad) >= 3
        assert len(good) >= 3
        assert all(rule in [id_ for _, id_ in case.expected] for case in bad)

    @pytest.mark.parametrize("rule", HAZARDS)
    def test_the_documentation_tells_the_truth(self, rule):
        assert {rule} == {finding.rule for finding in lint_source(RULES[rule].bad).findings}
        assert () == lint_source(RULES[rule].good).findings

    def test_a_finding_says_all_one_needs(self):
        source = "import uuid\n\n\ndef make():\n    return uuid.uuid4()\n\n\nNODE = str(make())\n"

        (finding,) = lint_source(source, "app.py").findings

        assert ("SNAP001", Level.ERROR) == (finding.rule, finding.level)
        assert ("app.py:8:12", 8, 18) == (
            str(finding.where),
            finding.where.end_line,
            finding.where.end_column,
        )
        assert ("uuid.uuid4", "NODE") == (finding.what, finding.target)
        assert ["app.py:5:12"] == [str(place) for place in finding.related]
        assert finding.why
        assert finding.fix

    def test_columns_count_characters(self):
        (finding,) = lint_source('import uuid\nü = "ß", uuid.uuid4()\n').findings

        assert 10 == finding.where.column

    def test_only_the_rules_that_are_asked_for(self):
        source = "import os, uuid\nA = uuid.uuid4()\nB = os.getpid()\n"

        assert ["SNAP006"] == [f.rule for f in lint_source(source, rules=["SNAP006"]).findings]
        with pytest.raises(ValueError, match="no rule SNAP999"):
            lint_source(source, rules=["SNAP999"])


class TestSuppression:
    @pytest.mark.parametrize(
        "source",
        [
            "X = uuid4()  # thaw: ignore[SNAP001] tests need it\n",
            "X = uuid4()  # noqa: X # thaw: ignore[SNAP005, snap001] - tests need it\n",
            "# thaw: ignore[SNAP001] tests need it\nX = uuid4()\n",
            "X = [\n    1,\n    uuid4(),  # thaw: ignore tests need it\n]\n",
            "# thaw: ignore-file[SNAP001] tests need it\n\nX = 1\n\nY = uuid4()\n",
            "def make():\n    return uuid4()  # thaw: ignore[SNAP001] tests need it\nX = make()\n",
        ],
    )
    def test_a_comment_accepts_a_finding_and_says_why(self, source):
        report = lint_source("from uuid import uuid4\n" + source)

        assert () == report.findings
        assert ["tests need it"] == [accepted.reason for accepted in report.suppressed]
        assert ["SNAP001"] == [accepted.finding.rule for accepted in report.suppressed]

    @pytest.mark.parametrize(
        "source",
        [
            "X = uuid4()  # thaw: ignore[SNAP002]\n",
            "X = uuid4(); Y = '# thaw: ignore'\n",
            "Z = 1  # thaw: ignore\nX = uuid4()\n",
            "X = uuid4()\n# thaw: ignore\n",
            "X = uuid4()  # thaw: ignore[]\n",
        ],
    )
    def test_what_does_not_accept_it(self, source):
        assert ["SNAP001"] == [
            f.rule for f in lint_source("from uuid import uuid4\n" + source).findings
        ]


BUNDLE = {
    "app.py": "import ids, state\nfrom lib.boot import started\nTOKEN = ids.new()\ndef handler(event, context): ...\n",
    "ids.py": "import uuid\ndef new():\n    return uuid.uuid4().hex\n",
    "state.py": "import os\nPID = os.getpid()\nOTHER = os.getpid()\n",
    "hooks.py": dedent("""
        import os
        import state
        from snapshot_restore_py import register_after_restore
        @register_after_restore
        def renew():
            state.PID = os.getpid()
        """),
    "lib/__init__.py": "",
    "lib/boot.py": "import time\nfrom . import inner\nstarted = time.time()\nprint(time.time() - started)\n",
    "lib/inner.py": "from ..ids import new\nINNER = new()\n",
    "requests/__init__.py": "import uuid\nX = uuid.uuid4()\n",
    "requests-2.0.dist-info/RECORD": "requests/__init__.py,sha256=x,10\n",
    "python/lib/python3.13/site-packages/left.py": "import uuid\nX = uuid.uuid4()\n",
    "tests/test_app.py": "import uuid\nX = uuid.uuid4()\n",
    ".venv/lib/x.py": "import uuid\nX = uuid.uuid4()\n",
    "data.json": "{}",
}
EXPECTED = {
    ("app.py", 3, "SNAP001"),
    ("lib/boot.py", 3, "SNAP005"),  # app.py imports it: no stopwatch
    ("lib/inner.py", 2, "SNAP001"),
    ("state.py", 3, "SNAP006"),
}


class TestBundles:
    @pytest.fixture
    def folder(self, tmp_path):
        for name, text in BUNDLE.items():
            path = tmp_path / "bundle" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "bundle"

    @pytest.fixture
    def archive(self, folder, tmp_path):
        with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as file:
            for name, text in BUNDLE.items():
                file.writestr(name, text)
        return tmp_path / "bundle.zip"

    @pytest.fixture(params=["folder", "archive"])
    def bundle(self, request):
        return request.getfixturevalue(request.param)

    def test_own_files_are_checked_together_and_dependencies_left_out(self, bundle):
        report = lint_path(bundle)

        assert EXPECTED == {(f.where.path, f.where.line, f.rule) for f in report.findings}
        assert 7 == report.files
        assert (
            "dependencies not checked: left, requests",
            "1 test and tool files not checked",
        ) == report.notes

    def test_dependencies_on_request(self, bundle):
        found = {f.where.path for f in lint_path(bundle, dependencies=True).findings}

        assert {path for path, _, _ in EXPECTED} | {
            "requests/__init__.py",
            "python/lib/python3.13/site-packages/left.py",
        } == found

    def test_one_file(self, folder):
        assert 2 == len(lint_path(folder / "state.py").findings)

    @pytest.mark.parametrize("name", ["absent", "absent.zip"])
    def test_nothing_there(self, tmp_path, name):
        with pytest.raises(CheckError, match=f"{name} cannot be read: No such file"):
            lint_path(tmp_path / name)

    def test_no_such_source(self, tmp_path):
        (finding,) = lint_path(tmp_path / "absent.py").findings

        assert ("SNAP000", "The file cannot be read: No such file or directory") == (
            finding.rule,
            finding.message,
        )

    def test_neither_source_nor_zip(self, tmp_path):
        (tmp_path / "x.bin").write_bytes(b"\x00\x01")

        with pytest.raises(CheckError, match="neither Python source nor a zip"):
            lint_path(tmp_path / "x.bin")

    def test_a_damaged_member_is_a_finding(self, archive):
        data = archive.read_bytes()
        archive.write_bytes(data.replace(b"PID = os.getpid()", b"PID = os.getpiX()", 1))

        assert ("state.py", "SNAP000") in {
            (f.where.path, f.rule) for f in lint_path(archive).findings
        }


class TestHostileSource:
    @pytest.mark.parametrize(
        ("data", "line"),
        [
            (b"def f(:\n", 1),
            (b"x = 1\ny = '\n", 2),
            (b"x = 1\x00\n", 1),
            (b"# coding: latin-9000\n", 1),
            (b"x = '\xff\xfe'\n", 1),
            (b"-" * 200_000 + b"1\n", 1),
            (b"(" * 500 + b")" * 500, 1),
            (b"x" + b".a" * 5_000 + b"\n", 1),
        ],
        ids=["syntax", "string", "null", "coding", "bytes", "minus", "parentheses", "dots"],
    )
    def test_what_cannot_be_checked_is_said(self, tmp_path, data, line):
        (tmp_path / "app.py").write_bytes(data)

        findings = lint_path(tmp_path / "app.py").findings

        assert [("SNAP000", Level.ERROR, line)] == [
            (f.rule, f.level, f.where.line) for f in findings
        ]

    def test_a_statement_nested_too_deeply_hides_no_other(self):
        source = f"import uuid\nx{'.a' * 1500}\nX = uuid.uuid4()\n"

        assert [("SNAP000", 2), ("SNAP001", 3)] == [
            (f.rule, f.where.line) for f in lint_source(source).findings
        ]

    @pytest.mark.parametrize(
        "data",
        [
            b"\xef\xbb\xbfimport uuid\r\nX = uuid.uuid4()\r\n",
            "# coding: latin-1\nimport uuid; X = 'é', uuid.uuid4()\n".encode("latin-1"),
            b"import uuid\rX = uuid.uuid4()\r",
        ],
        ids=["bom", "latin-1", "cr"],
    )
    def test_other_encodings(self, tmp_path, data):
        (tmp_path / "app.py").write_bytes(data)

        assert [("SNAP001", 2)] == [
            (f.rule, f.where.line) for f in lint_path(tmp_path / "app.py").findings
        ]

    def test_recursion_and_fans_end(self):
        calls = "\n".join(
            f"def f{n}(x):\n    return f{n + 1}(x) or f{n + 1}(x) or f{n + 1}(x)" for n in range(40)
        )
        source = f"import uuid\ndef f40(x):\n    return f0(x)\n{calls}\nX = f0(uuid.uuid4())\nA = A.b = A\nX.y = X\nX.z = [X, X]\n"

        assert {"SNAP001"} == {f.rule for f in lint_source(source).findings}

    SNIPPETS = (
        "import uuid, random, time, os, threading, tempfile, functools, psycopg, boto3",
        "from snapshot_restore_py import register_after_restore, register_before_snapshot",
        "from uuid import *",
        "X = uuid.uuid4()",
        "X.y = Y = [uuid.uuid4(), X]",
        "X[X] = X",
        "del X",
        "X: int",
        "X += time.time() - X",
        "(X, *Y), Z = [time.time()], {**X, 'a': [Y]}",
        "for X, Y[0] in X: X.append(time.time())",
        "while (X := random.random()) > 0.5: Y = X",
        "with open('x', 'w') as X, psycopg.connect() as (Y, Z): X.close()",
        "try:\n    X = os.getpid()\nexcept* OSError as Y:\n    X = Y\nelse:\n    Y = X\nfinally:\n    del Y",
        "match X:\n    case {'a': Y, **Z}:\n        X = Z\n    case _:\n        global G\n        G = uuid.uuid4()",
        "class X(X, Y[int], metaclass=Z):\n    a = uuid.uuid4()\n    def __init__(self, *a, b=time.time(), **k):\n        super().__init__(*a, **k)\n        self.a = self\n        self.start()",
        "def f(event, context=X, /, *a, k=random.random(), **kw):\n    global X\n    nonlocal_ = X\n    X = f(event)\n    yield X\n    return (yield from f(X))",
        "@functools.lru_cache\n@register_after_restore\nasync def g(*, a, b=1):\n    async with X as y:\n        async for z in y:\n            await z\n    return time.time()",
        "@f(X)\n@X.y\ndef h(f=f): return f",
        "register_after_restore(f(X), *X, **Y)",
        "register_before_snapshot(lambda x=X: [y for y in x if (z := y)])",
        "X = f(X); Y = X(f)(*X)(**Y); f()",
        "Z = [f(x) async for x in X] if False else {x: y for x, y in X for z in y}",
        "random.seed(X); random.seed(42); X = random.Random(X).seed(Y)",
        "threading.Thread(target=f).start(); tempfile.mkdtemp()",
        "X = getattr(X, 'y', Y); setattr(X, 'z', uuid.uuid4()); __import__('uuid').uuid4()",
        "if __name__ == '__main__':\n    X = uuid.uuid4()",
        "assert X, Y; raise_ = X; lambda: (yield)",
        "from . import X; from .. import Y; from ...a.b import Z as X",
        "# thaw: ignore[SNAP001,]",
        "X = f'{X!r:>{Y}} {uuid.uuid4()}' 'b' % X",
        "def k():\n    x = uuid.uuid4()\n    def inner():\n        nonlocal x\n        x = time.time()\n        return x, k\n    inner()\n    return inner",
        "f(*[f])(**{'a': f})",
    )

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=12))
    def test_any_program_gives_findings_that_point_into_it(self, parts):
        source = "\n".join(parts) + "\n"
        lines = source.split("\n")

        report = lint_source(source)

        for finding in report.findings:
            for place in (finding.where, *finding.related):
                assert 1 <= place.line <= max(place.line, place.end_line) <= len(lines)
                assert 1 <= place.column <= len(lines[place.line - 1]) + 1
            assert finding.rule in RULES
        assert list(report.findings) == sorted(report.findings, key=lambda f: f.key)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        from thaw_check.lint.files import SourceFile
        from thaw_check.lint.linter import lint_files

        assert lint_files([SourceFile("x.py", lambda: data)], subject="x").files == 1

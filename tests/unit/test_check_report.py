"""The formats of a check's result, and the command that prints them."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw_check.findings import Finding, Level, Location, Report, Rule, Suppressed, in_order
from thaw_check.lint import RULES, lint_path
from thaw_check.report import FORMATS, github, junit, sarif, text
from thawd.cli.main import main

RULE = Rule(
    "SNAP001", "unique-value-kept", Level.ERROR, "Unique", "because", "do not", "bad()", "good()"
)
ERROR = Finding(
    "SNAP001", Level.ERROR, "100% `uuid`\nin `X, Y`", "because: it", "fix, it", Location("a,b:c.py", 3, 5, 3, 9),
    "uuid.uuid4", "X", (Location("d.py", 7, 1),),
)  # fmt: skip
WARNING = Finding("SNAP003", Level.WARNING, "a generator", "w", "f", Location("z.py", 1, 1, 4, 2))
CLONE = Finding(
    "CLONE002", Level.INFO, "$.x is equal in clones \x00\ud800 <&>", "w", "f", what="$.x"
)
REPORT = Report(
    "src",
    in_order([WARNING, CLONE, ERROR, ERROR]),
    {"SNAP001": RULE, "SNAP003": RULES["SNAP003"]},
    suppressed=(Suppressed(WARNING, "a test"),),
    files=2,
    lines=1234,
    notes=("2 test files not checked",),
    root="src",
)
EMPTY = Report("src", (), {"SNAP001": RULE}, files=1, lines=1)


def parsed(xml):
    return ET.fromstring(xml)  # noqa: S314 - it is ours


class TestText:
    def test_place_first_explained_once(self):
        second = Finding(
            "SNAP001", Level.ERROR, "again", "because: it", "fix, it", Location("q.py", 1, 2)
        )
        report = Report("src", (ERROR, second), {}, root="src", files=1, lines=9)

        assert (
            "src/a,b:c.py:3:5: SNAP001 100% `uuid` in `X, Y`\n"
            "    from src/d.py:7:1\n"
            "    why: because: it\n"
            "    fix: fix, it\n"
            "src/q.py:1:2: SNAP001 again\n"
            "2 errors in 1 file (9 lines).\n"
        ) == text.render(report)

    def test_summary(self):
        lines = text.render(REPORT).splitlines()

        assert "src: CLONE002 $.x is equal in clones \x00\ud800 <&>" in lines
        assert "note: 2 test files not checked" == lines[-2]
        assert (
            "1 error, 1 warning, 1 remark in 2 files (1,234 lines); 1 accepted by comments."
            == lines[-1]
        )
        assert "No findings in 1 file (1 line).\n" == text.render(EMPTY)

    def test_colour(self):
        shown = text.render(REPORT, lambda text, *styles: f"<{'+'.join(styles)}>{text}</>")

        assert "<bold+red>SNAP001</>" in shown
        assert "<bold+yellow>SNAP003</>" in shown


class TestJson:
    def test_everything(self):
        result = json.loads(FORMATS["json"](REPORT))

        assert {"error": 1, "warning": 1, "info": 1} == result["counts"]
        assert ["CLONE002", "SNAP001", "SNAP003"] == [f["rule"] for f in result["findings"]]
        error = result["findings"][1]
        assert {
            "path": "src/a,b:c.py",
            "line": 3,
            "column": 5,
            "end_line": 3,
            "end_column": 9,
        } == error["location"]
        assert [
            {"path": "src/d.py", "line": 7, "column": 1, "end_line": 7, "end_column": 1}
        ] == error["related"]
        assert result["findings"][0]["location"] is None
        assert ["a test"] == [s["reason"] for s in result["suppressed"]]
        assert result["failed"]


class TestGithub:
    def test_escaping(self):
        lines = github.render(REPORT).splitlines()

        assert [
            (
                "::error file=src/a%2Cb%3Ac.py,line=3,title=SNAP001 unique-value-kept,col=5,endColumn=9"
                "::100%25 `uuid`%0Ain `X, Y`%0Abecause: it%0AFix: fix, it"
            ),
            "::warning file=src/z.py,line=1,title=SNAP003 generator-kept,endLine=4::a generator%0Aw%0AFix: f",
        ] == lines[1:]
        assert lines[0].startswith("::notice title=CLONE002::")
        assert "" == github.render(EMPTY)


class TestJunit:
    def test_a_rule_with_errors_fails(self):
        (suite,) = parsed(junit.render(REPORT))

        assert ("3", "1") == (suite.get("tests"), suite.get("failures"))
        outcome = {case.get("name"): [child.tag for child in case] for case in suite}
        assert {
            "SNAP001 unique-value-kept": ["failure"],
            "SNAP003 generator-kept": ["system-out"],
            "CLONE002": ["system-out"],
        } == outcome
        assert "src/a,b:c.py:3:5: error: 100%" in suite[0][0].text
        assert "\ufffd\ufffd <&>" in suite[2][0].text

    def test_clean(self):
        (suite,) = parsed(junit.render(EMPTY))

        assert ("1", "0") == (suite.get("tests"), suite.get("failures"))


def check_sarif(log):
    """What SARIF 2.1.0 requires of the parts that are written: types, required members, ranges."""
    assert {"$schema", "version", "runs"} == set(log)
    assert "2.1.0" == log["version"]
    (run,) = log["runs"]
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
        for text_ in (rule["shortDescription"], rule["fullDescription"], rule["help"]):
            assert text_["text"]
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in {"note", "warning", "error"}
        if "ruleIndex" in result:
            assert ids[result["ruleIndex"]] == result["ruleId"]
        places = result.get("locations", []) + result.get("relatedLocations", [])
        for place in places:
            physical = place["physicalLocation"]
            assert not set(physical["artifactLocation"]["uri"]) & set(' <>"{}|\\^`:') - {"%"}
            region = physical["region"]
            start = (region["startLine"], region["startColumn"])
            end = (region.get("endLine", start[0]), region.get("endColumn", start[1]))
            assert (1, 1) <= start <= end
        for suppression in result.get("suppressions", []):
            assert suppression["kind"] in {"inSource", "external"}
    fingerprints = [
        result["partialFingerprints"]["thawFinding/v1"]
        for result in run["results"]
        if "suppressions" not in result
    ]
    assert len(fingerprints) == len(set(fingerprints))
    return run


class TestSarif:
    def test_valid(self):
        run = check_sarif(json.loads(sarif.render(REPORT)))

        uris = [
            r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            for r in run["results"][1:]
        ]
        assert ["src/a,b:c.py", "src/z.py", "src/z.py"] == [unquote(uri) for uri in uris]
        assert "a test" == run["results"][3]["suppressions"][0]["justification"]
        check_sarif(json.loads(sarif.render(EMPTY)))

    def test_every_rule_is_described(self):
        report = Report("x", (), RULES)

        run = check_sarif(json.loads(sarif.render(report)))

        assert list(RULES) == [rule["id"] for rule in run["tool"]["driver"]["rules"]]


NAMES = st.text(min_size=1, max_size=20)
FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from(["SNAP001", "SNAP003", "CLONE001"]),
    level=st.sampled_from(Level),
    message=NAMES,
    why=NAMES,
    fix=NAMES,
    where=st.none()
    | st.builds(
        Location, NAMES, st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)
    ),
    what=NAMES,
    target=NAMES,
)


@given(st.lists(FINDINGS, max_size=4))
def test_any_finding_can_be_written(findings):
    report = Report("x", in_order(findings), {"SNAP001": RULE})

    json.loads(FORMATS["json"](report))
    assert len(findings) == 0 or report.findings
    assert text.render(report).count("\n") >= len(report.findings)
    assert len(report.findings) == github.render(report).count("\n")
    parsed(junit.render(report))


class TestCommand:
    @pytest.fixture
    def app(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "src").mkdir()
        path = Path("src") / "app.py"
        path.write_text("import uuid\nX = uuid.uuid4()\n")
        return path

    def test_errors_give_status_1(self, app, capsys):
        assert 1 == main(["check", str(app)])
        assert capsys.readouterr().out.startswith("src/app.py:2:5: SNAP001 A unique value")

    def test_clean_and_warnings_give_status_0(self, app, capsys):
        app.write_text("import random\nrng = random.Random()\n")

        assert 0 == main(["check", "src"])
        assert capsys.readouterr().out.startswith("src/app.py:2:7: SNAP003")

    @pytest.mark.parametrize("format_", FORMATS)
    def test_formats_and_junit(self, app, capsys, format_):
        assert 1 == main(["check", "src", "--format", format_, "--junit", "out.xml"])
        assert "SNAP001" in capsys.readouterr().out
        assert "SNAP001" in Path("out.xml").read_text()

    def test_json_as_everywhere(self, app, capsys):
        assert 1 == main(["check", ".", "--json", "--rule", "SNAP001"])
        assert (
            "src/app.py" == json.loads(capsys.readouterr().out)["findings"][0]["location"]["path"]
        )

    @pytest.mark.parametrize(
        ("argv", "status", "said"),
        [
            (["src", "--format", "xml"], 64, "invalid choice"),
            (["src", "--rule", "SNAP999"], 64, "invalid choice"),
            ([], 64, "PATH"),
            (["absent"], 66, "no file absent"),
            (["src/x.bin"], 65, "neither Python source nor a zip"),
            (["src", "--junit", "no/such/out.xml"], 65, "cannot be written"),
        ],
    )
    def test_misuse(self, app, capsys, argv, status, said):
        (app.parent / "x.bin").write_bytes(b"\x00")
        try:
            left = main(["check", *argv])
        except SystemExit as exit_:
            left = exit_.code

        assert status == left
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("given_", "shown"),
        [("src", "src/app.py"), (".", "src/app.py"), ("src/app.py", "src/app.py")],
    )
    def test_paths_are_as_one_would_write_them(self, app, given_, shown):
        report = lint_path(Path(given_))

        assert shown == report.path(report.findings[0].where)

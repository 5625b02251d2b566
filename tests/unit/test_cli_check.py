"""`thaw check PATH`: findings for people and machines, and an exit status for CI."""

from __future__ import annotations

import json

import pytest

from thawd.cli.main import main

BAD = "import uuid\nINSTANCE = uuid.uuid4()\ndef handler(event, context): return str(INSTANCE)\n"
GOOD = "import uuid\ndef handler(event, context): return str(uuid.uuid4())\n"


def test_an_error_is_shown_with_its_place_and_fails(tmp_path, capsys):
    (tmp_path / "app.py").write_text(BAD)

    assert main(["check", str(tmp_path)]) == 1
    assert "app.py:2:12: SNAP001 " in capsys.readouterr().out


def test_a_clean_function_passes(tmp_path, capsys):
    (tmp_path / "app.py").write_text(GOOD)

    assert main(["check", str(tmp_path / "app.py")]) == 0
    assert "SNAP" not in capsys.readouterr().out


def test_a_comment_accepts_a_finding(tmp_path):
    text = BAD.replace("uuid4()\n", "uuid4()  # thaw: ignore[SNAP001] one id for all is meant\n", 1)
    (tmp_path / "app.py").write_text(text)

    assert main(["check", str(tmp_path)]) == 0


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_formats_for_programs_are_json(tmp_path, capsys, form):
    (tmp_path / "app.py").write_text(BAD)

    assert main(["check", str(tmp_path), "--format", form]) == 1
    assert "SNAP001" in json.dumps(json.loads(capsys.readouterr().out))

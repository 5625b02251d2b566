"""`thaw check --clones` and `thaw check FUNCTION`: what reaches the daemon, what comes out, what is left behind."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Self

import pytest

from thaw_check.clones import (
    Answer,
    ColdStart,
    Global,
    Observation,
    Observed,
    Tap,
    exchange,
)
from thawd.cli import clones
from thawd.cli.main import main
from thawd.errors import BundleError, DaemonUnreachable

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "import uuid\n\nID = uuid.uuid4().hex{comment}\ndef handler(event, context): return ID\n"
IDS = ("9c3f1ad27be84c5fa2f0c1d49b7e6a35", "1e7d40b8c2594aa6b8d3f5e0716c2d94")


def observed(events: list[Any]) -> Observed:
    """Two starts whose clones return the id of their start."""
    return Observed(
        engine="fake",
        events=tuple(events),
        starts=tuple(
            ColdStart(
                tuple(Observation(tuple(Answer(id_) for _ in events)) for _ in range(2)),
                taps=(Tap("uuid.uuid4", "app.py:3", id_),),
                globals=(Global("app.ID", id_),),
            )
            for id_ in IDS
        ),
    )


class Daemon:
    """The client's methods that the check uses."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def create_function(self, body: dict[str, Any]) -> None:
        self.functions[body["FunctionName"]] = body

    def get_configuration(self, name: str, qualifier: str | None = None) -> dict[str, Any]:
        return {"State": "Active"}

    def delete_function(self, name: str) -> None:
        del self.functions[name]

    def code(self, name: str, qualifier: str | None = None) -> bytes:
        return base64.b64decode(self.functions[name]["Code"]["ZipFile"])

    def clones(
        self, name: str, qualifier: str | None, events: list[str], **modes: bool
    ) -> dict[str, Any]:
        self.asked.append((self.functions[name].get("Handler"), qualifier, events, modes))
        return exchange.as_json(observed([json.loads(event) for event in events]))


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(clones, "connect", lambda _arguments: daemon)
    return daemon


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(SOURCE.format(comment=""))
    return path


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return buffer.getvalue()


def test_a_path_becomes_a_function_for_the_length_of_the_test(
    daemon: Daemon, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(app), "--clones", "--event", '{"a": 1}', "--without-fixers"]) == 1

    said = capsys.readouterr().out
    assert f"{app}:3:1: CLONE001 " in said
    assert "kept in `app.ID`; made by `uuid.uuid4` at app.py:3" in said
    assert "SNAP001" in said
    assert "2 cold starts, 4 clones, 2 events each" in said
    (asked,) = daemon.asked
    assert asked == (
        "app.handler", None, ['{"a":1}'] * 2, {"kernel_cloned": False, "fixers_off": True},
    )  # fmt: skip
    assert daemon.functions == {}


def test_a_function_is_tested_as_it_is(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    code = base64.b64encode(zipped(app=SOURCE.format(comment=""))).decode()
    daemon.create_function({"FunctionName": "f", "Code": {"ZipFile": code}})

    assert main(["check", "f:3", "--worst-case"]) == 1
    assert "CLONE001" in capsys.readouterr().out
    assert daemon.asked[0][1:] == (
        "3", ["{}"] * 2, {"kernel_cloned": True, "fixers_off": False},
    )  # fmt: skip
    assert list(daemon.functions) == ["f"]


def test_a_comment_accepts_what_clones_showed(daemon: Daemon, app: Path) -> None:
    app.write_text(SOURCE.format(comment="  # thaw: ignore[SNAP001, CLONE001] one id is meant"))

    assert main(["check", str(app), "--clones"]) == 0


def test_junit_and_json_tell_clones_too(
    daemon: Daemon, app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    assert main(["check", str(app), "--clones", "--junit", str(junit), "--format", "json"]) == 1

    assert "CLONE001" in junit.read_text()
    shape = json.loads(capsys.readouterr().out)
    assert {"SNAP001", "CLONE001"} == {finding["rule"] for finding in shape["findings"]}
    assert shape["sections"][0]["title"] == "Clones"


def test_an_event_that_is_no_json_is_refused_before_anything_runs(
    daemon: Daemon, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(app), "--clones", "--event", "{a: 1}"]) == 65
    assert "is not JSON" in capsys.readouterr().err
    assert daemon.asked == []


def test_a_name_without_a_daemon_says_both(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(_arguments: object) -> None:
        raise DaemonUnreachable("nobody there")

    monkeypatch.setattr(clones, "connect", connect)
    assert main(["check", "nothing"]) == 66
    assert "no file nothing, and no function to ask for: nobody there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"lambda_function": "def lambda_handler(e, c): ..."}, "lambda_function.lambda_handler"),
        ({"helper": "x = 1", "app": "async def handler(e, c): ..."}, "app.handler"),
        ({"app": "handler = Mangum(app)"}, "app.handler"),
        ({"other": "def handler(e, c): ...", "main": "def handler(e, c): ..."}, "main.handler"),
    ],
)
def test_the_handler_is_found(files: dict[str, str], handler: str) -> None:
    assert clones.find_handler(zipped(**files)) == handler


def test_a_bundle_without_a_handler_says_how_to_name_it() -> None:
    with pytest.raises(BundleError, match="--handler MODULE"):
        clones.find_handler(zipped(app="x = (", package__app="def handler(e, c): ..."))

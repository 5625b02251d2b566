"""The command line against the daemon's real API, HTTP server and catalog; only machines are pretended."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import structlog
import trio

from thawd import config
from thawd.cli.main import main
from thawd.telemetry.log import configure
from thawd.testing import PythonFunction, running_daemon


@pytest.fixture(autouse=True)
def quiet():
    """The daemon's log would mix with the commands' output."""
    configure("error", "logfmt", stream=io.StringIO())
    yield
    structlog.reset_defaults()


@pytest.fixture
def thaw(tmp_path, monkeypatch, capsys):
    """Run commands, each in a thread beside the server."""
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setenv("THAW_SOCKET", str(tmp_path / "t.sock"))

    async def run(*argv):
        status = await trio.to_thread.run_sync(main, list(argv))
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def daemon(tmp_path):
    """Starts a daemon that `thaw` talks to."""
    settings = {"listen": [f"unix:{tmp_path}/t.sock"]}
    return lambda: running_daemon(tmp_path / "state", PythonFunction(), settings=settings)


@pytest.fixture
def code(tmp_path):
    (tmp_path / "app.py").write_text("def handler(event, context): return event\n")
    return str(tmp_path / "app.py")


async def test_a_functions_whole_life(daemon, thaw, code):
    async with daemon():
        create = ("function", "create", "hello", "--code", code, "--handler", "app.handler")
        assert await thaw(*create, "--env", "MODE=1") == (
            0,
            "Created hello. Next: thaw publish hello\n",
            "",
        )
        assert (await thaw(*create))[0] == 75
        assert (await thaw("function", "update", "hello", "--env", "ROOM=2", "--timeout", "9"))[
            0
        ] == 0
        _, out, _ = await thaw("function", "get", "hello", "--json")
        shown = json.loads(out)["Configuration"]
        assert (shown["Environment"]["Variables"], shown["Timeout"]) == (
            {"MODE": "1", "ROOM": "2"},
            9,
        )

        status, out, err = await thaw("publish", "hello", "--description", "first")
        # A host that is slow is told what is waited for.
        assert (status, err) in {
            (0, ""),
            (0, "Publishing hello:1: The function is being created.\n"),
        }
        assert out.startswith("hello:1 is Active, snapshotted")
        _, out, _ = await thaw("versions", "hello", "--json")
        assert [(v["Version"], v["State"]) for v in json.loads(out)] == [
            ("$LATEST", "Active"),
            ("1", "Active"),
        ]
        status, out, err = await thaw("invoke", "hello:1", "--payload", '{"a": 1}', "--tail")
        assert (status, out) == (0, '{"a": 1}\n')
        assert [line.split()[0] for line in err.splitlines()] == ["START", "END", "REPORT"]
        assert (await thaw("function", "delete", "hello"))[0] == 0
        assert (await thaw("invoke", "hello"))[0] == 66


async def test_a_version_that_fails_shows_the_daemons_own_log(daemon, thaw, code):
    Path(code).write_text("import no_such_module\n")
    async with daemon():
        await thaw("function", "create", "broken", "--code", code, "--handler", "app.handler")
        status, _, err = await thaw("publish", "broken")
        assert status == 1
        assert "thaw: broken:1: Failed (FunctionError): An error occurred during" in err
        assert "No module named 'no_such_module'" in err
        status, out, _ = await thaw("logs", "broken:1")
        assert status == 0
        assert "Phase: init\tStatus: error" in out
        assert all(f"  {line}\n" in err for line in out.splitlines())


async def test_settings_the_api_refuses(daemon, thaw, code):
    async with daemon():
        status, _, err = await thaw("function", "create", "f", "--code", code, "--memory", "1")
        assert status == 65
        assert err.startswith("thaw: ")
        assert "128" in err


async def test_a_runtime_without_an_image_is_refused_with_the_way_to_one(daemon, thaw, code):
    """Lambda's words name what there is; the command says how more is made."""
    async with daemon():
        status, _, err = await thaw(
            "function", "create", "f", "--code", code, "--runtime", "python3.14"
        )
        assert status == 65
        assert err.endswith("thaw image build RUNTIME\n")


async def test_doctor_finds_the_daemon(daemon, thaw):
    async with daemon():
        _, out, _ = await thaw("doctor", "--json")
        (found,) = [finding for finding in json.loads(out) if finding["topic"] == "daemon"]
        assert found["status"] == "ok"

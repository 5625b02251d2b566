"""The command line against the daemon's real API, HTTP server and catalog; only machines are pretended."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from attrs import define, frozen
from stand_ins import core

from thawd import config
from thawd.api.app import build
from thawd.catalog.models import FunctionVersion, State
from thawd.catalog.store import Catalog
from thawd.cli.main import main
from thawd.http import open_unix_listener, serve
from thawd.invoke.outcome import Answered
from thawd.logs.book import LogBook
from thawd.telemetry.log import configure


@frozen
class Stored:
    code_sha256_base64: str
    zip_size: int


class Bundles:
    async def add(self, data: bytes, /) -> Stored:
        return Stored(base64.b64encode(hashlib.sha256(data).digest()).decode(), len(data))


@define
class Machines:
    """Publishes at once, by what the function is called, and answers with the event."""

    catalog: Catalog
    logs: LogBook

    def publish(self, version: FunctionVersion, /) -> None:
        name, number = version.function_name, version.version
        if name != "broken":
            self.catalog.set_state(name, number, State.ACTIVE)
            return
        self.logs.write(name, number, "stream", "ImportError: no module", at_s=0)
        self.catalog.set_state(
            name, number, State.FAILED, reason="It broke.", reason_code="FunctionError"
        )

    async def forget(self, function_name: str, version: str | None = None, /) -> None:
        pass

    async def invoke(self, invocation, /) -> Answered:
        return Answered(
            payload=invocation.payload,
            function_error=None,
            executed_version=invocation.version.version,
            log_tail=b"REPORT\n" if invocation.log_tail else b"",
        )


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


@asynccontextmanager
async def daemon(tmp_path):
    logs = LogBook(tmp_path / "logs")
    with (
        Catalog.open(tmp_path / "catalog.sqlite") as catalog,
        open_unix_listener(tmp_path / "t.sock") as listener,
    ):
        machines = Machines(catalog, logs)
        parts = core(
            catalog=catalog,
            bundles=Bundles(),
            logs=logs,
            publisher=machines,
            invoker=machines,
        )
        app = build(parts)
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: serve(listener, app, task_status=task_status))
            yield
            nursery.cancel_scope.cancel()
    logs.close()


@pytest.fixture
def code(tmp_path):
    (tmp_path / "app.py").write_text("def handler(event, context): return event\n")
    return str(tmp_path / "app.py")


async def test_a_functions_whole_life(tmp_path, thaw, code):
    async with daemon(tmp_path):
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
        assert (status, err) == (0, "")
        assert out.startswith("hello:1 is Active, snapshotted")
        _, out, _ = await thaw("versions", "hello", "--json")
        assert [(v["Version"], v["State"]) for v in json.loads(out)] == [
            ("$LATEST", "Active"),
            ("1", "Active"),
        ]
        assert await thaw("invoke", "hello:1", "--payload", '{"a": 1}', "--tail") == (
            0,
            '{"a": 1}\n',
            "REPORT\n",
        )
        assert (await thaw("function", "delete", "hello"))[0] == 0
        assert (await thaw("invoke", "hello"))[0] == 66


async def test_a_version_that_fails_shows_the_daemons_own_log(tmp_path, thaw, code):
    async with daemon(tmp_path):
        await thaw("function", "create", "broken", "--code", code)
        status, _, err = await thaw("publish", "broken")
        assert status == 1
        assert "thaw: broken:1: Failed (FunctionError): It broke.\n" in err
        assert "  ImportError: no module\n" in err
        assert await thaw("logs", "broken:1") == (0, "ImportError: no module\n", "")


async def test_settings_the_api_refuses(tmp_path, thaw, code):
    async with daemon(tmp_path):
        status, _, err = await thaw("function", "create", "f", "--code", code, "--memory", "1")
        assert status == 65
        assert err.startswith("thaw: ")
        assert "128" in err


async def test_doctor_finds_the_daemon(tmp_path, thaw):
    async with daemon(tmp_path):
        _, out, _ = await thaw("doctor", "--json")
        (found,) = [finding for finding in json.loads(out) if finding["topic"] == "daemon"]
        assert found["status"] == "ok"

"""`thaw doctor --report`: what helps is in it, and nothing that is nobody's business."""

from __future__ import annotations

import json
import re
import socket
import stat
from pathlib import Path

import pytest
import structlog
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from thawd import config
from thawd.cli import report as report_module
from thawd.cli.diagnosis import Finding, Host, Status
from thawd.cli.main import main
from thawd.cli.report import report
from thawd.config import Config, FunctionConfig, TcpAddress
from thawd.telemetry import log
from thawd.telemetry.recent import Recent, tellable

SECRETS = (
    "hunter2", "AKIAIOSFODNN7EXAMPLE", "billing", "alice", "acme-laptop", "lambda.acme.example", "10.1.2.3",
    "123456789012", "eu-acme-1", "4111111111111111",
)  # fmt: skip


@define
class FakeClient:
    """A daemon whose answers name functions and repeat what they said."""

    socket: Path
    log: list = field(factory=list)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def health(self):
        return {
            "status": "ok",
            "version": "0.1.0",
            "region": "eu-acme-1",
            "account_id": "123456789012",
            "runtimes": ["python3.13"],
            "engine": "qemu-tcg",
            "engine_identity": "qemu 7.2",
        }

    def statistics(self):
        return {
            "fleet": {"machines": 2, "pools": {"billing:1": {"ready": 1, "last": "hunter2"}}},
            "paths": ["/home/alice/x"],
        }

    def recent_log(self):
        recent = Recent()
        recent(None, "info", {"event": "engine.probed", "usable": False, "reason": "no KVM"})
        recent(
            None,
            "info",
            {
                "event": "version.published",
                "level": "info",
                "state": "Failed",
                "function": "billing",
                "took_ms": 12.5,
                "reason": "KeyError: 'hunter2'",
            },
        )
        try:
            raise ExceptionGroup("hunter2", [ValueError("AKIAIOSFODNN7EXAMPLE")])  # noqa: TRY301
        except ExceptionGroup:
            recent(None, "error", {"event": "http.handler_crashed", "exc_info": True})
        recent(None, "info", {"event": "billing paid 4111111111111111", "key alice": 1})
        return recent.events()


@pytest.fixture
def host(tmp_path, monkeypatch):
    home = tmp_path / "home" / "alice"
    (home / "state" / "code").mkdir(parents=True)
    (home / "state" / "code" / "x.zip").write_bytes(bytes(5 << 20))
    monkeypatch.setattr(report_module, "Client", FakeClient)
    monkeypatch.setattr(socket, "gethostname", lambda: "acme-laptop.example")
    settings = Config(
        state_directory=home / "state",
        runtime_directory=Path("/run/alice"),
        listen=(TcpAddress("10.1.2.3", 9001), TcpAddress("127.0.0.1", 9001)),
        allow_remote=True,
        allowed_hosts=("lambda.acme.example",),
        account_id="123456789012",
        region="eu-acme-1",
        functions={"billing": FunctionConfig(skip_fixers=("random",))},
    )
    environ = {
        "HOME": str(home),
        "USER": "alice",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "DB_PASSWORD": "hunter2",
    }
    return Host(settings, home / "thawd.sock", environ)


FINDINGS = [
    Finding("daemon", Status.OK, "answers on /home/alice/thawd.sock of acme-laptop"),
    Finding("image", Status.WARN, "none in /home/bob/images", "ask alice"),
]


def test_no_secret_and_no_name_is_in_it(host):
    text = json.dumps(report(host, FINDINGS))

    assert [secret for secret in (*SECRETS, "bob") if secret in text] == []


def test_what_helps_is_in_it(host):
    shape = report(host, FINDINGS)

    assert {"thawd", "python", "trio"} <= shape["versions"].keys()
    assert shape["system"]["kernel"].startswith("Linux ")
    assert shape["findings"][1]["detail"] == "none in /home/<user>/images"
    assert shape["settings"]["listen"] == ["tcp", "tcp, loopback"]
    assert (shape["settings"]["functions"], shape["settings"]["allowed_hosts"]) == (1, 1)
    assert shape["settings"]["state_directory"] == "<state_directory>"
    assert shape["disk"]["used_mib"]["code"] == 5
    assert shape["disk"]["file_system"]
    assert shape["engine_probe"] == {"missing": "FileNotFoundError: No such file or directory"}
    daemon = shape["daemon"]
    assert daemon["health"]["engine"] == "qemu-tcg"
    assert daemon["statistics"] == {
        "fleet": {"machines": 2, "pools": {"#1": {"ready": 1, "last": "(text)"}}},
        "paths": 1,
    }
    probed, published, crashed, _ = daemon["log"]
    assert (probed["event"], probed["usable"], probed["reason"]) == (
        "engine.probed", False, "no KVM",
    )  # fmt: skip
    assert (published["event"], published["state"], published["took_ms"]) == (
        "version.published", "Failed", 12.5,
    )  # fmt: skip
    assert crashed["exception"]["type"] == "ExceptionGroup of ValueError"


def test_a_machine_on_which_all_is_broken_gets_a_report_too(host, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error", "/home/alice/secret")

    monkeypatch.setattr(report_module, "Client", broken)
    monkeypatch.setattr("shutil.disk_usage", broken)
    shape = report(host, [])

    assert shape["daemon"] == shape["disk"] == {"missing": "OSError: Input/output error"}


def test_the_command_writes_it_for_its_owner_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setenv("THAW_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    monkeypatch.chdir(tmp_path)
    main(["doctor", "--report"])

    written = tmp_path / "thaw-report.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert json.loads(written.read_text())["versions"]["thawd"]
    assert "hunter2" not in written.read_text()
    assert "Wrote thaw-report.json" in capsys.readouterr().err


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text() | st.sampled_from(["event", "reason", "state"]), _VALUES))
def test_of_any_event_only_words_of_ours_are_kept(event):
    for key, value in tellable(event).items():
        assert re.fullmatch(r"[a-z0-9_.]+", key)
        if isinstance(value, str) and key not in {"at", "event"}:
            assert key == "reason" or re.fullmatch(r"[A-Za-z0-9_.:-]{1,40}", value)


def test_every_log_keeps_its_last_events(capsys):
    """Whatever the format: the daemon tells them to whoever asks on its socket."""
    before = structlog.get_config()
    try:
        for format_ in ("console", "logfmt", "json", "journal"):
            log.configure(format=format_)
            structlog.get_logger().info("test.happened", number=7)
            assert log.RECENT.events()[-1]["number"] == 7
            assert "number" in capsys.readouterr().err
    finally:
        structlog.configure(**before)

"""`thaw daemon`: the process around the daemon's tree."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import structlog
import trio
import trio.testing

from thawd.cli.main import main
from thawd.config.settings import TcpAddress, UnixAddress
from thawd.errors import ConfigError


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager that listens, and settings from a file."""
    (tmp_path / "thawd.toml").write_text('[log]\nformat = "logfmt"\n')
    monkeypatch.setenv("THAWD_CONFIG", str(tmp_path / "thawd.toml"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/t")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    mask = os.umask(0o022)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener
    os.umask(mask)
    structlog.reset_defaults()


@pytest.fixture
def tree(monkeypatch):
    """Put `run` in the place of the daemon's."""

    def install(run):
        import thawd

        module = ModuleType("thawd.daemon")
        module.run = run
        monkeypatch.setitem(sys.modules, "thawd.daemon", module)
        monkeypatch.setattr(thawd, "daemon", module, raising=False)

    return install


SERVING = SimpleNamespace(
    addresses=[UnixAddress(Path("/run/t/thawd.sock")), TcpAddress("127.0.0.1", 1234)]
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unwinds_the_tree(manager, tree, capsys, number):
    """Ready is told only when the tree has started; stopping before it is cancelled."""
    seen = []

    async def run(config, *, task_status):
        seen.append((config.socket, "NOTIFY_SOCKET" in os.environ, os.umask(0o077)))
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        task_status.started(SERVING)
        try:
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), number)
            await trio.sleep_forever()
        finally:
            seen.append("clean")

    tree(run)

    assert main(["daemon"]) == 0
    ((path, notify_inherited, mask), last) = seen
    assert (str(path), notify_inherited, mask, last) == ("/run/t/thawd.sock", False, 0o077, "clean")
    assert (
        manager.recv(100)
        == b"READY=1\nSTATUS=Serving on unix:/run/t/thawd.sock, tcp:127.0.0.1:1234"
    )
    assert manager.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000"
    err = capsys.readouterr().err
    assert "event=daemon.ready" in err
    assert f"event=daemon.stopping signal={number.name}" in err


@pytest.mark.usefixtures("manager")
@pytest.mark.parametrize("started", [True, False])
def test_a_fault_with_a_way_out_is_one_line(tree, capsys, started):
    async def run(_, *, task_status):
        if started:
            task_status.started(SERVING)
        raise ConfigError("another thawd works here", hint="Stop it")

    tree(run)

    assert main(["daemon"]) == 78
    assert capsys.readouterr().err.splitlines()[-1] == "thaw: another thawd works here. Stop it"


@pytest.mark.usefixtures("manager")
def test_a_fault_of_ours_keeps_its_traceback(tree):
    async def run(_, *, task_status):
        task_status.started(SERVING)
        raise ZeroDivisionError

    tree(run)

    with pytest.raises(ExceptionGroup) as caught:
        main(["daemon"])
    assert caught.group_contains(ZeroDivisionError)


SECOND_SIGNAL = """
import os, signal, sys
from types import ModuleType, SimpleNamespace
import trio, thawd

async def run(config, *, task_status):
    task_status.started(SimpleNamespace(addresses=[]))
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()  # as one that waits for a thread

module = ModuleType("thawd.daemon")
module.run = run
sys.modules["thawd.daemon"] = thawd.daemon = module
from thawd.cli.main import main
sys.exit(main(["daemon"]))
"""


def test_a_second_signal_ends_a_daemon_that_is_stopping_at_once(tmp_path):
    """In a process of its own, which it ends."""
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": "/run/t"}
    ended = subprocess.run(
        [sys.executable, "-c", SECOND_SIGNAL],
        check=False,
        env=environ,
        capture_output=True,
        timeout=60,
    )

    assert ended.returncode == 128 + signal.SIGINT
    assert b"daemon.ended_at_once" in ended.stderr


@pytest.mark.usefixtures("manager")
def test_what_the_system_refuses_is_logged_where_it_happened_and_told_in_a_line(tree, capsys):
    async def run(_, *, task_status):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/lib/thawd/x")

    tree(run)

    assert main(["daemon"]) == 74
    err = capsys.readouterr().err
    assert "daemon.failed" in err
    assert err.splitlines()[-1].startswith("thaw: /var/lib/thawd/x: No space left on device. Make")

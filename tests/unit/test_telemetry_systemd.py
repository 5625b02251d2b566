"""systemd: notification and socket activation."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys

import pytest
import trio
import trio.testing

from thawd.telemetry.systemd import Notifier, activated_sockets


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's end of NOTIFY_SOCKET, and the variable's value."""
    name = f"@thawd-test-{secrets.token_hex(8)}"
    address = str(tmp_path / "notify") if request.param == "path" else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        listener.setblocking(False)
        yield listener, address


def test_ready_and_stopping(manager):
    listener, address = manager
    environ = {"NOTIFY_SOCKET": address, "HOME": "/"}
    notifier = Notifier.from_environment(environ)

    assert environ == {"HOME": "/"}
    assert notifier
    assert notifier.ready("Serving")
    assert notifier.stopping(40.5)
    assert [listener.recv(100) for _ in range(2)] == [
        b"READY=1\nSTATUS=Serving",
        b"STOPPING=1\nEXTEND_TIMEOUT_USEC=40500000",
    ]
    notifier.close()
    assert not notifier.ready()


@pytest.mark.parametrize("address", ["", "relative", "/does/not/exist"])
def test_without_a_manager_nothing_is_said(address):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})

    assert not notifier
    assert not notifier.ready()


async def test_the_watchdog_is_fed_twice_a_period_while_the_tree_lives(manager, autojump_clock):
    listener, address = manager
    notifier = Notifier.from_environment(
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}
    )
    with trio.move_on_after(14):
        await notifier.watchdog()
    await trio.sleep(15)
    notifier.close()

    assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    with pytest.raises(BlockingIOError):
        listener.recv(100)


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
async def test_no_watchdog_for_us_is_no_task(manager, variables):
    _, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, **variables})
    with trio.fail_after(1):
        await notifier.watchdog()
    notifier.close()


def test_sockets_meant_for_another_process_are_not_taken():
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}

    assert activated_sockets(environ) == []
    assert environ == {}


def test_passed_sockets_come_with_their_names(tmp_path):
    """As systemd does it: descriptors from 3 on, and the pid of the process after exec."""
    code = """
import json, os
from thawd.telemetry.systemd import activated_sockets
os.environ["LISTEN_PID"] = str(os.getpid())
found = activated_sockets(os.environ)
print(json.dumps([[name, s.getsockname(), s.fileno(), os.get_inheritable(s.fileno()), s.gettimeout()]
    for name, s in found] + ["LISTEN_FDS" in os.environ]))
for _, s in found: s.close()
"""
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.bind(str(tmp_path / "1"))
        two.bind(str(tmp_path / "2"))

        def place() -> None:
            # Above both targets first, so that neither dup2 overwrites the other's source.
            high = [os.dup(os.dup(os.dup(s.fileno()))) for s in (one, two)]
            for target, source in enumerate(high, start=3):
                os.dup2(source, target)

        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "api"},
            preexec_fn=place,
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )

    assert (
        f'[["api", "{tmp_path}/1", 3, false, 0.0], ["unknown", "{tmp_path}/2", 4, false, 0.0], false]'
        == done.stdout.strip()
    )

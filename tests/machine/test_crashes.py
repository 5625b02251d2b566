"""Whoever is killed, at whatever step: nothing stays behind, and the next one works."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from live import (
    Daemon,
    alive,
    call,
    failed,
    kill_machine,
    last_log,
    publish,
    publish_everything,
    running,
    wait_until,
)

from thawd.cli.client import DaemonRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def mortal(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that tests may kill, with a published function."""
    with running(tmp_path_factory.mktemp("mortal"), images) as daemon:
        publish_everything(daemon, "f")
        yield daemon


def in_background(daemon: Daemon, **event: object) -> threading.Thread:
    """An invocation whose end is not of interest."""

    def run() -> None:
        try:
            with daemon.client() as client:
                client.invoke("f", "1", json.dumps(event).encode())
        except Exception:  # noqa: S110 - the daemon is killed under it
            pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def restart_and_check(daemon: Daemon) -> None:
    wait_until(
        lambda: not [pid for pid in daemon.seen if alive(pid)],
        seconds=10,
        what="VMMs died with the daemon",
    )
    daemon.start()
    with daemon.client() as client:
        assert call(client, "f")["calls"] >= 1


def test_a_vmm_killed_while_idle_is_replaced(mortal: Daemon) -> None:
    with mortal.client() as client:
        call(client, "f")
        machines = mortal.machines()
        assert machines
        for pid in machines:
            kill_machine(pid)

        assert call(client, "f")["calls"] == 1


def test_a_vmm_killed_during_an_invocation_is_an_error_to_its_client(mortal: Daemon) -> None:
    answers: list[object] = []

    def run() -> None:
        with mortal.client() as client:
            try:
                answers.append(client.invoke("f", "1", b'{"do": "sleep", "seconds": 20}'))
            except DaemonRefused as error:
                answers.append(error)

    with mortal.client() as client:
        before = call(client, "f")["calls"]
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: _running(mortal) == 1, what="the invocation runs")
        for pid in mortal.machines():
            kill_machine(pid)
        thread.join(20)

        (answer,) = answers
        assert isinstance(answer, DaemonRefused)
        assert answer.status == 500
        assert before
        assert call(client, "f")["calls"] == 1


def _running(daemon: Daemon) -> int:
    running: int = daemon.statistics()["invoker"]["running"]
    return running


def test_a_client_that_hangs_up_leaves_nothing_and_loses_nothing(mortal: Daemon) -> None:
    """The invocation runs to its end; its machine serves the next."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(mortal.socket))
        body = b'{"do": "sleep", "seconds": 1}'
        head = f"POST /2015-03-31/functions/f%3A1/invocations HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        wait_until(lambda: _running(mortal) == 1, what="the invocation runs")
    wait_until(lambda: _running(mortal) == 0, what="the invocation ended by itself")

    with mortal.client() as client:
        lines = last_log(client, "f")
        assert lines[-1].startswith("REPORT"), lines
        assert "Status" not in lines[-1]


def test_kill_9_of_the_idle_daemon(mortal: Daemon) -> None:
    mortal.kill()
    restart_and_check(mortal)


def test_kill_9_of_the_daemon_during_an_invocation(mortal: Daemon) -> None:
    thread = in_background(mortal, do="sleep", seconds=20)
    wait_until(lambda: _running(mortal) == 1, what="the invocation runs")
    mortal.kill()
    thread.join(10)
    restart_and_check(mortal)


def test_kill_9_of_the_daemon_during_a_publish_goes_on_after_the_restart(mortal: Daemon) -> None:
    """The version is Pending when the daemon dies, and Active in the end, without anybody asking again."""
    with mortal.client() as client:
        client.update_configuration("f", {"Description": "another"})
        version = client.publish_version("f")["Version"]
        wait_until(
            lambda: bool(list((mortal.state / "snapshots").glob(".new-*"))),
            what="the snapshot is being made",
        )
    mortal.kill()
    restart_and_check(mortal)
    with mortal.client() as client:
        wait_until(
            lambda: client.get_configuration("f", version)["State"] == "Active",
            seconds=60,
            what="it is published",
        )
        assert call(client, "f", version)["calls"] == 1
    assert not list((mortal.state / "snapshots").glob(".new-*"))


def test_a_deleted_version_frees_its_snapshot_and_leaves_the_others(mortal: Daemon) -> None:
    with mortal.client() as client:
        client.update_configuration("f", {"Description": "to be deleted"})
        version = publish(client, "f")["Version"]
        directory = mortal.state / "snapshots" / "functions" / "f"
        assert (directory / version).exists()
        client.delete_function("f", version)

        wait_until(lambda: not (directory / version).exists(), what="its snapshot is gone")
        assert call(client, "f")["calls"] >= 1


def test_errors_of_functions_leave_no_machine(mortal: Daemon) -> None:
    with mortal.client() as client:
        call(client, "f")
        before = mortal.machines()
        failed(client, "f", do="exit", code=1)
        wait_until(lambda: set(before) - set(mortal.machines()), what="its machine is gone")

"""A real daemon in a process of its own, and a look at what it leaves."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from attrs import define, field

from thawd.cli.client import Client, check_socket
from thawd.cli.packing import bundle
from thawd.errors import DaemonUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

EMULATED = 'engine = "qemu-tcg"\n'
FUNCTIONS = Path(__file__).parent / "functions"


def children(pid: int) -> list[int]:
    """Processes whose parent this is: a daemon's VMMs."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Any, *, seconds: float = 30.0, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


@define
class Daemon:
    """`thaw daemon` on a socket in `runtime`, state in `state`."""

    state: Path
    runtime: Path
    images: Path
    settings: str = ""
    process: subprocess.Popen[bytes] | None = None
    seen: set[int] = field(factory=set)

    @property
    def socket(self) -> Path:
        return self.runtime / "thawd.sock"

    @property
    def log(self) -> str:
        return (self.runtime / "daemon.log").read_text(errors="replace")

    def start(self) -> Daemon:
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        config = self.runtime / "thawd.toml"
        config.write_text(
            f"state_directory = {json.dumps(str(self.state))}\n"
            f"runtime_directory = {json.dumps(str(self.runtime))}\n"
            f"images_directory = {json.dumps(str(self.images))}\n" + self.settings
        )
        command = [
            sys.executable,
            "-m",
            "thawd.cli",
            "daemon",
            "--config",
            str(config),
            "--log-format",
            "logfmt",
        ]
        with (self.runtime / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        process = self.process

        def answers() -> bool:
            assert process.poll() is None, f"the daemon ended: {self.log[-3000:]}"
            try:
                check_socket(self.socket)
            except DaemonUnreachable:
                return False
            return True

        wait_until(answers, seconds=90, what="the daemon answers")
        return self

    def machines(self) -> list[int]:
        assert self.process is not None
        found = children(self.process.pid)
        self.seen.update(found)
        return found

    def stop(self) -> None:
        """SIGTERM, and then nothing may be left."""
        if self.process is None:
            return
        self.machines()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log[-3000:]
        self.process = None
        self.assert_nothing_left()

    def kill(self) -> None:
        """Kill -9, at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)  # to look at its machines takes a while
        self.machines()
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def assert_nothing_left(self) -> None:
        wait_until(
            lambda: not [pid for pid in self.seen if alive(pid)], seconds=5, what="VMMs are gone"
        )
        files = {path.name for path in self.runtime.rglob("*") if not path.is_dir()}
        assert files <= {"thawd.toml", "daemon.log"}, files
        assert not list((self.state / "snapshots").glob(".new-*"))
        assert not list((self.state / "code").glob(".new-*"))

    def client(self) -> Client:
        return Client(self.socket)

    def statistics(self) -> dict[str, Any]:
        """The daemon's figures of this moment."""
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://d"
        ) as http:
            figures: dict[str, Any] = http.get("/thaw/v1/statistics").json()
            return figures


@contextmanager
def running(state: Path, images: Path, settings: str = EMULATED) -> Iterator[Daemon]:
    """A daemon that runs; at the end it must leave nothing. `{runtime}` in settings stands for its runtime directory.

    That one is short, because a socket's path has a limit.
    """
    with tempfile.TemporaryDirectory(prefix="thaw-test-") as folder:
        runtime = Path(folder) / "r"
        daemon = Daemon(state, runtime, images, settings.replace("{runtime}", str(runtime)))
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


def publish_everything(daemon: Daemon, *names: str) -> None:
    """Functions of these names that do what their event says, each published as version 1."""
    with daemon.client() as client:
        for name in names:
            create(client, name, FUNCTIONS / "everything")
            published = publish(client, name)
            assert published["State"] == "Active", published["StateReason"]


def create(
    client: Client,
    name: str,
    code: Path | bytes,
    *,
    environment: dict[str, str] | None = None,
    **more: Any,
) -> None:
    client.create_function(
        {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/test",
            "Code": {
                "ZipFile": base64.b64encode(
                    code if isinstance(code, bytes) else bundle(code)
                ).decode()
            },
            "SnapStart": {"ApplyOn": "PublishedVersions"},
            "MemorySize": 256,
            "Timeout": 30,
            "Environment": {"Variables": environment or {}},
            **more,
        }
    )


def publish(client: Client, name: str, *, within_s: float = 600) -> dict[str, Any]:
    """Publish and wait; the configuration the version ends with."""
    version = client.publish_version(name)["Version"]
    result: dict[str, Any] = {}

    def settled() -> bool:
        result.update(client.get_configuration(name, version))
        return result["State"] != "Pending"

    wait_until(settled, seconds=within_s, what="the version is published")
    return result


def call(client: Client, name: str, qualifier: str | None = "1", **event: Any) -> Any:
    answer = client.invoke(name, qualifier, json.dumps(event).encode())
    assert answer.function_error is None, answer.payload
    return json.loads(answer.payload)


def failed(client: Client, name: str, qualifier: str | None = "1", **event: Any) -> dict[str, Any]:
    answer = client.invoke(name, qualifier, json.dumps(event).encode())
    assert answer.function_error == "Unhandled", answer.payload
    return json.loads(answer.payload)


def last_log(client: Client, name: str, version: str = "1") -> list[str]:
    """The last lines of a version's log, those of machines that were started in advance left out."""
    entries = list(client.logs(name, version=version, lines=30))
    asked = {entry["stream"] for entry in entries if entry["message"].startswith("START ")}
    return [entry["message"] for entry in entries if not asked or entry["stream"] in asked]


def machine_asked_last(client: Client, name: str, version: str = "1") -> str:
    """The log stream of the machine that had a version's last invocation, once that invocation is over."""
    stream = ""

    def is_over() -> bool:
        nonlocal stream
        entries = list(client.logs(name, version=version, lines=100))
        stream = [e["stream"] for e in entries if e["message"].startswith("START ")][-1]
        return [e["message"] for e in entries if e["stream"] == stream][-1].startswith("REPORT ")

    wait_until(is_over, what="REPORT")
    return stream


def kill_machine(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

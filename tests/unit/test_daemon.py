"""The daemon's tree: what it holds from the start to the end, and what it gives back."""

from __future__ import annotations

import os
import signal
import socket
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from daemon_bed import Bed, bed

from thawd import daemon as tree
from thawd.cli.main import main
from thawd.config import TcpAddress, UnixAddress, from_mapping
from thawd.errors import ConfigError, EngineError
from thawd.guest.testing import FakeFunction
from thawd.telemetry import systemd
from thawd.testing import FakeImages, running_daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

    from thaw_agent import wire
    from thawd.engines.testing import FakeEngine

__all__ = ["bed"]


async def slow(event: bytes, _request: wire.Invoke, _memory: dict[str, object]) -> bytes:
    await trio.sleep(float(event))
    return event


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime directory with a short name."""
    with TemporaryDirectory(prefix="thawd-") as directory:
        yield Path(directory)


# ---------------------------------------------------------------------------------------------------------------------
# What it holds


async def test_a_second_daemon_on_one_state_directory_is_refused_and_the_first_goes_on(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as first:
        with pytest.raises(ConfigError, match="another thawd works in") as caught:
            async with bed.daemon():
                pass
        assert "state_directory" in caught.value.hint
        await first.create("f")
        assert (await first.publish("f"))["State"] == "Active"
    async with bed.daemon() as again:
        assert (await again.invoke("f:1", b"[1]")).content == b"[1]"


async def test_a_port_that_is_taken_is_told_with_a_way_out_and_nothing_is_held(
    bed: Bed, autojump_clock: MockClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        bed.settings = {"listen": [f"tcp:127.0.0.1:{port}"]}
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: Address already in use"):
            async with bed.daemon():
                pass
    async with bed.daemon() as daemon:
        assert daemon.addresses == (TcpAddress("127.0.0.1", port),)


async def test_a_socket_that_another_daemon_answers_on_is_left_to_it(
    bed: Bed, tmp_path: Path, autojump_clock: MockClock
) -> None:
    bed.settings = {"listen": [f"unix:{tmp_path}/s"]}
    other = Bed(tmp_path / "other", [], settings=bed.settings)
    async with bed.daemon() as daemon:
        with pytest.raises(ConfigError, match="Another daemon answers on"):
            async with other.daemon():
                pass
        assert (await daemon.client.get("/thaw/v1/health")).json()["engine"] == "fake"
    assert not (tmp_path / "s").exists()


async def test_without_an_engine_nothing_is_left(
    tmp_path: Path, runtime: Path, bed: Bed, autojump_clock: MockClock
) -> None:
    config = from_mapping(
        {
            "state_directory": str(bed.directory),
            "runtime_directory": str(runtime),
            "listen": [f"unix:{tmp_path}/s"],
        },
        {},
    )

    async def select(**_: object) -> FakeEngine:
        raise EngineError("no engine works here")

    with pytest.RaisesGroup(EngineError, flatten_subgroups=True):
        await tree.run(config, select=select, open_images=lambda _: FakeImages())
    assert not (tmp_path / "s").exists()
    async with bed.daemon() as daemon:
        assert daemon.core.catalog.is_new()


# ---------------------------------------------------------------------------------------------------------------------
# Sockets that systemd holds


@pytest.fixture
def passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A Unix and a TCP socket as systemd passes them: two descriptors, one after the other."""
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        unix.bind(f"{tmp_path}/passed")
        unix.listen()
        first = 200
        os.dup2(unix.fileno(), first)
        os.dup2(tcp.fileno(), first + 1)
        monkeypatch.setattr(systemd, "FIRST_FD", first)
        monkeypatch.setenv("LISTEN_FDS", "2")
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        yield f"{tmp_path}/passed", tcp.getsockname()[1]


async def test_passed_sockets_are_served_and_not_opened_again(
    bed: Bed, passed: tuple[str, int], autojump_clock: MockClock
) -> None:
    path, port = passed
    bed.settings = {"listen": [f"unix:{path}", f"tcp:127.0.0.1:{port}"]}
    async with bed.daemon() as daemon:
        assert daemon.addresses == (UnixAddress(Path(path)), TcpAddress("127.0.0.1", port))
        assert "LISTEN_FDS" not in os.environ
        async with httpx.AsyncClient(base_url=daemon.url) as client:
            assert (await client.get("/thaw/v1/health")).status_code == 200
        assert (await daemon.client.get("/thaw/v1/health")).status_code == 200
    # It is systemd's: the next start finds it there.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


# ---------------------------------------------------------------------------------------------------------------------
# How it ends


async def test_a_stop_lets_what_is_under_way_end_and_takes_nothing_new(
    bed: Bed, autojump_clock: MockClock
) -> None:
    bed.function = FakeFunction(handler=slow)
    bed.settings = {"limits": {"drain_seconds": 10}}
    answers: dict[str, Any] = {}

    async def invoke(daemon: Any, event: bytes) -> None:
        answers[event.decode()] = await daemon.invoke("f", event)

    async with bed.daemon() as daemon:
        await daemon.create("f", Timeout=300)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke, daemon, b"5")
            nursery.start_soon(invoke, daemon, b"100")
            await trio.sleep(1)
            began = trio.current_time()
            daemon.stop()
            await trio.sleep(1)
            with pytest.raises(httpx.TransportError):
                async with httpx.AsyncClient(
                    transport=httpx.AsyncHTTPTransport(uds=str(daemon.config.socket))
                ) as late:
                    await late.get("http://thawd/thaw/v1/health")
        assert trio.current_time() - began < 15
    assert (answers["5"].status_code, answers["5"].content) == (200, b"5")
    assert answers["100"].status_code == 503


async def test_publishing_under_way_does_not_hold_up_the_end(
    bed: Bed, autojump_clock: MockClock
) -> None:
    bed.function = FakeFunction(init_s=100)
    async with bed.daemon() as daemon:
        await daemon.create("f")
        await daemon.client.post("/2015-03-31/functions/f/versions", json={})
        await trio.sleep(1)
        began = trio.current_time()
    assert trio.current_time() - began < 1
    assert list((bed.directory / "snapshots").glob(".new-*")) == []


def test_a_signal_during_the_start_ends_it_and_leaves_nothing(
    tmp_path: Path,
    runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first start looks for an engine, which may take a minute; clients wait in the socket's queue meanwhile."""
    path = tmp_path / "s"
    (tmp_path / "thawd.toml").write_text(
        f'state_directory = "{tmp_path}/state"\nlisten = ["unix:{path}"]\n'
    )
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    seen = []

    async def select(**_: object) -> FakeEngine:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        seen.append("selecting")
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(
        tree, "run", partial(tree.run, select=select, open_images=lambda _: FakeImages())
    )
    mask = os.umask(0o022)
    try:
        assert main(["daemon", "--config", str(tmp_path / "thawd.toml")]) == 0
    finally:
        os.umask(mask)
    assert seen == ["selecting"]
    assert not path.exists()
    said = capsys.readouterr().err
    assert "daemon.stopping" in said
    assert "daemon.ready" not in said

    # Nothing is locked or half made.
    async def start_again() -> None:
        async with running_daemon(tmp_path / "state") as daemon:
            assert daemon.core.catalog.is_new()

    trio.run(start_again)

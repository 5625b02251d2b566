"""Real machines: one daemon for most tests, its guest image built once into .cache/state."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from engine_bed import (  # noqa: F401  fixtures
    engine,
    runtime_directory,
    scratch,
    spec,
    template,
)
from live import FUNCTIONS, Daemon, create, publish

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"


@pytest.fixture(scope="session")
def images() -> Path:
    """The image store, with the image of today's sources in it."""

    async def ensure() -> None:
        await ImageStore(IMAGES).ensure(
            "python3.13", progress=lambda step, _: print(f"image: {step}", flush=True)
        )

    trio.run(ensure)
    return IMAGES


@pytest.fixture(scope="session")
def tcp_port() -> int:
    """A loopback port that is free now, for clients that speak TCP only."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def daemon(
    images: Path, tcp_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """A running daemon, its pools as by default. At the end it must leave nothing."""
    with tempfile.TemporaryDirectory(prefix="thaw-test-") as folder:
        runtime = Path(folder) / "r"
        settings = (
            'engine = "qemu-tcg"\n'
            f'listen = ["unix:{runtime}/thawd.sock", "tcp:127.0.0.1:{tcp_port}"]\n'
            "[limits]\nrestore_limit_s = 8\n"
        )
        daemon = Daemon(tmp_path_factory.mktemp("state"), runtime, images, settings)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


@pytest.fixture(scope="session")
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture(scope="session")
def everything(client: Client) -> str:
    """The function that does what its event says, published as version 1."""
    create(client, "everything", FUNCTIONS / "everything")
    published = publish(client, "everything")
    assert published["State"] == "Active", published["StateReason"]
    return "everything"

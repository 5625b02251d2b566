"""Real machines: one daemon for most tests, its guest image built once into .cache/state."""

from __future__ import annotations

import socket
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
from live import EMULATED, Daemon, publish_everything, running

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

LONGEST = (
    "test_packages.py",
    "test_dotnet.py",
    "test_dotnet_clones.py",
    "test_check_planted.py",
    "test_fixers_clones.py",
    "test_nested_kvm.py",
)
"""These begin first, so that at the end both workers have something to do."""
IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


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
    settings = (
        f'{EMULATED}listen = ["unix:{{runtime}}/thawd.sock", "tcp:127.0.0.1:{tcp_port}"]\n'
        "[limits]\nrestore_limit_s = 8\n"
    )
    with running(tmp_path_factory.mktemp("state"), images, settings) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


@pytest.fixture(scope="session")
def everything(daemon: Daemon) -> str:
    """The function that does what its event says, published as version 1."""
    publish_everything(daemon, "everything")
    return "everything"

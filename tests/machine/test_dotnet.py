"""Functions in .NET in real machines: what Lambda's class libraries do, published, restored and invoked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dotnet_bed as bed
import pytest
import trio
from live import Daemon, call, create, last_log, publish

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"

pytestmark = bed.needs_sdk


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon with the images of .NET."""

    async def ensure() -> None:
        await ImageStore(IMAGES).ensure("dotnet10")

    trio.run(ensure)
    with tempfile.TemporaryDirectory(prefix="thaw-test-") as folder:
        settings = 'engine = "qemu-tcg"\n[limits]\nrestore_limit_s = 15\n'
        daemon = Daemon(tmp_path_factory.mktemp("state"), Path(folder) / "r", IMAGES, settings)
        daemon.start()
        try:
            with daemon.client() as client:
                yield client
        finally:
            daemon.stop()


def make(client: Client, name: str, folder: Path, handler: str, **more: object) -> None:
    create(
        client,
        name,
        bed.zipped(folder),
        **{"Runtime": "dotnet10", "Handler": handler, "MemorySize": 512, **more},
    )


def test_a_class_library_publishes_and_each_clone_greets_as_itself(client: Client) -> None:
    make(
        client,
        "hello",
        bed.published(bed.EXAMPLES / "hello"),
        "Hello::Hello.Function::FunctionHandler",
    )
    published = publish(client, "hello")
    assert published["State"] == "Active", published["StateReason"]
    first = call(client, "hello", Name="Ada")

    assert first["Message"] == "Hello, Ada!"
    log = last_log(client, "hello")
    assert any("info\tgreeting Ada" in line for line in log), log

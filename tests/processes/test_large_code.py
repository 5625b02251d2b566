"""Code that is too large for a request of Lambda's, all the way: `thaw`'s client, HTTP, the API, the store."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trio
from stand_ins import core

from thawd.api.app import build
from thawd.catalog.store import Catalog
from thawd.cli.client import Client, DaemonRefused
from thawd.cli.packing import packed, sent
from thawd.code.bundles import BundleStore
from thawd.http import open_unix_listener, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    shutil.which("mkfs.erofs") is None, reason="mkfs.erofs is not installed"
)

FUNCTION = {
    "FunctionName": "f",
    "Runtime": "python3.13",
    "Handler": "app.handler",
    "Role": "arn:aws:iam::000000000000:role/r",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 MB that do not compress: on AWS they go through S3."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(event, context):\n    return 1\n")
    (folder / "model.bin").write_bytes(os.urandom(60 << 20))
    return folder


@pytest.fixture
async def socket(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Path]:
    """The API over a store of code, and nothing that would run it."""
    store = BundleStore(tmp_path / "code")
    store.prepare()
    with Catalog.open(tmp_path / "catalog.sqlite") as catalog:
        app = build(core(catalog=catalog, bundles=store, logs=None, publisher=None, invoker=None))
        with open_unix_listener(tmp_path / "s") as listener:
            await nursery.start(serve, listener, app)
            yield tmp_path / "s"
            nursery.cancel_scope.cancel()


async def test_a_package_over_50_mb_becomes_a_functions_code(folder: Path, socket: Path) -> None:
    def create() -> tuple[dict, bytes, str]:
        with Client(socket) as client, packed(folder) as zip_file:
            created = client.create_function({**FUNCTION, "Code": sent(client, zip_file)})
            digest = hashlib.sha256(zip_file.read_bytes()).digest()
            return created, client.code("f"), base64.b64encode(digest).decode()

    created, code, digest = await trio.to_thread.run_sync(create)

    assert created["CodeSha256"] == digest
    assert created["CodeSize"] == len(code) > 52_428_800
    assert base64.b64encode(hashlib.sha256(code).digest()).decode() == digest


async def test_neither_client_nor_daemon_has_a_package_whole_in_memory(
    folder: Path, socket: Path
) -> None:
    def create(zip_file: Path) -> None:
        with Client(socket) as client:
            client.create_function({**FUNCTION, "Code": sent(client, zip_file)})

    with packed(folder) as zip_file:
        tracemalloc.start()
        try:
            await trio.to_thread.run_sync(create, zip_file)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 16 << 20


async def test_lambdas_own_way_refuses_it_as_aws_does(folder: Path, socket: Path) -> None:
    def create() -> None:
        with Client(socket) as client, packed(folder) as zip_file:
            code = {"ZipFile": base64.b64encode(zip_file.read_bytes()).decode()}
            client.create_function({**FUNCTION, "Code": code})

    with pytest.raises(DaemonRefused) as caught:
        await trio.to_thread.run_sync(create)

    assert (caught.value.status, caught.value.code) == (413, "RequestEntityTooLargeException")
    assert caught.value.message == (
        "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    )

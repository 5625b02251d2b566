"""The store of code bundles: content-addressed, whole or absent."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import threading
import time
import tracemalloc
import zipfile
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED

import pytest
import trio
import trio.testing
from test_code_unpack import make

from thawd.code.bundles import UPLOAD_KEPT_S, BundleStore
from thawd.code.unpack import UNZIPPED_LIMIT
from thawd.engines.machine import CODE_DISK_BYTES
from thawd.errors import BundleError, PackageRefused, StorageError
from thawd.files import digest_sparse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

needs_erofs = pytest.mark.skipif(
    shutil.which("mkfs.erofs") is None, reason="mkfs.erofs is not installed"
)
ZIP = make(("app.py", b"def handler(e, c): return e")).getvalue()


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    store = BundleStore(tmp_path / "code")
    store.prepare()
    return store


@needs_erofs
async def test_a_zip_becomes_a_disk_of_the_one_size_and_is_found_by_its_digest(
    store: BundleStore,
) -> None:
    bundle = await store.add(ZIP)

    assert bundle.code_sha256_base64 == base64.b64encode(hashlib.sha256(ZIP).digest()).decode()
    assert bundle.disk.stat().st_size == CODE_DISK_BYTES
    assert bundle.disk.stat().st_blocks * 512 < 1 << 20
    assert bundle.zip.read_bytes() == ZIP
    assert store.find_zip(bundle.code_sha256_base64) == bundle.zip
    assert (await store.ready_disk(bundle.code_sha256_base64)).path == bundle.disk
    assert (bundle.zip_size, len(list(store.directory.iterdir()))) == (len(ZIP), 3)


@needs_erofs
async def test_the_same_zip_makes_the_same_disk(store: BundleStore, tmp_path: Path) -> None:
    other = BundleStore(tmp_path / "other")
    other.prepare()

    first, second = await store.add(ZIP), await other.add(ZIP)
    heads = []
    for bundle in (first, second):
        with bundle.disk.open("rb") as file:
            heads.append(file.read(1 << 20))  # the rest is a hole
    assert heads[0] == heads[1]


@needs_erofs
async def test_a_package_that_is_removed_is_gone(store: BundleStore) -> None:
    kept = await store.add(ZIP)
    gone = await store.add(make(("other.py", b"")).getvalue())

    store.remove(gone.code_sha256_base64)

    assert store.digests() == {kept.code_sha256_base64}
    with pytest.raises(StorageError, match="gone from disk"):
        store.find_zip(gone.code_sha256_base64)
    with pytest.raises(StorageError, match="gone from disk"):
        await store.ready_disk(gone.code_sha256_base64)
    assert store.find_zip(kept.code_sha256_base64) == kept.zip


def flip(path: Path) -> None:
    """Change a byte beyond what erofs has checksums for."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(4096)
        (byte,) = file.read(1)
        file.seek(4096)
        file.write(bytes([byte ^ 1]))


@needs_erofs
@pytest.mark.parametrize("damage", ["flip", "disk", "digest", "both"])
async def test_a_damaged_disk_is_made_again_at_its_first_use(
    store: BundleStore, damage: str
) -> None:
    bundle = await store.add(make(("app.py", os.urandom(30_000))).getvalue())
    before = digest_sparse(bundle.disk)
    if damage == "flip":
        flip(bundle.disk)
    if damage in {"disk", "both"}:
        bundle.disk.unlink()
    if damage in {"digest", "both"}:
        bundle.disk.with_suffix(".digest").unlink()

    disk = await BundleStore(store.directory).ready_disk(bundle.code_sha256_base64)

    assert digest_sparse(disk.path) == before == disk.digest


@needs_erofs
async def test_code_whose_zip_is_damaged_too_is_refused(store: BundleStore) -> None:
    bundle = await store.add(make(("app.py", os.urandom(30_000))).getvalue())
    flip(bundle.zip)
    bundle.disk.unlink()

    with pytest.raises(StorageError, match="damaged"):
        await BundleStore(store.directory).ready_disk(bundle.code_sha256_base64)


@needs_erofs
async def test_adding_a_package_again_mends_it(store: BundleStore) -> None:
    data = make(("app.py", os.urandom(30_000))).getvalue()
    bundle = await store.add(data)
    flip(bundle.zip)
    bundle.disk.unlink()

    again = await store.add(data)

    assert again.zip.read_bytes() == data
    assert (await store.ready_disk(bundle.code_sha256_base64)).path == bundle.disk


@needs_erofs
async def test_what_an_earlier_version_stored_gets_its_digest(store: BundleStore) -> None:
    bundle = await store.add(ZIP)
    bundle.disk.with_suffix(".digest").unlink()

    disk = await BundleStore(store.directory).ready_disk(bundle.code_sha256_base64)

    assert disk.digest == digest_sparse(bundle.disk)


async def test_a_bad_zip_leaves_nothing(store: BundleStore) -> None:
    for data in (b"", b"junk", make(("../x", b"")).getvalue()):
        with pytest.raises(BundleError):
            await store.add(data)

    assert list(store.directory.iterdir()) == []


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@needs_erofs
async def test_what_was_received_in_pieces_is_the_same_package(store: BundleStore) -> None:
    upload = await store.receive(pieces(ZIP[:100], b"", ZIP[100:]))

    assert upload.size == len(ZIP)
    assert store.digests() == set()

    adopted = await store.adopt(upload.code_sha256_base64)

    assert adopted == await store.add(ZIP)
    assert adopted.zip.read_bytes() == ZIP
    assert (await store.ready_disk(upload.code_sha256_base64)).path == adopted.disk
    assert len(list(store.directory.iterdir())) == 3


@needs_erofs
async def test_an_upload_is_taken_once_and_serves_every_function_after(store: BundleStore) -> None:
    upload = await store.receive(pieces(ZIP))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(store.adopt, upload.code_sha256_base64)

    assert len(list(store.directory.iterdir())) == 3

    again = await store.receive(pieces(ZIP))
    await store.adopt(again.code_sha256_base64)

    assert len(list(store.directory.iterdir())) == 3


async def test_code_that_nobody_uploaded_is_refused_with_the_way_to_upload_it(
    store: BundleStore,
) -> None:
    digest = base64.b64encode(bytes(32)).decode()

    with pytest.raises(BundleError, match="POST /thaw/v1/code") as caught:
        await store.adopt(digest)
    assert digest in caught.value.message
    with pytest.raises(BundleError, match="is not a digest"):
        await store.adopt("../../etc/passwd")


@pytest.mark.parametrize("zipped", [b"", b"junk" * 1000, ZIP[:-30]])
async def test_an_upload_that_is_no_zip_is_refused_at_once_and_leaves_nothing(
    store: BundleStore, zipped: bytes
) -> None:
    with pytest.raises(PackageRefused, match="Could not unzip"):
        await store.receive(pieces(zipped))

    assert list(store.directory.iterdir()) == []


async def test_an_upload_that_says_to_be_too_large_is_refused_with_its_size(
    store: BundleStore,
) -> None:
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w") as archive:
        archive.writestr("lib/model.bin", b"")
        archive.filelist[0].file_size = UNZIPPED_LIMIT  # as the list at its end has it
        archive.writestr("app.py", b"x")

    with pytest.raises(PackageRefused) as caught:
        await store.receive(pieces(large.getvalue()))

    assert caught.value.message == f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"
    assert caught.value.hint == ("It is 262144001 bytes (262.1 MB). The largest: lib (262.1 MB)")
    assert list(store.directory.iterdir()) == []


async def test_an_upload_whose_client_goes_leaves_nothing(store: BundleStore) -> None:
    async def gone() -> AsyncIterator[bytes]:
        yield bytes(3 << 20)
        raise trio.BrokenResourceError

    with pytest.raises(trio.BrokenResourceError):
        await store.receive(gone())

    assert list(store.directory.iterdir()) == []


async def test_an_upload_is_never_whole_in_memory(store: BundleStore) -> None:
    noise = os.urandom(64 << 10)
    large = make(*((f"{number}.bin", noise) for number in range(640)), method=ZIP_STORED)
    size = len(large.getvalue())

    async def sent() -> AsyncIterator[bytes]:
        while piece := large.read(64 << 10):
            yield piece

    large.seek(0)
    tracemalloc.start()
    try:
        upload = await store.receive(sent())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert upload.size == size > 40 << 20
    assert peak < 8 << 20


async def test_uploads_that_no_function_takes_go_after_an_hour(
    store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await store.receive(pieces(make(("old.py", b"")).getvalue()))
    (path,) = store.directory.iterdir()
    os.utime(path, (0, time.time() - UPLOAD_KEPT_S - 1))
    await store.receive(pieces(ZIP))

    assert len(list(store.directory.iterdir())) == 1
    with pytest.raises(BundleError, match="is here"):
        await store.adopt(old.code_sha256_base64)

    monkeypatch.setattr("thawd.code.bundles._MOST_UPLOADS", 2)
    for number in range(3):
        await store.receive(pieces(make((f"{number}.py", b"")).getvalue()))

    assert len(list(store.directory.iterdir())) == 2


@needs_erofs
async def test_adding_a_package_again_mends_it_also_where_zip_and_disk_are_damaged(
    store: BundleStore,
) -> None:
    data = make(("app.py", os.urandom(30_000))).getvalue()
    bundle = await store.add(data)
    flip(bundle.zip)
    flip(bundle.disk)

    again = await store.add(data)

    assert again.zip.read_bytes() == data
    assert (await BundleStore(store.directory).ready_disk(again.code_sha256_base64)).digest


def test_what_a_killed_daemon_was_unpacking_is_removed(store: BundleStore) -> None:
    (store.directory / ".new-x" / "tree").mkdir(parents=True)
    (store.directory / ".upload-x").touch()

    store.prepare()

    assert list(store.directory.iterdir()) == []


@needs_erofs
async def test_what_unpacking_leaves_is_removed_while_nobody_waits_for_it(
    store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_remove = threading.Event()

    def slow(path: Path) -> None:
        assert may_remove.wait(60)
        shutil.rmtree(path)

    monkeypatch.setattr("thawd.code.bundles.remove_tree", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.tidy)
        await trio.testing.wait_all_tasks_blocked()
        first = await store.add(ZIP)
        second = await store.add(make(("other.py", b"")).getvalue())

        assert first.disk.exists()
        assert second.disk.exists()
        assert len(list(store.directory.glob(".new-*"))) == 2

        may_remove.set()
        nursery.cancel_scope.cancel()

    assert list(store.directory.glob(".new-*")) == []

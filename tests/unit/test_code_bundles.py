"""The store of code bundles: content-addressed, whole or absent."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from test_code_unpack import make

from thawd.code.bundles import BundleStore
from thawd.code.unpack import ZIPPED_LIMIT
from thawd.engines.machine import CODE_DISK_BYTES
from thawd.errors import BundleError, StorageError
from thawd.files import digest_sparse

if TYPE_CHECKING:
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


async def test_a_zip_over_the_limit_is_refused_in_lambdas_words(store: BundleStore) -> None:
    with pytest.raises(BundleError, match="Zipped size must be smaller than 52428800 bytes"):
        await store.add(bytes(ZIPPED_LIMIT + 1))


def test_what_a_killed_daemon_was_unpacking_is_removed(store: BundleStore) -> None:
    (store.directory / ".new-x" / "tree").mkdir(parents=True)

    store.prepare()

    assert list(store.directory.iterdir()) == []

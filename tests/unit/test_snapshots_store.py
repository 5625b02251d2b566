"""The snapshot store: complete or invisible, and damage is noticed before it is restored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thawd.engines.machine import MachineSpec, Snapshot
from thawd.errors import SnapshotError
from thawd.files import digest_sparse
from thawd.snapshots.store import SnapshotStore

SPEC = MachineSpec(
    kernel=Path("k"),
    initrd=Path("i"),
    root=Path("r"),
    memory_mib=4,
    command_line="quiet",
)


def make_snapshot(directory: Path) -> Snapshot:
    directory.mkdir()
    snapshot = Snapshot(directory=directory, spec=SPEC, engine="fake-1")
    with snapshot.memory.open("wb") as file:
        file.truncate(4 << 20)
        file.seek(1 << 20)
        file.write(b"page" * 1024)
    snapshot.state.write_bytes(b"devices")
    return snapshot


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    store = SnapshotStore(tmp_path / "snapshots")
    store.prepare()
    return store


async def committed(store: SnapshotStore) -> Snapshot:
    async with store.scratch() as scratch:
        made = make_snapshot(scratch / "snapshot")
        return await store.commit(made, store.version_path("f", "1"), about={"kind": "version"})


async def test_a_committed_snapshot_is_loaded_by_a_later_daemon(store: SnapshotStore) -> None:
    snapshot = await committed(store)

    loaded = await SnapshotStore(store.directory).load(snapshot.directory)

    assert snapshot == loaded.snapshot
    assert loaded.snapshot.spec == SPEC
    assert store.function_versions() == [("f", "1")]


async def test_a_manifest_of_version_0_1_0_is_read(store: SnapshotStore) -> None:
    """It names a code disk and a network card, which are no part of the specification any more."""
    snapshot = await committed(store)
    path = snapshot.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"] |= {"code": "/var/lib/thawd/empty-code-disk", "network": None}
    path.write_text(json.dumps(manifest))

    assert (await SnapshotStore(store.directory).load(snapshot.directory)).snapshot.spec == SPEC


async def test_nothing_is_visible_before_the_commit(store: SnapshotStore) -> None:
    async with store.scratch() as scratch:
        make_snapshot(scratch / "snapshot")
        assert store.function_versions() == []
    assert list(store.directory.iterdir()) == []


@pytest.mark.parametrize("damaged", ["memory", "state"])
async def test_a_changed_byte_is_noticed_at_first_use(store: SnapshotStore, damaged: str) -> None:
    snapshot = await committed(store)
    path = snapshot.directory / damaged
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)

    with pytest.raises(SnapshotError, match="not what was written"):
        await SnapshotStore(store.directory).load(snapshot.directory)


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '"x"', '{"format": 1e400}', "\0"])
async def test_a_manifest_that_is_none_is_an_error_of_the_snapshot(
    store: SnapshotStore, text: str
) -> None:
    path = (await committed(store)).directory
    (path / "manifest.json").write_text(text)

    with pytest.raises(SnapshotError, match="cannot be read"):
        store.manifest(path)


async def test_a_missing_file_or_manifest_is_an_error_with_a_way_out(store: SnapshotStore) -> None:
    snapshot = await committed(store)
    snapshot.memory.unlink()
    with pytest.raises(SnapshotError, match="cannot be read"):
        await SnapshotStore(store.directory).load(snapshot.directory)
    (snapshot.directory / "manifest.json").write_text("{")
    with pytest.raises(SnapshotError, match="cannot be read"):
        store.manifest(snapshot.directory)
    with pytest.raises(SnapshotError, match="no snapshot"):
        store.manifest(store.version_path("f", "2"))


async def test_what_a_killed_daemon_was_writing_is_removed_at_start(store: SnapshotStore) -> None:
    (store.directory / ".new-abc").mkdir()
    make_snapshot(store.directory / ".new-abc" / "snapshot")

    store.prepare()

    assert list(store.directory.iterdir()) == []


async def test_only_empty_folders_of_functions_are_removed(store: SnapshotStore) -> None:
    """A daemon that was killed while it deleted a function leaves one."""
    snapshot = await committed(store)
    store.version_path("gone", "1").parent.mkdir()

    store.remove_empty_functions()

    assert [snapshot.directory.parent] == list((store.directory / "functions").iterdir())


async def test_remove_takes_the_whole_snapshot(store: SnapshotStore) -> None:
    snapshot = await committed(store)

    store.remove(snapshot.directory)

    assert not snapshot.directory.exists()
    assert store.function_versions() == []


_pages = st.lists(
    st.sampled_from([b"", b"\0" * 4096, b"x" * 4096, b"y" * 4096]), min_size=1, max_size=12
)


@settings(max_examples=30, deadline=None)
@given(pages=_pages, size=st.integers(1, 3 << 20))
def test_the_digest_does_not_depend_on_holes(
    tmp_path_factory: pytest.TempPathFactory, pages: list[bytes], size: int
) -> None:
    """A file with holes and one with the same bytes written out have one digest; another byte has another."""
    directory = tmp_path_factory.mktemp("digest")
    sparse, dense = directory / "sparse", directory / "dense"
    step = 256 * 1024
    with sparse.open("wb") as file:
        for index, page in enumerate(pages):
            if page.strip(b"\0"):
                file.seek(index * step)
                file.write(page)
        file.truncate(max(size, file.seek(0, os.SEEK_END)))
    dense.write_bytes(sparse.read_bytes())

    assert digest_sparse(sparse) == digest_sparse(dense)

    changed = bytearray(dense.read_bytes())
    changed[-1] ^= 255
    dense.write_bytes(changed)
    assert digest_sparse(sparse) != digest_sparse(dense)

"""The snapshot store: every directory in it is a complete snapshot, or invisible.

Layout, under the state directory::

    snapshots/base/<key>/            memory, state, manifest.json
    snapshots/functions/<name>/<version>/
    snapshots/.new-*                 being written; removed at start

A snapshot is written into a `.new-` directory, its manifest (with the digests of both files) last, everything synced,
then the directory is renamed. The catalog's row comes after that. Digests are checked when a snapshot is first used
after a start of the daemon: reading the memory file once also brings it into the page cache, where the restore that
follows wants it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import cattrs
import structlog
import trio
from attrs import define, field, frozen

from thawd.engines.machine import MachineSpec, Snapshot
from thawd.errors import SnapshotError, storing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_log = structlog.get_logger()

_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_CHUNK: Final = 1 << 20

_converter = cattrs.Converter()
_converter.register_unstructure_hook(Path, str)
_converter.register_structure_hook(Path, lambda value, _: Path(value))


@frozen(kw_only=True)
class Manifest:
    """What is known of a snapshot: how to restore it and how to tell that it is whole.

    `about` is the maker's own record (function, version, image digest, restore steps, durations in ms).
    """

    format: int
    spec: MachineSpec
    engine: str
    memory_digest: str
    state_digest: str
    disk_bytes: int
    about: dict[str, Any] = field(factory=dict)


def _data_extents(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that hold data, as (offset, length)."""
    descriptor, position = file.fileno(), 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end - start
        position = end


def digest_sparse(path: Path) -> str:
    """BLAKE2b-256 over size and data of a file, skipping holes.

    Pages of zeroes count like holes, so that the digest does not depend on how a file system stores them.
    """
    digest = hashlib.blake2b(digest_size=32)
    zeroes = bytes(_CHUNK)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(size.to_bytes(8, "big"))
        done = 0
        for start, length in _data_extents(file, size):
            # Chunks lie on a grid of their own size, whatever the extents are.
            for offset in range(max(done, start - start % _CHUNK), start + length, _CHUNK):
                done = offset + _CHUNK
                file.seek(offset)
                chunk = file.read(_CHUNK)
                if chunk != zeroes[: len(chunk)]:
                    digest.update(offset.to_bytes(8, "big"))
                    digest.update(chunk)
    return digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a directory that nothing refers to. What the file system refuses is logged, and left to the next start."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        _log.warning("leftover.not_removed", path=str(path))


@define
class SnapshotStore:
    """All snapshots under one directory. Methods that read or write memory files do so in a worker thread."""

    directory: Path
    _verified: set[Path] = field(factory=set)

    def prepare(self) -> None:
        """Make the directory; remove what an earlier daemon was writing when it died."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self.directory.glob(".new-*"):
            remove_tree(leftover)

    def base_path(self, key: str) -> Path:
        """Where the base snapshot of this key is or will be."""
        return self.directory / "base" / key

    def version_path(self, function_name: str, version: str) -> Path:
        """Where a version's snapshot is or will be."""
        return self.directory / "functions" / function_name / version

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A directory on the store's file system for a machine's memory while it is made; gone with the scope.

        What the file system refuses in the scope is a `StorageError`.
        """
        with storing("a snapshot", self.directory):
            path = Path(tempfile.mkdtemp(prefix=".new-", dir=self.directory))
            try:
                yield path
            finally:
                remove_tree(path)

    async def commit(self, made: Snapshot, target: Path, *, about: dict[str, Any]) -> Snapshot:
        """Write the manifest of a snapshot made in a scratch directory and rename it to `target`.

        Raises `StorageError`, and then there is nothing at `target`.
        """
        return await trio.to_thread.run_sync(self._commit, made, target, about)

    def _commit(self, made: Snapshot, target: Path, about: dict[str, Any]) -> Snapshot:
        manifest = Manifest(
            format=_FORMAT,
            spec=made.spec,
            engine=made.engine,
            memory_digest=digest_sparse(made.memory),
            state_digest=digest_sparse(made.state),
            disk_bytes=(made.memory.stat().st_blocks + made.state.stat().st_blocks) * 512,
            about=about,
        )
        path = made.directory / _MANIFEST
        with storing("a snapshot", self.directory):
            with path.open("w") as file:
                json.dump(_converter.unstructure(manifest), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            sync_directory(made.directory)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.remove(target)  # of a version that failed before its row was written
            made.directory.rename(target)
            try:
                sync_directory(target.parent)
            except OSError:
                self.remove(target)
                raise
        self._verified.add(target)
        return Snapshot(directory=target, spec=made.spec, engine=made.engine)

    def manifest(self, path: Path) -> Manifest:
        """Read a snapshot's manifest. Raises `SnapshotError`."""
        try:
            data = json.loads((path / _MANIFEST).read_text())
            manifest = _converter.structure(data, Manifest)
        except FileNotFoundError:
            raise SnapshotError(
                f"there is no snapshot in {path}", hint="Publish the version again"
            ) from None
        except (OSError, ValueError, TypeError, KeyError, cattrs.BaseValidationError) as error:
            raise SnapshotError(
                f"the manifest in {path} cannot be read: {error}", hint="Publish the version again"
            ) from error
        if manifest.format != _FORMAT:
            raise SnapshotError(
                f"the snapshot in {path} has format {manifest.format}, this daemon writes {_FORMAT}",
                hint="Publish the version again",
            )
        return manifest

    async def load(self, path: Path) -> Snapshot:
        """A snapshot ready to be restored; its digests are checked the first time. Raises `SnapshotError`."""
        manifest = self.manifest(path)
        snapshot = Snapshot(directory=path, spec=manifest.spec, engine=manifest.engine)
        if path not in self._verified:
            await trio.to_thread.run_sync(self._verify, snapshot, manifest)
            self._verified.add(path)
        return snapshot

    def _verify(self, snapshot: Snapshot, manifest: Manifest) -> None:
        expected = {snapshot.memory: manifest.memory_digest, snapshot.state: manifest.state_digest}
        for path, digest in expected.items():
            if not path.exists() or digest_sparse(path) != digest:
                raise SnapshotError(
                    f"{path} is missing or not what was written", hint="Publish the version again"
                )

    def exists(self, path: Path) -> bool:
        """Whether a complete snapshot is at this path."""
        return (path / _MANIFEST).exists()

    def remove(self, path: Path) -> None:
        """Remove a snapshot: renamed away first, so that it is whole or gone. Running clones keep their files.

        What the file system refuses is logged: nothing uses the snapshot any more, and the next start sweeps it away.
        """
        self._verified.discard(path)
        grave = self.directory / f".new-{secrets.token_hex(8)}"
        try:
            path.rename(grave)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("snapshot.not_removed", path=str(path), reason=str(error))
            return
        remove_tree(grave)

    def function_versions(self) -> list[tuple[str, str]]:
        """(function name, version) of every version snapshot on disk."""
        root = self.directory / "functions"
        return sorted((path.parent.name, path.name) for path in root.glob("*/*"))

"""The snapshot store: every directory in it is a complete snapshot, or invisible.

Layout, under the state directory::

    snapshots/base/<key>/            memory, state, manifest.json
    snapshots/functions/<name>/<version>/
    snapshots/unknown/               of versions that the catalog never had: set aside
    snapshots/.new-*                 being written; removed at start

A snapshot is written into a `.new-` directory, its manifest (with the digests of both files) last, everything synced,
then the directory is renamed. The catalog's row comes after that. Digests are checked when a snapshot is first used
after a start of the daemon, and after a machine of it failed (`doubt`). Reading the memory file also brings it into the
page cache, which the restore that follows needs.

A snapshot is never the only copy of anything: one that is refused here is made again from the function's code or the image.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cattrs
import structlog
import trio
from attrs import define, field, frozen

from thawd.engines.machine import MachineSpec, Snapshot
from thawd.errors import SnapshotError, storing
from thawd.files import Damaged, Proven, digest_sparse, reading_ours, remove_tree, sync, write_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = structlog.get_logger()

_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1

_converter = cattrs.Converter()
_converter.register_unstructure_hook(Path, str)
_converter.register_structure_hook(Path, lambda value, _: Path(value))


@frozen(kw_only=True)
class Manifest:
    """Written beside a snapshot: how to restore it, and how to tell that it is whole.

    `about` is the maker's own record (function, version, image digest, restore steps, durations in ms).
    """

    format: int
    spec: MachineSpec
    engine: str
    memory_digest: str
    state_digest: str
    disk_bytes: int
    about: dict[str, Any] = field(factory=dict)


@frozen
class Loaded:
    """A snapshot that was proved to be whole, and the digest of the image it was made with."""

    snapshot: Snapshot
    image_digest: str


@define
class SnapshotStore:
    """All snapshots under one directory. Methods that read or write memory files do so in a worker thread."""

    directory: Path
    _proven: Proven = field(factory=Proven)

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
        with storing("a snapshot", self.directory):
            data = json.dumps(_converter.unstructure(manifest), indent=1)
            write_whole(made.directory / _MANIFEST, data.encode())
            sync(made.directory)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.remove(
                target
            )  # of a version that failed before its row was written, or is made again
            made.directory.rename(target)
            try:
                sync(target.parent)
            except OSError:
                self.remove(target)
                raise
        self._proven.add(target)
        return Snapshot(directory=target, spec=made.spec, engine=made.engine)

    def manifest(self, path: Path) -> Manifest:
        """Read a snapshot's manifest. Raises `SnapshotError`."""
        try:
            with reading_ours():
                data = json.loads((path / _MANIFEST).read_text())
                manifest = _converter.structure(data, Manifest)
        except FileNotFoundError:
            raise SnapshotError(f"there is no snapshot in {path}") from None
        except (OSError, Damaged) as error:
            raise SnapshotError(f"the manifest in {path} cannot be read: {error}") from error
        if manifest.format != _FORMAT:
            raise SnapshotError(
                f"the snapshot in {path} has format {manifest.format}, this daemon writes {_FORMAT}"
            )
        return manifest

    async def load(self, path: Path, *, code_disk: str = "") -> Loaded:
        """A snapshot ready to be restored; its digests are checked the first time, and once it was doubted.

        `code_disk` is the digest of the code disk that its clones will have: the guest remembers parts of the one it was
        snapshotted with, so it has to be the same. Raises `SnapshotError`.
        """
        manifest = self.manifest(path)
        snapshot = Snapshot(directory=path, spec=manifest.spec, engine=manifest.engine)
        await self._proven.prove(path, lambda: _prove(snapshot, manifest))
        if manifest.about.get("code_disk", code_disk) != code_disk:
            raise SnapshotError(f"the snapshot in {path} was taken with another code disk")
        return Loaded(snapshot, str(manifest.about.get("image", "")))

    def find(self, path: Path) -> Snapshot:
        """A snapshot as its manifest says, its content not proved. Raises `SnapshotError`."""
        manifest = self.manifest(path)
        return Snapshot(directory=path, spec=manifest.spec, engine=manifest.engine)

    def exists(self, path: Path) -> bool:
        """Whether a complete snapshot is at this path."""
        return (path / _MANIFEST).exists()

    def doubt(self, path: Path) -> None:
        """A machine of this snapshot failed: its digests are checked again before it is next used."""
        self._proven.forget(path)

    def remove(self, path: Path) -> None:
        """Remove a snapshot: renamed away first, so that it is whole or gone. Running clones keep their files.

        If the file system refuses, that is logged: nothing uses the snapshot any more, and the next start removes it.
        """
        self._proven.forget(path)
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

    def remove_function(self, function_name: str) -> None:
        """Remove the directory of a function that has no snapshot left."""
        with suppress(OSError):
            (self.directory / "functions" / function_name).rmdir()

    def remove_empty_functions(self) -> None:
        """Remove what is left of every function without snapshots: of a daemon that died while it deleted one."""
        for path in (self.directory / "functions").glob("*"):
            self.remove_function(path.name)

    def bases(self) -> list[Path]:
        """Every base snapshot on disk."""
        return sorted((self.directory / "base").glob("*"))

    def set_aside(self, path: Path) -> Path:
        """Move an unknown version's snapshot to a directory where nothing uses or removes it. Raises `OSError`."""
        aside = (
            self.directory / "unknown" / f"{path.parent.name}-{path.name}-{secrets.token_hex(4)}"
        )
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside)
        return aside


def _prove(snapshot: Snapshot, manifest: Manifest) -> None:
    expected = {snapshot.memory: manifest.memory_digest, snapshot.state: manifest.state_digest}
    for path, digest in expected.items():
        try:
            damaged = digest_sparse(path) != digest
        except OSError as error:
            raise SnapshotError(f"{path} cannot be read: {error.strerror or error}") from error
        if damaged:
            raise SnapshotError(f"{path} is not what was written")

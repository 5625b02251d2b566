"""Functions' code: a zip comes in, is checked, and becomes one read-only disk image that every machine of it mounts.

Content-addressed by the zip's SHA-256: `<hex>.zip`, `<hex>.disk` and `<hex>.digest`. The disk holds `task/` (/var/task).
A zip cannot be made again; it is proved by its name. A disk can: at its first use after a start it is compared with the
digest that was written with it, and made again from the zip if it is missing or differs.

Code comes whole (`add`: what fits into a request of Lambda's API) or in pieces (`receive`). What was received waits as
`.upload-<hex>` until a function takes it (`adopt`), for an hour, and no longer than this daemon lives.

Packages that the catalog never had lie in `unknown/`: nothing uses or removes them there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
import trio
from attrs import define, field, frozen

from thawd.code.disk import make_disk
from thawd.code.unpack import inspect, unpack
from thawd.errors import BundleError, StorageError, storing
from thawd.files import Proven, digest_sparse, remove_tree, sync, write_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_T = TypeVar("_T")

_log = structlog.get_logger()

_NEW: Final = ".new-"
_UPLOAD: Final = ".upload-"
_UNKNOWN: Final = "unknown"
_KINDS: Final = (".zip", ".disk", ".digest")
_WRITE: Final = 1 << 20
"""Bytes of an upload that are held until they are written."""
UPLOAD_KEPT_S: Final = 3600.0
_MOST_UPLOADS: Final = 16
"""Uploads that wait for their function. For one more the oldest is removed."""


@frozen(kw_only=True)
class Bundle:
    """A stored deployment package. Sizes in bytes."""

    sha256_hex: str
    zip_size: int
    zip: Path
    disk: Path

    @property
    def code_sha256_base64(self) -> str:
        """The digest as Lambda shows it (`CodeSha256`)."""
        return base64.b64encode(bytes.fromhex(self.sha256_hex)).decode()


@frozen
class Upload:
    """A zip that was received, and that a function may take. `size` in bytes."""

    code_sha256_base64: str
    size: int


@frozen
class Disk:
    """A code disk that was proved to be what was written. `digest` is of its content (`files.digest_sparse`)."""

    path: Path
    digest: str


@define
class BundleStore:
    """All deployment packages under one directory. Two at a time are unpacked, in worker threads."""

    directory: Path
    _working: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(2))
    _adopting: trio.Lock = field(factory=trio.Lock)
    _tidying: bool = False
    _leftovers: list[Path] = field(factory=list)
    _left: trio.Event = field(factory=trio.Event)
    _proven: Proven = field(factory=Proven)

    def prepare(self) -> None:
        """Make the directory; remove what an earlier daemon left half unpacked. Raises `OSError`."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for kind in (_NEW, _UPLOAD):
            for leftover in self.directory.glob(kind + "*"):
                remove_tree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    async def tidy(self) -> None:
        """Remove for ever what unpacking leaves behind, while nobody waits for it; what is left at the end, then.

        Files that were just written are on their way to the disk: to remove thousands of them took 12 s on a busy one,
        three times as long as all the rest.
        """
        self._tidying = True
        try:
            while True:
                self._left = trio.Event()
                while self._leftovers:
                    with trio.CancelScope(shield=True):  # what is taken off the list is removed
                        await trio.to_thread.run_sync(remove_tree, self._leftovers.pop())
                await self._left.wait()
        finally:
            self._tidying = False
            for work in self._leftovers:
                remove_tree(work)

    async def add(self, data: bytes, /) -> Bundle:
        """Check and store a zip. Adding one that is there already costs its digest only.

        Raises `BundleError` for the zip, `StorageError` for the disk.
        """
        bundle = await self._in_thread(self._add, data)
        self._proven.add(bundle.disk)
        return bundle

    async def receive(self, pieces: AsyncIterator[bytes]) -> Upload:
        """Write a zip to disk as it comes, whatever its size; `adopt` makes it a function's code.

        At most `_WRITE` bytes of it and a piece are in memory. Raises `BundleError` for what the list of its entries
        tells to be unusable, `StorageError` for the disk, and what `pieces` raises; nothing of it is left then.
        """
        with storing("the code", self.directory):
            descriptor, name = tempfile.mkstemp(prefix=_NEW, dir=self.directory)
            path = Path(name)
            try:
                with os.fdopen(descriptor, "w+b") as file:
                    digest = hashlib.sha256()
                    held = bytearray()

                    def write() -> None:
                        digest.update(held)
                        file.write(held)
                        held.clear()

                    async for piece in pieces:
                        held += piece
                        if len(held) >= _WRITE:
                            await trio.to_thread.run_sync(write)
                    await trio.to_thread.run_sync(write)
                    size = file.tell()
                    await trio.to_thread.run_sync(inspect, file, limiter=self._working)
                bundle = self._bundle(digest.hexdigest())
                path.rename(self._upload(bundle))
                self.drop_uploads()
            finally:
                path.unlink(missing_ok=True)
        return Upload(bundle.code_sha256_base64, size)

    async def adopt(self, code_sha256: str) -> Bundle:
        """The package that was received with this digest, base64 as in `CodeSha256`, or is here for another function.

        Raises `BundleError` when there is none or it is bad, `StorageError`.
        """
        bundle = self._bundle(_hexadecimal(code_sha256))
        async with self._adopting:
            bundle = await self._in_thread(self._adopt, bundle)
        self._proven.add(bundle.disk)
        return bundle

    def drop_uploads(self) -> None:
        """Remove what was received an hour ago and that no function has taken, and what is too much of it."""
        oldest = time.time() - UPLOAD_KEPT_S
        uploads = sorted(
            self.directory.glob(_UPLOAD + "*"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        for number, path in enumerate(uploads):
            if number >= _MOST_UPLOADS or path.stat().st_mtime < oldest:
                _log.info("code.upload_dropped", path=str(path))
                path.unlink(missing_ok=True)

    def find_zip(self, code_sha256: str) -> Path:
        """The zip with this digest, base64 as in `CodeSha256`. Raises `StorageError`."""
        path = self._bundle(_hexadecimal(code_sha256)).zip
        if not path.exists():
            raise _gone()
        return path

    async def ready_disk(self, code_sha256: str) -> Disk:
        """The disk of the zip with this digest, proved or made again. Raises `StorageError`."""
        bundle = self._bundle(_hexadecimal(code_sha256))
        if not bundle.disk.exists():
            self._proven.forget(bundle.disk)
        await self._proven.prove(bundle.disk, lambda: self._prove(bundle))
        if self._leftovers:
            self._left.set()
        try:
            return Disk(bundle.disk, bundle.disk.with_suffix(".digest").read_text())
        except OSError as error:
            self._proven.forget(bundle.disk)
            raise StorageError(f"{error.filename} cannot be read: {error.strerror}") from error

    def digests(self) -> set[str]:
        """The digest of every zip here, base64 as in `CodeSha256`."""
        found = {path.stem for path in self.directory.glob("[!.]*.*") if path.suffix in _KINDS}
        return {self._bundle(stem).code_sha256_base64 for stem in found if _is_digest(stem)}

    def remove(self, code_sha256: str) -> None:
        """Remove a package, the zip last: from a zip alone the rest can be made again. Raises `OSError`."""
        bundle = self._bundle(_hexadecimal(code_sha256))
        self._proven.forget(bundle.disk)
        for kind in reversed(_KINDS):
            bundle.zip.with_suffix(kind).unlink(missing_ok=True)

    @property
    def unknown(self) -> Path:
        """Where packages are that were set aside."""
        return self.directory / _UNKNOWN

    def set_aside(self, code_sha256: str) -> None:
        """Move a package that nobody knows to where nothing uses or removes it. Raises `OSError`."""
        self.unknown.mkdir(mode=0o700, exist_ok=True)
        self._proven.forget(self._bundle(_hexadecimal(code_sha256)).disk)
        self._move(code_sha256, self.directory, self.unknown)

    def take_back(self, code_sha256: str) -> bool:
        """Move a package back that was set aside; False when it was not. Raises `OSError`."""
        return self._move(code_sha256, self.unknown, self.directory)

    def _move(self, code_sha256: str, source: Path, target: Path) -> bool:
        files = [source / (_hexadecimal(code_sha256) + kind) for kind in _KINDS]
        found = [file for file in files if file.exists()]
        for file in found:
            file.rename(target / file.name)
        return bool(found)

    def _bundle(self, hexadecimal: str) -> Bundle:
        zip_path = self.directory / f"{hexadecimal}.zip"
        return Bundle(
            sha256_hex=hexadecimal,
            zip_size=zip_path.stat().st_size if zip_path.exists() else 0,
            zip=zip_path,
            disk=self.directory / f"{hexadecimal}.disk",
        )

    def _upload(self, bundle: Bundle) -> Path:
        return self.directory / f"{_UPLOAD}{bundle.sha256_hex}"

    def _fault(self, bundle: Bundle) -> str:
        """Why a disk cannot be used; empty when it is what was written."""
        try:
            written = bundle.disk.with_suffix(".digest").read_text()
            return "" if digest_sparse(bundle.disk) == written else "it is not what was written"
        except OSError as error:
            return f"{error.filename} cannot be read: {error.strerror}"

    def _prove(self, bundle: Bundle) -> None:
        """Compare a disk with its digest, and make it again if they differ."""
        reason = self._fault(bundle)
        if not reason:
            return
        _log.warning("code.disk_made_again", disk=str(bundle.disk), reason=reason)
        try:
            with bundle.zip.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            raise _gone() from None
        if digest != bundle.sha256_hex:
            raise StorageError(
                "the function's code is damaged on disk", hint="Update the function's code again"
            )
        self._make(bundle.zip, bundle)

    def _add(self, data: bytes) -> Bundle:
        bundle = self._bundle(hashlib.sha256(data).hexdigest())
        with storing("the function's code", self.directory):
            descriptor, name = tempfile.mkstemp(prefix=_NEW, dir=self.directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                return self._take(Path(name), bundle)
            finally:
                Path(name).unlink(missing_ok=True)

    def _adopt(self, bundle: Bundle) -> Bundle:
        upload = self._upload(bundle)
        if upload.exists():
            return self._take(upload, bundle)
        if not bundle.zip.exists():
            raise BundleError(
                f"No code with the CodeSha256 {bundle.code_sha256_base64} is here",
                hint=f"Upload it first, at most {UPLOAD_KEPT_S / 60:g} minutes before: POST /thaw/v1/code",
            )
        self._prove(bundle)
        return bundle

    def _take(self, zip_file: Path, bundle: Bundle) -> Bundle:
        """Make the zip of a bundle, in our directory, its code; nothing is to be done where that is there and whole."""
        whole = bundle.zip.exists() and not self._fault(bundle)
        if not whole:
            self._make(zip_file, bundle)
        zip_file.unlink(missing_ok=True)
        return self._bundle(bundle.sha256_hex)

    def _make(self, zip_file: Path, bundle: Bundle) -> None:
        """Make disk and digest of a zip, and put the zip beside them.

        The disk is put there last: a package is there when its disk is.
        """
        with storing("the function's code", self.directory):
            work = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.directory))
            try:
                tree = work / "tree"
                for folder in (tree, tree / "task"):
                    folder.mkdir()
                    folder.chmod(0o755)  # whatever the umask is: the function's user must get in
                with zip_file.open("rb") as source:
                    unpack(source, tree / "task")
                disk = work / "disk"
                make_disk(tree, disk, bundle.sha256_hex)
                disk.chmod(0o400)
                sync(disk)
                digest = digest_sparse(disk)
                if zip_file != bundle.zip:
                    # Its bytes are those of the name, also where a file of that name had been damaged.
                    zip_file.chmod(0o400)
                    sync(zip_file)
                    zip_file.rename(bundle.zip)
                write_whole(bundle.disk.with_suffix(".digest"), digest.encode())
                disk.rename(bundle.disk)
                sync(self.directory)
            finally:
                self._remove_later(work)

    def _remove_later(self, work: Path) -> None:
        """Leave a folder to `tidy`; remove it here where that does not run. Called in a thread."""
        if self._tidying:
            self._leftovers.append(work)
        else:
            remove_tree(work)

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run what unpacks in a worker thread, two at a time; `tidy` hears of what it left behind."""
        try:
            return await trio.to_thread.run_sync(work, *arguments, limiter=self._working)
        finally:
            if self._leftovers:
                self._left.set()


def _gone() -> StorageError:
    return StorageError(
        "the function's code is gone from disk", hint="Update the function's code again"
    )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)


def _hexadecimal(code_sha256: str) -> str:
    try:
        hexadecimal = base64.b64decode(code_sha256, validate=True).hex()
    except ValueError:
        hexadecimal = ""
    if not _is_digest(hexadecimal):
        raise BundleError(f"{code_sha256!r} is not a digest")
    return hexadecimal

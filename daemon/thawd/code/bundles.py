"""Functions' code: a zip comes in, is checked, and becomes one read-only disk image that every machine of it mounts.

Content-addressed by the zip's SHA-256: `<hex>.zip`, `<hex>.disk` and `<hex>.digest`. The disk holds `task/` (/var/task).
A zip cannot be made again; it is proved by its name. A disk can: at its first use after a start it is compared with the
digest that was written with it, and made again from the zip if it is missing or differs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from pathlib import Path
from typing import Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.code.disk import make_disk
from thawd.code.unpack import TOO_LARGE_ZIPPED, ZIPPED_LIMIT, unpack
from thawd.errors import BundleError, StorageError, storing
from thawd.files import Proven, digest_sparse, remove_tree, sync, write_whole

_log = structlog.get_logger()

_NEW: Final = ".new-"
_KINDS: Final = (".zip", ".disk", ".digest")


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
class Disk:
    """A code disk that was proved to be what was written. `digest` is of its content (`files.digest_sparse`)."""

    path: Path
    digest: str


@define
class BundleStore:
    """All deployment packages under one directory. Two at a time are unpacked, in worker threads."""

    directory: Path
    _working: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(2))
    _proven: Proven = field(factory=Proven)

    def prepare(self) -> None:
        """Make the directory; remove what an earlier daemon left half unpacked. Raises `OSError`."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self.directory.glob(_NEW + "*"):
            remove_tree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    async def add(self, data: bytes, /) -> Bundle:
        """Check and store a zip. Adding one that is there already costs its digest only.

        Raises `BundleError` for the zip, `StorageError` for the disk.
        """
        if len(data) > ZIPPED_LIMIT:
            raise BundleError(TOO_LARGE_ZIPPED)
        bundle = await trio.to_thread.run_sync(self._add, data, limiter=self._working)
        self._proven.add(bundle.disk)
        return bundle

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

    def _bundle(self, hexadecimal: str) -> Bundle:
        zip_path = self.directory / f"{hexadecimal}.zip"
        return Bundle(
            sha256_hex=hexadecimal,
            zip_size=zip_path.stat().st_size if zip_path.exists() else 0,
            zip=zip_path,
            disk=self.directory / f"{hexadecimal}.disk",
        )

    def _prove(self, bundle: Bundle) -> None:
        """Compare a disk with its digest, and make it again if they differ."""
        try:
            written = bundle.disk.with_suffix(".digest").read_text()
            if digest_sparse(bundle.disk) == written:
                return
            reason = "it is not what was written"
        except OSError as error:
            reason = f"{error.filename} cannot be read: {error.strerror}"
        _log.warning("code.disk_made_again", disk=str(bundle.disk), reason=reason)
        try:
            data = bundle.zip.read_bytes()
        except OSError:
            raise _gone() from None
        if hashlib.sha256(data).hexdigest() != bundle.sha256_hex:
            raise StorageError(
                "the function's code is damaged on disk", hint="Update the function's code again"
            )
        self._unpack(data, bundle)

    def _add(self, data: bytes) -> Bundle:
        bundle = self._bundle(hashlib.sha256(data).hexdigest())
        if all(bundle.zip.with_suffix(kind).exists() for kind in _KINDS):
            self._prove(bundle)
        else:
            self._unpack(data, bundle)
        return self._bundle(bundle.sha256_hex)

    def _unpack(self, data: bytes, bundle: Bundle) -> None:
        """Write zip, digest and disk of a package, the disk last: a package is there when its disk is."""
        with storing("the function's code", self.directory):
            work = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.directory))
            try:
                tree = work / "tree"
                for folder in (tree, tree / "task"):
                    folder.mkdir()
                    folder.chmod(0o755)  # whatever the umask is: the function's user must get in
                unpack(io.BytesIO(data), tree / "task")
                disk = work / "disk"
                make_disk(tree, disk, bundle.sha256_hex)
                disk.chmod(0o400)
                sync(disk)
                # Of its own bytes, which are those of the name, also where the file had been damaged.
                write_whole(bundle.zip, data, mode=0o400)
                write_whole(bundle.disk.with_suffix(".digest"), digest_sparse(disk).encode())
                disk.rename(bundle.disk)
                sync(self.directory)
            finally:
                remove_tree(work)


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

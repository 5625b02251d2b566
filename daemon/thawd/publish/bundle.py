"""Functions' code: a zip comes in, is checked, and becomes one read-only disk image that every machine of it mounts.

Content-addressed by the zip's SHA-256: `<hex>.zip` and `<hex>.disk`. The disk holds `task/` (/var/task) and is padded,
sparse, to the one size all code disks have.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Final

import trio
from attrs import define, field, frozen

from thawd.engines.machine import CODE_DISK_BYTES
from thawd.errors import BundleError, StorageError, storing
from thawd.publish.archive import TOO_LARGE_ZIPPED, ZIPPED_LIMIT, unpack
from thawd.snapshots.store import remove_tree

_UNPACKED: Final = ".new-"


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


@define
class BundleStore:
    """All deployment packages under one directory. Two at a time are unpacked, in worker threads."""

    directory: Path
    _working: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(2))

    def prepare(self) -> None:
        """Make the directory; remove what an earlier daemon was unpacking when it died."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self.directory.glob(_UNPACKED + "*"):
            remove_tree(leftover)

    async def add(self, data: bytes, /) -> Bundle:
        """Check and store a zip. Adding one that is there already costs its digest only.

        Raises `BundleError` for the zip, `StorageError` for the disk.
        """
        if len(data) > ZIPPED_LIMIT:
            raise BundleError(TOO_LARGE_ZIPPED)
        with storing("the function's code", self.directory):
            return await trio.to_thread.run_sync(self._add, data, limiter=self._working)

    def find(self, code_sha256: str) -> Bundle:
        """The package with this digest, base64 as in `CodeSha256`. Raises `BundleError`."""
        try:
            hexadecimal = base64.b64decode(code_sha256, validate=True).hex()
        except ValueError:
            raise BundleError(f"{code_sha256!r} is not a digest") from None
        bundle = self._bundle(hexadecimal)
        if not (bundle.disk.exists() and bundle.zip.exists()):
            raise BundleError(
                "the function's code is gone from disk", hint="Update the function's code again"
            )
        return bundle

    def keep_only(self, wanted: set[str]) -> list[str]:
        """Remove every package whose digest (base64) is not wanted; returns the removed, in hex."""
        keep = {base64.b64decode(digest).hex() for digest in wanted}
        removed = {path.stem for path in self.directory.glob("[!.]*.*")} - keep
        for stem in removed:
            (self.directory / f"{stem}.disk").unlink(missing_ok=True)
            (self.directory / f"{stem}.zip").unlink(missing_ok=True)
        return sorted(removed)

    def _bundle(self, hexadecimal: str) -> Bundle:
        zip_path = self.directory / f"{hexadecimal}.zip"
        return Bundle(
            sha256_hex=hexadecimal,
            zip_size=zip_path.stat().st_size if zip_path.exists() else 0,
            zip=zip_path,
            disk=self.directory / f"{hexadecimal}.disk",
        )

    def _add(self, data: bytes) -> Bundle:
        bundle = self._bundle(hashlib.sha256(data).hexdigest())
        if bundle.disk.exists() and bundle.zip.exists():
            return bundle
        work = Path(tempfile.mkdtemp(prefix=_UNPACKED, dir=self.directory))
        try:
            tree = work / "tree"
            for folder in (tree, tree / "task"):
                folder.mkdir()
                folder.chmod(0o755)  # whatever the umask is: the function's user must get in
            unpack(io.BytesIO(data), tree / "task")
            disk, stored = work / "disk", work / "zip"
            _make_disk(tree, disk, bundle.sha256_hex)
            stored.write_bytes(data)
            # The disk last: a package is there when its disk is.
            for new, place in ((stored, bundle.zip), (disk, bundle.disk)):
                _sync(new)
                new.chmod(0o400)
                new.rename(place)
            _sync(self.directory)
        finally:
            remove_tree(work)
        return self._bundle(bundle.sha256_hex)


def _make_disk(tree: Path, disk: Path, digest: str) -> None:
    """The tree as an erofs image: everything root's, no times, an identifier of its content; same zip, same bytes."""
    identifier = str(uuid.UUID(digest[:32]))
    try:
        subprocess.run(
            ["mkfs.erofs", "-x-1", "--all-root", "-T0", f"-U{identifier}", disk, tree],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise BundleError(
            "mkfs.erofs is not installed", hint="apt-get install erofs-utils"
        ) from None
    except subprocess.CalledProcessError as error:
        # The tree was checked: what stops mkfs.erofs is its own surroundings.
        raise StorageError(
            f"the code disk cannot be made: {error.stderr.strip()[-500:]}",
            hint=f"Is there room on the file system of {disk.parent.parent}? Then try again",
        ) from error
    size = disk.stat().st_size
    if size > CODE_DISK_BYTES:
        raise BundleError(f"the code takes {size} bytes on disk, more than {CODE_DISK_BYTES}")
    os.truncate(disk, CODE_DISK_BYTES)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

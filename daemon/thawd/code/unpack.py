"""Zip files from anywhere: checked before and while they are unpacked.

Nothing in the archive's headers is believed: sizes are counted on the bytes that come out, names are taken apart, and
an entry that is neither a file, a folder nor a link that stays inside is refused. Size limits and messages are Lambda's.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Final

from attrs import define, field

from thawd.errors import BundleError

ZIPPED_LIMIT: Final = 52_428_800
"""Bytes of a zip in a request (Lambda quotas: 50 MB)."""
UNZIPPED_LIMIT: Final = 262_144_000
"""Bytes of everything unpacked (Lambda quotas: 250 MB)."""
_NODES_LIMIT: Final = 100_000
"""Files, folders and links. Each costs an inode and at least a block of the code disk, whatever its size."""
_DEPTH_LIMIT: Final = 100
"""Folders in folders. Removing the tree recurses (`shutil.rmtree`), and Python allows 1000 calls."""
_PATH_LIMIT: Final = 2048
"""Bytes of a path below the function's folder: half of what Linux takes (PATH_MAX)."""
_NAME_LIMIT: Final = 255
_LINK_LIMIT: Final = 2048
_CHUNK: Final = 1 << 16
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENTRY_SIGNATURE: Final = b"PK\x01\x02"
_HEADER_BYTES: Final = 30
_UNIX: Final = 3
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800

NOT_A_ZIP: Final = (
    "Could not unzip uploaded file. Please check your file, then try to upload again."
)
TOO_LARGE_UNZIPPED: Final = f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"
TOO_LARGE_ZIPPED: Final = f"Zipped size must be smaller than {ZIPPED_LIMIT} bytes"


def unpack(source: IO[bytes], target: Path, *, limit: int = UNZIPPED_LIMIT) -> int:
    """Unpack a zip into the empty directory `target`; returns the bytes unpacked. Raises `BundleError`.

    Files become 0644, or 0755 where the archive makes them executable. After an error `target` holds
    what was unpacked until then.
    """
    _refuse_too_many(source)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _refuse_overlaps(entries)
            if sum(entry.file_size for entry in entries) > limit:
                raise BundleError(TOO_LARGE_UNZIPPED)
            tree = _Tree(archive, target, limit)
            for entry in entries:
                tree.add(entry)
            tree.make_links()
            return tree.written
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise BundleError(NOT_A_ZIP, hint=f"The zip says: {error}") from error


@define
class _Tree:
    """The entries unpacked so far. Names are relative to `target`, which has no other writer."""

    archive: zipfile.ZipFile
    target: Path
    limit: int
    written: int = 0
    _folders: set[PurePosixPath] = field(factory=set)
    _files: set[PurePosixPath] = field(factory=set)
    _links: dict[PurePosixPath, str] = field(factory=dict)

    def add(self, entry: zipfile.ZipInfo) -> None:
        """Unpack one entry; a link is only noted."""
        name = _name(entry)
        if entry.flag_bits & _ENCRYPTED:
            raise BundleError(
                f"{entry.filename!r} is encrypted", hint="Lambda cannot unpack encrypted zips"
            )
        if entry.compress_type not in _METHODS:
            raise BundleError(
                f"{entry.filename!r} is compressed by method {entry.compress_type}",
                hint="Use deflate",
            )
        if entry.is_dir():
            self._make_folder(name)
            return
        self._make_folder(name.parent)
        if name in self._files:
            raise BundleError(f"the zip holds {entry.filename!r} twice")
        if name in self._folders:
            raise BundleError(f"{entry.filename!r} is both a file and a folder")
        self._files.add(name)
        self._count()
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
        if kind == stat.S_IFLNK:
            self._links[name] = self._link_text(entry)
        elif kind in {0, stat.S_IFREG}:
            self._extract(entry, name)
        else:
            raise BundleError(f"{entry.filename!r} is no file, folder or link")

    def make_links(self) -> None:
        """Make the links, last of all so that no file is ever written through one; each must lead somewhere inside.

        Where one leads is asked of the file system when all are there: links that lead through other links mean
        something else than their text (`a -> .`, `b -> a/a/../..`).
        """
        for name, text in self._links.items():
            self.target.joinpath(name).symlink_to(text)
        inside = Path(os.path.realpath(self.target))
        for name, text in self._links.items():
            leads_to = Path(os.path.realpath(self.target / name))
            if text.startswith("/") or not leads_to.is_relative_to(inside):
                raise BundleError(
                    f"the link '{name}' leads out of the function's folder, to {text!r}"
                )

    def _make_folder(self, name: PurePosixPath) -> None:
        """A folder and those above it, none of them anything else."""
        above = [folder for folder in (name, *name.parents) if folder.parts]
        for folder in reversed(above):
            if folder in self._files:
                raise BundleError(f"'{folder}' is both a file and a folder")
            if folder not in self._folders:
                self._folders.add(folder)
                self._count()
                path = self.target / folder
                path.mkdir()
                path.chmod(0o755)  # whatever the umask is: the function's user must get in

    def _extract(self, entry: zipfile.ZipInfo, name: PurePosixPath) -> None:
        executable = entry.create_system == _UNIX and (entry.external_attr >> 16) & 0o111
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.target / name, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file, self.archive.open(entry) as data:
            while chunk := data.read(_CHUNK):
                self.written += len(chunk)
                if self.written > self.limit:
                    raise BundleError(TOO_LARGE_UNZIPPED)
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)

    def _link_text(self, entry: zipfile.ZipInfo) -> str:
        if entry.file_size > _LINK_LIMIT:
            raise BundleError(f"the link {entry.filename!r} is too long")
        try:
            text = self.archive.read(entry).decode()
        except UnicodeDecodeError:
            text = ""
        if not text or "\0" in text:
            raise BundleError(f"the link {entry.filename!r} does not name a file")
        return text

    def _count(self) -> None:
        if len(self._files) + len(self._folders) > _NODES_LIMIT:
            raise BundleError(f"the zip holds more than {_NODES_LIMIT} files and folders")


def _refuse_too_many(source: IO[bytes]) -> None:
    """Refuse a zip of so many entries that listing them would fill the memory: a million takes 50 MB zipped.

    Their headers' signatures are counted, which says too much where a zip holds other zips uncompressed: as if their
    files were its own.
    """
    count = 0
    tail = b""
    source.seek(0)
    while chunk := source.read(1 << 20):
        data = tail + chunk
        count += data.count(_ENTRY_SIGNATURE)
        tail = data[-len(_ENTRY_SIGNATURE) + 1 :]
        if count > _NODES_LIMIT:
            raise BundleError(f"the zip holds more than {_NODES_LIMIT} files and folders")
    source.seek(0)


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Entries whose data overlap: the trick of zip bombs that unpack one kernel many times (Fifield, 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise BundleError(f"{entry.filename!r} overlaps another entry of the zip")
        encoding = "utf-8" if entry.flag_bits & _UTF8 else "cp437"
        name_length = len(entry.orig_filename.encode(encoding))
        end = entry.header_offset + _HEADER_BYTES + name_length + entry.compress_size


def _name(entry: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's path, if it is one inside the function's folder."""
    text = entry.orig_filename
    # zipfile cuts names at NUL and turns the platform's separator: what it shows is not what was written.
    if "\0" in text or "\\" in text or text.startswith("/") or (len(text) > 1 and text[1] == ":"):
        raise BundleError(f"the zip holds an entry with an unsafe name: {text[:200]!r}")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if not parts and not text.endswith("/"):
        raise BundleError(f"the zip holds an entry without a name: {text[:200]!r}")
    if ".." in parts or any(len(part.encode()) > _NAME_LIMIT for part in parts):
        raise BundleError(f"the zip holds an entry with an unsafe name: {text[:200]!r}")
    if len(parts) > _DEPTH_LIMIT or len(text.encode()) > _PATH_LIMIT:
        raise BundleError(f"the zip holds an entry in too many folders: {text[:200]!r}")
    return PurePosixPath(*parts)

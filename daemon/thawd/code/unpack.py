"""Zip files from anywhere: checked before and while they are unpacked.

Nothing in the archive's headers is believed: sizes are counted on the bytes that come out, names are taken apart, and
an entry that is neither a file, a folder nor a link that stays inside is refused. Size limits and messages are Lambda's.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from attrs import define, field

from thawd.errors import BundleError, PackageRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
_CHUNK: Final = 1 << 20
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
_LARGEST: Final = 3
"""Members of a package that is too large, named to whoever has to make it smaller."""


def refuse_too_large(sizes: Iterable[tuple[str, int]], *, limit: int = UNZIPPED_LIMIT) -> None:
    """Raise `PackageRefused` when files of these paths and sizes in bytes are more than Lambda takes."""
    total = 0
    tops: dict[str, int] = {}
    for path, size in sizes:
        total += size
        top = path.partition("/")[0]
        tops[top] = tops.get(top, 0) + size
    if total > limit:
        largest = sorted(tops.items(), key=lambda item: -item[1])[:_LARGEST]
        named = ", ".join(
            f"{top[:100]} ({_mb(size)})" for top, size in largest if size * 100 >= total
        )
        raise PackageRefused(
            TOO_LARGE_UNZIPPED, hint=f"It is {total} bytes ({_mb(total)}). The largest: {named}"
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def inspect(source: IO[bytes]) -> None:
    """Refuse what the list of a zip's entries already tells to be unusable. Raises `BundleError`."""
    with _as_refusals(), _open(source, UNZIPPED_LIMIT):
        pass


def unpack(source: IO[bytes], target: Path, *, limit: int = UNZIPPED_LIMIT) -> int:
    """Unpack a zip into the empty directory `target`; returns the bytes unpacked. Raises `BundleError`.

    Files become 0644, or 0755 where the archive makes them executable. After an error `target` holds
    what was unpacked until then.
    """
    with _as_refusals(), _open(source, limit) as archive:
        tree = _Tree(archive, str(target), limit)
        for entry in archive.infolist():
            tree.add(entry)
        tree.make_links()
        return tree.written


def _open(source: IO[bytes], limit: int) -> zipfile.ZipFile:
    _refuse_too_many(source)
    archive = zipfile.ZipFile(source)
    entries = archive.infolist()
    _refuse_overlaps(entries)
    refuse_too_large(((entry.filename, entry.file_size) for entry in entries), limit=limit)
    return archive


@contextmanager
def _as_refusals() -> Iterator[None]:
    """Turn what the libraries say of a broken zip into Lambda's refusal."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise PackageRefused(NOT_A_ZIP, hint=f"The zip says: {error}") from error


@define
class _Tree:
    """The entries unpacked so far. Names are relative to `target`, which is empty at first and has no other writer.

    Plain strings: a package of five thousand files took longer in `pathlib` than in reading its zip.
    """

    archive: zipfile.ZipFile
    target: str
    limit: int
    written: int = 0
    _folders: set[str] = field(factory=set)
    _files: set[str] = field(factory=set)
    _links: dict[str, str] = field(factory=dict)

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
        self._make_folder(name.rpartition("/")[0])
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
        target = Path(self.target)
        for name, text in self._links.items():
            (target / name).symlink_to(text)
        inside = Path(os.path.realpath(target))
        for name, text in self._links.items():
            leads_to = Path(os.path.realpath(target / name))
            if text.startswith("/") or not leads_to.is_relative_to(inside):
                raise BundleError(
                    f"the link '{name}' leads out of the function's folder, to {text!r}"
                )

    def _make_folder(self, name: str) -> None:
        """A folder and those above it, none of them anything else."""
        missing = []
        while name and name not in self._folders:
            missing.append(name)
            name = name.rpartition("/")[0]
        for folder in reversed(missing):
            if folder in self._files:
                raise BundleError(f"'{folder}' is both a file and a folder")
            self._folders.add(folder)
            self._count()
            path = f"{self.target}/{folder}"
            os.mkdir(path)  # noqa: PTH102
            os.chmod(path, 0o755)  # noqa: PTH101, S103 - whatever the umask is: the function's user must get in

    def _extract(self, entry: zipfile.ZipInfo, name: str) -> None:
        executable = entry.create_system == _UNIX and (entry.external_attr >> 16) & 0o111
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self.target}/{name}", flags, 0o600)
        with os.fdopen(descriptor, "wb") as file, self.archive.open(entry) as data:
            while chunk := data.read(_CHUNK):
                self.written += len(chunk)
                if self.written > self.limit:
                    raise PackageRefused(
                        TOO_LARGE_UNZIPPED, hint="It says that it is smaller than it is"
                    )
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


def _name(entry: zipfile.ZipInfo) -> str:
    """The entry's path, if it is one inside the function's folder; empty for the folder itself."""
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
    return "/".join(parts)

"""Zip files from strangers: checked before and while they are unpacked.

Nothing in the archive's headers is believed: sizes are counted on the bytes that come out, names are taken apart, and
what is neither a file, a folder nor a link that stays inside is refused. Limits and messages are Lambda's.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Final

from thawd.errors import BundleError

ZIPPED_LIMIT: Final = 52_428_800
"""Bytes of a zip in a request (Lambda quotas: 50 MB)."""
UNZIPPED_LIMIT: Final = 262_144_000
"""Bytes of everything unpacked (Lambda quotas: 250 MB)."""
_ENTRIES_LIMIT: Final = 100_000
"""Each entry costs an inode and at least a block of the code disk, whatever its size."""
_NAME_LIMIT: Final = 255
_LINK_LIMIT: Final = 4096
_CHUNK: Final = 1 << 16
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

NOT_A_ZIP: Final = (
    "Could not unzip uploaded file. Please check your file, then try to upload again."
)
TOO_LARGE_UNZIPPED: Final = f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"
TOO_LARGE_ZIPPED: Final = f"Zipped size must be smaller than {ZIPPED_LIMIT} bytes"


def unpack(source: IO[bytes], target: Path, *, limit: int = UNZIPPED_LIMIT) -> int:
    """Unpack a zip into the empty directory `target`; returns the bytes unpacked. Raises `BundleError`.

    Files become 0644, or 0755 where the archive says that somebody may execute them.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return _unpack(archive, target, limit)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise BundleError(NOT_A_ZIP, hint=f"The zip says: {error}") from error


def _unpack(archive: zipfile.ZipFile, target: Path, limit: int) -> int:
    entries = archive.infolist()
    if len(entries) > _ENTRIES_LIMIT:
        raise BundleError(f"the zip has {len(entries)} entries, more than {_ENTRIES_LIMIT}")
    _refuse_overlaps(entries)
    if sum(entry.file_size for entry in entries) > limit:
        raise BundleError(TOO_LARGE_UNZIPPED)
    links: dict[Path, str] = {}
    seen: set[PurePosixPath] = set()
    written = 0
    for entry in entries:
        name = _name(entry)
        if name in seen:
            raise BundleError(f"the zip holds {entry.filename!r} twice")
        if entry.flag_bits & 0x1:
            raise BundleError(
                f"{entry.filename!r} is encrypted", hint="Lambda cannot unpack encrypted zips"
            )
        if entry.compress_type not in _METHODS:
            raise BundleError(
                f"{entry.filename!r} is compressed by method {entry.compress_type}",
                hint="Use deflate",
            )
        path = target.joinpath(*name.parts)
        if entry.is_dir():
            _make_directory(path, target)
            continue
        seen.add(name)
        _make_directory(path.parent, target)
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
        if kind == stat.S_IFLNK:
            links[path] = _link_target(archive, entry)
            continue
        if kind not in {0, stat.S_IFREG}:
            raise BundleError(f"{entry.filename!r} is no file, folder or link")
        if path.is_dir():
            raise BundleError(f"{entry.filename!r} is both a file and a folder")
        written = _extract(archive, entry, path, written, limit)
    for path, link in links.items():
        _make_link(path, link, target)
    return written


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Entries whose data overlap: the trick of zip bombs that unpack one kernel many times (Fifield, 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise BundleError(f"{entry.filename!r} overlaps another entry of the zip")
        end = entry.header_offset + 30 + len(entry.orig_filename.encode()) + entry.compress_size


def _name(entry: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's path, if it is one inside the function's folder."""
    text = entry.orig_filename
    # zipfile cuts names at NUL and turns the platform's separator: what it shows is not what was written.
    if "\0" in text or "\\" in text or text.startswith("/") or (len(text) > 1 and text[1] == ":"):
        raise BundleError(f"the zip holds an entry with an unsafe name: {text!r}")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if not parts and not text.endswith("/"):
        raise BundleError(f"the zip holds an entry without a name: {text!r}")
    if ".." in parts or any(len(part.encode()) > _NAME_LIMIT for part in parts):
        raise BundleError(f"the zip holds an entry with an unsafe name: {text[:200]!r}")
    return PurePosixPath(*parts)


def _make_directory(path: Path, target: Path) -> None:
    """A folder and those above it, none of them anything else."""
    for ancestor in [*reversed(path.parents), path]:
        if ancestor == target or target not in ancestor.parents:
            continue
        if ancestor.is_symlink() or (ancestor.exists() and not ancestor.is_dir()):
            name = ancestor.relative_to(target)
            raise BundleError(f"'{name}' is both a file and a folder")
        if not ancestor.exists():
            ancestor.mkdir()
            ancestor.chmod(0o755)  # whatever the daemon's umask is: the function's user must get in


def _extract(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, written: int, limit: int
) -> int:
    executable = entry.create_system == 3 and (entry.external_attr >> 16) & 0o111
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o755 if executable else 0o644)
    with os.fdopen(descriptor, "wb") as file, archive.open(entry) as data:
        while chunk := data.read(_CHUNK):
            written += len(chunk)
            if written > limit:
                raise BundleError(TOO_LARGE_UNZIPPED)
            file.write(chunk)
        os.fchmod(file.fileno(), 0o755 if executable else 0o644)
    return written


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > _LINK_LIMIT:
        raise BundleError(f"the link {entry.filename!r} is too long")
    try:
        return archive.read(entry).decode()
    except UnicodeDecodeError:
        raise BundleError(f"the link {entry.filename!r} does not name a file") from None


def _make_link(path: Path, link: str, target: Path) -> None:
    """A symbolic link, last of all so that no file is ever written through one; it must lead somewhere inside."""
    name = path.relative_to(target)
    destination = PurePosixPath(*name.parts[:-1], link) if not link.startswith("/") else None
    depth = 0
    for part in destination.parts if destination is not None else ("..",):
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise BundleError(f"the link '{name}' leads out of the function's folder, to {link!r}")
    if "\0" in link or not link or path.exists() or path.is_symlink():
        raise BundleError(f"the link '{name}' cannot be made")
    path.symlink_to(link)

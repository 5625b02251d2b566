"""A function's zip, made from a folder: the same files give the same bytes, so the same CodeSha256."""

from __future__ import annotations

import base64
import os
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thawd.code.unpack import inspect, refuse_too_large
from thawd.errors import BundleError

from .client import UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .client import Client

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest time a zip can hold; a file's own time would change the digest at each checkout."""

_LEVEL: Final = 1
"""Of compression: of 177 MB of packages the default makes 64 MB in 8 s, this one 70 MB in 3 s. They travel over a socket
of this machine."""
_IN_REQUEST: Final = 4 << 20
"""Bytes of a zip that goes with the request itself. Beyond that, base64 in JSON costs more than another request."""

_LEFT_OUT: Final = frozenset(
    {"__pycache__", ".git", ".hg", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}
)
"""Made by tools, not part of a function; compiled files also carry times, and Python compiles again what it imports."""


@contextmanager
def packed(code: Path) -> Iterator[Path]:
    """The zip for `--code`, as a file: a zip file as it is, a folder's content, or a single source file.

    Raises `BundleError` when there is nothing to pack, a link leads out of the folder, the zip is broken, or there is
    more in it than Lambda takes unzipped.
    """
    if code.is_file() and zipfile.is_zipfile(code):
        with code.open("rb") as file:
            inspect(file)
        yield code
        return
    if code.is_dir():
        root, files = code, _files(code)
    elif not code.is_file():
        raise BundleError(f"There is no {code}", hint="Give a folder, a zip file or a source file")
    elif code.suffix == ".zip":
        raise BundleError(f"{code} is not a zip file", hint="Make it again, or give its folder")
    else:
        root, files = code.parent, [code]
    refuse_too_large((path.relative_to(root).as_posix(), path.stat().st_size) for path in files)
    with tempfile.TemporaryDirectory(prefix="thaw-") as folder:
        target = Path(folder) / "code.zip"
        _pack(root, files, target)
        yield target


def bundle(code: Path) -> bytes:
    """The zip of `packed`, in memory. Raises `BundleError`."""
    with packed(code) as path:
        return path.read_bytes()


def sent(client: Client, code: Path) -> dict[str, str]:
    """A zip as CreateFunction and UpdateFunctionCode take it: in the request, or uploaded before where it is large."""
    if code.stat().st_size <= _IN_REQUEST:
        return {"ZipFile": base64.b64encode(code.read_bytes()).decode()}
    return {"S3Bucket": UPLOADS, "S3Key": client.upload_code(code)}


def _files(root: Path) -> list[Path]:
    inside = root.resolve()
    found = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in (*names, *(name for name in folders if (Path(folder) / name).is_symlink())):
            path = Path(folder) / name
            if name.endswith(".pyc"):
                continue
            target = path.resolve()
            if not target.is_relative_to(inside):
                raise BundleError(
                    f"{path} is a link to {target}, outside of the function's folder",
                    hint="Copy the file into the folder",
                )
            if path.is_symlink() and target.is_dir():
                raise BundleError(f"{path} is a link to a folder", hint="Copy the folder")
            if not target.is_file():
                raise BundleError(f"{path} is no regular file", hint="Remove it")
            found.append(path)
    if not found:
        raise BundleError(f"{root} holds no files", hint="Give the folder of your handler")
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _pack(root: Path, files: list[Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), date_time=_EPOCH)
            entry.create_system = 3  # Unix: the mode below counts
            executable = path.stat().st_mode & stat.S_IXUSR
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=_LEVEL)

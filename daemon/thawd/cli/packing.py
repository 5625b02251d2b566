"""A function's zip, made from a folder: the same files give the same bytes, so the same CodeSha256."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path
from typing import Final

from thawd.errors import BundleError

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest time a zip can hold; a file's own time would change the digest at each checkout."""

_LEFT_OUT: Final = frozenset(
    {"__pycache__", ".git", ".hg", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}
)
"""Made by tools, not part of a function; compiled files also carry times. The image compiles them itself."""


def bundle(code: Path) -> bytes:
    """The zip for `--code`: a zip file as it is, a folder's content, or a single source file.

    Raises `BundleError` when there is nothing to pack, or a link leads out of the folder.
    """
    if code.is_dir():
        return _pack(code, _files(code))
    if not code.is_file():
        raise BundleError(f"There is no {code}", hint="Give a folder, a zip file or a source file")
    if zipfile.is_zipfile(code):
        return code.read_bytes()
    if code.suffix == ".zip":
        raise BundleError(f"{code} is not a zip file", hint="Make it again, or give its folder")
    return _pack(code.parent, [code])


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


def _pack(root: Path, files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in files:
            executable = path.stat().st_mode & stat.S_IXUSR
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), date_time=_EPOCH)
            entry.create_system = 3  # Unix: the mode below counts
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()

"""Which files of a folder or zip are the user's own source, and which came from elsewhere."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from thaw_check.errors import CheckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SKIPPED_FOLDERS: Final = frozenset(
    {
        "__pycache__",
        "node_modules",
        "site-packages",
        "dist-packages",
        "build",
        "dist",
        "venv",
        "env",
    }
)
_TEST_FOLDERS: Final = frozenset({"test", "tests", "testing"})
_TOOL_FILES: Final = frozenset({"setup.py", "conftest.py", "noxfile.py", "tasks.py"})
_SOURCE_LIMIT: Final = 10 << 20
"""Bytes. Larger files are data in Python's clothes."""
_RECORD_LIMIT: Final = 64 << 20


@frozen
class SourceFile:
    """One file to read."""

    path: str
    read: Callable[[], bytes]
    """Raises `OSError`."""


@define
class Selection:
    """What is to be checked, and what is not."""

    files: list[SourceFile] = field(factory=list)
    dependencies: set[str] = field(factory=set)
    """Names of packages whose files were left out."""
    tests: int = 0
    large: list[str] = field(factory=list)

    def notes(self) -> tuple[str, ...]:
        """What was left out, in words."""
        notes = []
        if self.dependencies:
            names = sorted(self.dependencies)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            notes.append(f"dependencies not checked: {', '.join(names[:5])}{more}")
        if self.tests:
            notes.append(f"{self.tests} test and tool files not checked")
        notes += [f"{path} is too large to be source" for path in self.large]
        return tuple(notes)


def select(path: Path, *, dependencies: bool = False) -> Selection:
    """The source files at `path`: a file, a folder or a zip.

    Left out are hidden folders, virtual environments, tests, and, unless `dependencies` is true, whatever an installed
    package's RECORD lists: in a Lambda bundle they lie beside the user's own files.

    Raises `CheckError` if there is nothing that can be read.
    """
    try:
        if path.is_dir():
            return _choose(_folder(path), dependencies=dependencies)
        if path.suffix == ".py":
            return Selection([SourceFile(path.name, path.read_bytes)])
        if zipfile.is_zipfile(path):
            return _choose(_archive(path), dependencies=dependencies)
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckError(
            f"{path} cannot be read: {reason}", hint="Name a file, a folder or a zip"
        ) from error
    if head.startswith(b"#!") and b"python" in head:
        return Selection([SourceFile(path.name, path.read_bytes)])
    raise CheckError(
        f"{path} is neither Python source nor a zip", hint="Name a .py file, a folder or a zip"
    )


@frozen
class _Entry:
    path: PurePosixPath
    size: int
    read: Callable[[], bytes]


def _folder(root: Path) -> Iterator[_Entry]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        # A virtual environment is known by its pyvenv.cfg, whatever it is called.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            path = here / name
            if path.suffix == ".py" or name == "RECORD":
                try:
                    size = path.stat().st_size
                except OSError:
                    continue  # a dangling link
                yield _Entry(
                    PurePosixPath(path.relative_to(root).as_posix()), size, path.read_bytes
                )


def _archive(path: Path) -> Iterator[_Entry]:
    def reader(name: str, limit: int) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                with zipfile.ZipFile(path) as archive, archive.open(name) as member:
                    data = member.read(limit + 1)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
                raise OSError(f"{name} in the zip: {error}") from error
            if len(data) > limit:
                raise OSError(f"{name} in the zip is larger than its header says")
            return data

        return read

    with zipfile.ZipFile(path) as archive:
        for entry in sorted(archive.infolist(), key=lambda each: each.filename):
            name = PurePosixPath(entry.filename)
            if not entry.is_dir() and (name.suffix == ".py" or name.name == "RECORD"):
                yield _Entry(name, entry.file_size, reader(entry.filename, max(entry.file_size, 1)))


def _choose(entries: Iterator[_Entry], *, dependencies: bool) -> Selection:
    found = list(entries)
    owners = {} if dependencies else _recorded(found)
    selection = Selection()
    for entry in found:
        path = entry.path
        if path.suffix != ".py":
            continue
        folders = set(path.parts[:-1])
        owner = owners.get(str(path))
        if owner is not None:
            selection.dependencies.add(owner)
        elif not dependencies and folders & {"site-packages", "dist-packages"}:
            position = next(
                i for i, part in enumerate(path.parts) if part in {"site-packages", "dist-packages"}
            )
            selection.dependencies.add(path.parts[position + 1].removesuffix(".py"))
        elif folders & (_SKIPPED_FOLDERS - {"site-packages", "dist-packages"}) or any(
            part.startswith(".") for part in path.parts
        ):
            continue
        elif folders & _TEST_FOLDERS or path.parts[0] == "docs" or _is_tool(path.name):
            selection.tests += 1
        elif entry.size > _SOURCE_LIMIT:
            selection.large.append(str(path))
        else:
            selection.files.append(SourceFile(str(path), entry.read))
    return selection


def _is_tool(name: str) -> bool:
    return name in _TOOL_FILES or name.startswith("test_") or name.endswith("_test.py")


def _recorded(entries: list[_Entry]) -> dict[str, str]:
    """Files that installed packages list as theirs (packaging.python.org, "Recording installed projects")."""
    owners = {}
    for entry in entries:
        info = entry.path.parent
        if (
            entry.path.name != "RECORD"
            or not info.name.endswith(".dist-info")
            or entry.size > _RECORD_LIMIT
        ):
            continue
        package = info.name.partition("-")[0]
        try:
            text = entry.read().decode(errors="replace")
        except OSError:
            continue
        for row in csv.reader(io.StringIO(text)):
            if row and row[0].endswith(".py"):
                owners[str(info.parent / row[0])] = package
    return owners

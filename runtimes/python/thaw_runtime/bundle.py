"""The function's code: which modules were written for it, and which were installed beside it.

`pip install --target .` puts libraries into the same folder. They are known by their RECORD, the list of files that
every installer writes (packaging.python.org, "Recording installed projects"), as `thaw check` knows them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from thaw_runtime import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

_SUFFIXES: Final = (".py", ".so")
_LARGEST_RECORD: Final = 16 * 1024 * 1024
_MOST_LISTS: Final = 1000
_LONGEST_PATH: Final = 4096
_FRAMES: Final = 80


class Bundle:
    """The folder LAMBDA_TASK_ROOT, as the environment names it when this is made: before the function's code runs."""

    def __init__(self) -> None:
        root = os.environ.get("LAMBDA_TASK_ROOT") or "/var/task"
        both = (os.path.realpath(root), os.path.abspath(root))
        self.roots = tuple(dict.fromkeys(path.rstrip("/") + "/" for path in both))
        self._installed: dict[str, frozenset[str]] = {}
        self._known: dict[str, bool] = {}

    def own_modules(self) -> Iterator[tuple[str, ModuleType]]:
        """The imported modules that were written for the function, by name."""
        for name, module in plain.modules():
            file = plain.text(plain.lookup(plain.module_dict(module), "__file__"))
            if file is not None and name != "__main__" and self.is_own(file):
                yield name, module

    def holds(self, file: str) -> bool:
        """Is this file in the function's folder at all?"""
        return len(file) <= _LONGEST_PATH and file.startswith(self.roots)

    def is_own(self, file: str) -> bool:
        """Was this file written for the function? False outside of its folder and for what was installed into it."""
        own = self._known.get(file)
        if own is None:
            own = self.holds(file) and "/site-packages/" not in file and not self._listed(file)
            self._known[file] = own
        return own

    def line_of(self, frame: FrameType | None) -> str:
        """The nearest line of the function's own code that led here, else of a library in its folder, else nothing."""
        library = ""
        for _ in range(_FRAMES):
            if frame is None:
                break
            file = plain.text(frame.f_code.co_filename) or ""
            if self.holds(file):
                root = next(root for root in self.roots if file.startswith(root))
                place = f"{file.removeprefix(root)}:{frame.f_lineno}"
                if self.is_own(file):
                    return place
                library = library or place
            frame = frame.f_back
        return library

    def forget(self) -> None:
        """Keep no list of files in the snapshot."""
        self._installed.clear()
        self._known.clear()

    def _listed(self, file: str) -> bool:
        """Does a RECORD beside the file, or in a folder above it, name it? From the outermost folder on."""
        root = next(root for root in self.roots if file.startswith(root))
        end = len(root)
        while end > 0:
            if file[end:] in self._files_of(file[:end]):
                return True
            end = file.find("/", end) + 1
        return False

    def _files_of(self, folder: str) -> frozenset[str]:
        files = self._installed.get(folder)
        if files is None:
            files = self._installed[folder] = frozenset(_recorded(folder))
        return files


def _recorded(folder: str) -> Iterator[str]:
    """The source files and extension modules that the RECORDs in one folder name, relative to it."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
    except OSError:
        return
    for name in names[:_MOST_LISTS]:
        try:
            with open(f"{folder}{name}/RECORD", "rb") as file:
                lines = file.read(_LARGEST_RECORD).decode(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            path = (
                line[1:].partition('",')[0].replace('""', '"')
                if line.startswith('"')
                else line.partition(",")[0]
            )
            if path.endswith(_SUFFIXES):
                yield path

"""sqlite3: SQLite's generator (randomblob(), random(), temporary names, free row ids), of every copy loaded."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from thaw_runtime import native
from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class SqliteFixer(Fixer):
    """sqlite3_randomness(0, NULL) makes the generator seed itself from the kernel at its next use."""

    essential = True

    def __init__(self) -> None:
        self._reset: list[Any] = []

    def freeze(self, context: Context) -> None:
        """Find the function in every copy of the library."""
        for function in native.functions("sqlite3_randomness", native.libraries()).values():
            function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), None
            self._reset.append(function)
        if not self._reset:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Documented in sqlite3.h: N less than one resets the PRNG."""
        for reset in self._reset:
            reset(0, None)
        return None


fixer = SqliteFixer()

"""libc: the states of rand()/random() and of drand48(), which native code draws from without a seed or with time().

A seed that native code chose on purpose cannot be told from those; for such a function leave `libc` out by name.
arc4random() and getrandom() have no state of their own.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class LibcFixer(Fixer):
    """srandom() and seed48(); in glibc rand() and random() share one state."""

    def __init__(self) -> None:
        self._srandom: Any = None
        self._seed48: Any = None

    def freeze(self, context: Context) -> None:
        """Look both up in what the process is linked with."""
        try:
            libc = ctypes.CDLL(None)
            self._srandom, self._seed48 = libc.srandom, libc.seed48
        except (OSError, AttributeError) as error:
            raise Absent from error
        self._srandom.argtypes, self._srandom.restype = (ctypes.c_uint,), None
        self._seed48.argtypes, self._seed48.restype = (ctypes.c_char_p,), ctypes.c_void_p

    def thaw(self, draw: Draw) -> str | None:
        """32 bits are all that srandom() takes; seed48() takes 48."""
        self._srandom(draw.integer(4))
        self._seed48(draw(6))
        return None


fixer = LibcFixer()

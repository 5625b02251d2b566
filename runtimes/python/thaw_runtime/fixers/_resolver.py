"""DNS: let an old glibc read /etc/resolv.conf again before the next lookup.

Since 2.26 glibc looks at the file's times itself, before every lookup, and its resolver keeps no generator: there this
does nothing. Addresses that the function itself keeps are its own; urllib3, httpx and botocore resolve at every
connect.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_RELOADS_BY_ITSELF: Final = (2, 26)


class ResolverFixer(Fixer):
    """res_init(3). The state is a thread's own: this renews the main thread's, where handlers run."""

    def __init__(self) -> None:
        self._init: Any = None

    def freeze(self, context: Context) -> None:
        """Only where sockets are used at all, and where it is needed."""
        if "_socket" not in sys.modules or glibc_version() >= _RELOADS_BY_ITSELF:
            raise Absent
        libc = ctypes.CDLL(None)
        self._init = getattr(libc, "__res_init", None) or getattr(libc, "res_init", None)
        if self._init is None:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Reads a file of a few lines; no lookup is made."""
        self._init()
        return None


def glibc_version() -> tuple[int, ...]:
    """The running glibc's, or (0,) with another libc."""
    function = getattr(ctypes.CDLL(None), "gnu_get_libc_version", None)
    if function is None:
        return (0,)
    function.restype = ctypes.c_char_p
    return tuple(int(part) for part in function().split(b".")[:2])


fixer = ResolverFixer()

"""DNS: let glibc's resolver read /etc/resolv.conf again, and draw its query ids anew, before the next lookup.

Addresses that the function itself keeps are its own; urllib3, httpx and botocore resolve at every connect.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class ResolverFixer(Fixer):
    """res_init(3). The state is a thread's own: this renews the main thread's, where handlers run."""

    def __init__(self) -> None:
        self._init: Any = None

    def freeze(self, context: Context) -> None:
        """Only where sockets are used at all."""
        if "_socket" not in sys.modules:
            raise Absent
        libc = ctypes.CDLL(None)
        self._init = getattr(libc, "__res_init", None) or getattr(libc, "res_init", None)
        if self._init is None:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Reads a file of a few lines; no lookup is made."""
        self._init()
        return None


fixer = ResolverFixer()

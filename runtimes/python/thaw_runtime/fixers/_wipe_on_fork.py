"""Libraries that notice a fork by a page that the kernel wipes in the child: BoringSSL, AWS-LC, s2n.

They set MADV_WIPEONFORK on a page of their own and write to it. When they find it empty they reseed every generator
of theirs, each thread's at its next use. A restore wipes nothing, so TLS nonces and key shares of curl_cffi, primp and
awscrt were the same in every clone. Wiping the page is what they wait for.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from thaw_runtime import native
from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class WipeOnForkFixer(Fixer):
    """Empties such pages, as fork() does in a child."""

    essential = True

    def __init__(self) -> None:
        self._pages: list[native.Mapping] = []

    def freeze(self, context: Context) -> None:
        """Find them: after all the libraries have been used, and none is given back before the process ends."""
        self._pages = native.wiped_on_fork()
        if not self._pages:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """For the libraries of all threads at once: they compare with what each has seen."""
        for page in self._pages:
            ctypes.memset(page.start, 0, page.stop - page.start)
        return f"{len(self._pages)} mappings"


fixer = WipeOnForkFixer()

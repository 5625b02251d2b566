# noqa: N999 - named as the library is imported
"""pycryptodome: the blinding factors that its RSA keys keep for the next private operations.

Everything else in it asks the kernel each time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class PycryptodomeFixer(Fixer):
    """What the library itself does after a fork(): a key from another generation draws a new factor."""

    essential = True

    def __init__(self) -> None:
        self._generation: list[int] = []

    def freeze(self, context: Context) -> None:
        """Older versions draw a factor for every operation and keep none."""
        generation = getattr(sys.modules.get("Crypto.PublicKey.RSA"), "_fork_generation", None)
        if not isinstance(generation, list):
            raise Absent
        self._generation = generation

    def thaw(self, draw: Draw) -> str | None:
        """A number, not a random one: the new factors are drawn from the kernel."""
        self._generation[0] += 1
        return None


fixer = PycryptodomeFixer()

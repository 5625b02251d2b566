"""uuid_utils: Rust's generator behind its uuid4() and uuid7()."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uuid_utils

from thaw_runtime.registry import Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class UuidUtilsFixer(Fixer):
    """Its own reseed_rng(), which it registers for fork()."""

    essential = True
    versions = ("0.6", "1.2")

    def freeze(self, context: Context) -> None:
        """Before 0.6 there is no such function, and nothing else reaches the state."""
        if not hasattr(uuid_utils, "reseed_rng"):
            raise Unsupported("uuid_utils has no reseed_rng(); update it to 0.6 or newer")

    def thaw(self, draw: Draw) -> str | None:
        """Takes its seed from the kernel."""
        uuid_utils.reseed_rng()
        return None

    def thaw_thread(self, draw: Draw) -> None:
        """The generator is a thread's own."""
        uuid_utils.reseed_rng()


fixer = UuidUtilsFixer()

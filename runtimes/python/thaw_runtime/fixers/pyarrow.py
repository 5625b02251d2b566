"""pyarrow: `compute.random`, whose seeds Arrow draws from a generator that nothing can reach.

It takes a seed, though. So the function is replaced, right after its import and for good, by one that passes a seed
from the kernel where none was given.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from types import ModuleType

    from thaw_runtime.draw import Draw


class PyarrowFixer(Fixer):
    """Everything is done by the tap: there is no state left to renew."""

    versions = ("7.0", "26.0")
    after = "pyarrow.compute"

    def __init__(self) -> None:
        self._tapped = False

    def tap(self, module: ModuleType) -> None:
        """Stand before random()."""
        original: Any = getattr(module, "random", None)
        if original is None:
            return

        def random(n: int, *, initializer: Any = "system", **others: Any) -> Any:
            if initializer == "system" and others.get("options") is None:
                initializer = int.from_bytes(os.urandom(8), "big")
            return original(n, initializer=initializer, **others)

        random.__doc__, random.__module__ = original.__doc__, original.__module__
        random.__wrapped__ = original  # type: ignore[attr-defined]
        module.random = random  # type: ignore[attr-defined]
        self._tapped = True

    def freeze(self, context: Context) -> None:
        """Only where compute functions are loaded."""
        if not self._tapped:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Nothing: see the class."""
        return "random() asks the kernel"


fixer = PyarrowFixer()

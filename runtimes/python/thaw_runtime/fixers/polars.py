"""polars: the process-wide generator of sample() and shuffle(), unless the user seeded it reproducibly."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime import provenance
from thaw_runtime.registry import Context, Fixer

if TYPE_CHECKING:
    from types import ModuleType

    from thaw_runtime.draw import Draw


class PolarsFixer(Fixer):
    """polars.set_random_seed(), watched during init and called after the restore."""

    essential = True
    versions = ("0.20", "2.1")

    def __init__(self) -> None:
        self._set: Any = None
        self._module: Any = None
        self._unique = True

    def tap(self, module: ModuleType) -> None:
        """Stand before set_random_seed()."""
        self._module, self._set = module, module.set_random_seed

        def set_random_seed(seed: int) -> None:
            self._set(seed)
            self._unique = provenance.seed_is_unique(seed, sys._getframe(1))

        set_random_seed.__doc__ = self._set.__doc__
        module.set_random_seed = set_random_seed  # type: ignore[attr-defined]

    def untap(self) -> None:
        """Polars' own function again."""
        self._module.set_random_seed = self._set

    def freeze(self, context: Context) -> None:
        """A reproducible seed stays, and is reported."""
        said = provenance.overridden(self._module)
        if not (self._unique if said is None else said):
            context.note(
                "polars: set_random_seed() was called with an explicit seed, which is kept"
            )
            self._unique = False

    def thaw(self, draw: Draw) -> str | None:
        """Seven bytes: polars takes an unsigned 64-bit number, some versions a signed one."""
        if not self._unique:
            return "kept"
        self._set(draw.integer(7))
        return None


fixer = PolarsFixer()

"""torch: the default generator of the CPU and of each CUDA device, unless the user seeded it reproducibly.

An own `torch.Generator()` starts from a fixed seed by torch's design and is left alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime import provenance
from thaw_runtime.registry import Context, Fixer

if TYPE_CHECKING:
    from types import ModuleType

    from thaw_runtime.draw import Draw


class TorchFixer(Fixer):
    """torch.manual_seed() is watched during init; the generators themselves are seeded after the restore."""

    essential = True
    versions = ("2.13", "2.13")

    def __init__(self) -> None:
        self._module: Any = None
        self._manual_seed: Any = None
        self._generators: list[Any] = []
        self._unique = True

    def tap(self, module: ModuleType) -> None:
        """Stand before manual_seed() in both places where it is found."""
        self._module, self._manual_seed = module, module.manual_seed

        def manual_seed(seed: int) -> Any:
            self._unique = provenance.seed_is_unique(seed, sys._getframe(1))
            return self._manual_seed(seed)

        manual_seed.__doc__ = self._manual_seed.__doc__
        self._module.manual_seed = self._module.random.manual_seed = manual_seed

    def untap(self) -> None:
        """Torch's own function again."""
        self._module.manual_seed = self._module.random.manual_seed = self._manual_seed

    def freeze(self, context: Context) -> None:
        """A reproducible seed stays, and is reported. CUDA is asked only when the function has begun to use it."""
        said = provenance.overridden(self._module)
        if not (self._unique if said is None else said):
            context.note("torch: manual_seed() was called with an explicit seed, which is kept")
            return
        self._generators = [self._module.default_generator]
        cuda = sys.modules.get("torch.cuda")
        if cuda is not None and cuda.is_initialized():
            self._generators += cuda.default_generators

    def thaw(self, draw: Draw) -> str | None:
        """Seven bytes: a seed is a signed 64-bit number."""
        for generator in self._generators:
            generator.manual_seed(draw.integer(7))
        return f"{len(self._generators)} generators" if self._generators else "kept"


fixer = TorchFixer()

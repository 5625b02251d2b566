"""numba: the Mersenne Twisters that compiled code draws from as `random` and `np.random`; each thread has two.

`np.random.seed(n)` inside of compiled code cannot be watched, but a state that n was put into shows it
(`mt19937`): such a stream is kept. The threads of a `prange` are native ones, which nothing can reach.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime import mt19937, provenance
from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw_runtime.draw import Draw


class NumbaFixer(Fixer):
    """rnd_seed(), with the calling thread's two states."""

    essential = True
    versions = ("0.57", "0.68")

    def __init__(self) -> None:
        self._states: list[Callable[[], int]] = []
        self._ours: list[int] = []
        self._seed: Any = None
        self._get: Any = None

    def freeze(self, context: Context) -> None:
        """Sort this thread's two into renewed and kept."""
        helper: Any = sys.modules.get("numba._helperlib")
        if helper is None:
            raise Absent
        names = ("rnd_seed", "rnd_get_state", "rnd_get_np_state_ptr", "rnd_get_py_state_ptr")
        if not all(hasattr(helper, name) for name in names):
            raise Unsupported("numba's generators are reached in another way in this version")
        self._seed, self._get = helper.rnd_seed, helper.rnd_get_state
        self._states = [helper.rnd_get_np_state_ptr, helper.rnd_get_py_state_ptr]
        every = [state() for state in self._states]
        self._ours = [address for address in every if self._is_unique(address)]
        if len(self._ours) < len(every):
            context.note("numba: a seed that compiled code chose is kept: clones share its stream")
        parallel = sys.modules.get("numba.np.ufunc.parallel")
        if getattr(parallel, "_is_initialized", False):
            context.note(
                "numba: generators in the threads of prange are not renewed, and go on alike in every clone: "
                "draw before the loop, or call np.random.seed() with a number from the kernel in its body"
            )

    def thaw(self, draw: Draw) -> str | None:
        """A seed of bytes is taken as numpy takes an array."""
        for address in self._ours:
            self._seed(address, draw(64))
        return f"{len(self._ours)} generators"

    def thaw_thread(self, draw: Draw) -> None:
        """The states that this thread has, or gets now."""
        for state in self._states:
            address = state()
            if mt19937.seed_of(self._get(address)[1]) is None:
                self._seed(address, draw(64))

    def _is_unique(self, address: int) -> bool:
        seed = mt19937.seed_of(self._get(address)[1])
        return seed is None or provenance.value_is_unique(seed)


fixer = NumbaFixer()

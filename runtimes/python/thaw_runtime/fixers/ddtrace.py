"""ddtrace: the generator of trace and span ids, and the id by which Datadog knows this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_GENERATORS: Final = ("ddtrace.internal.native._native", "ddtrace.internal._rand")
"""Since 4.0 in Rust, and one for each thread; before that in Cython."""
_IDENTITIES: Final = ("ddtrace.internal._runtime_id", "ddtrace.internal.runtime")


class DdtraceFixer(Fixer):
    """Its own seed(), which it registers for fork(), and a new runtime id.

    The other handlers that it registers restart threads, which are alive here.
    """

    versions = ("2.0", "4.16")

    def __init__(self) -> None:
        self._seed: Any = None
        self._identity: Any = None

    def freeze(self, context: Context) -> None:
        """A part of ddtrace that makes no ids (its logging alone) loads no generator."""
        generators = [sys.modules[name] for name in _GENERATORS if name in sys.modules]
        if not generators:
            raise Absent
        self._seed = next((m.seed for m in generators if hasattr(m, "seed")), None)
        if self._seed is None:
            raise Unsupported("ddtrace's generator has no seed() in this version")
        identities: list[Any] = [sys.modules[n] for n in _IDENTITIES if n in sys.modules]
        self._identity = next((m for m in identities if "_RUNTIME_ID" in vars(m)), None)

    def thaw(self, draw: Draw) -> str | None:
        """Takes its seed from the kernel. The id is a version 4 UUID's digits."""
        self._seed()
        if self._identity is not None:
            digits = draw(16).hex()
            self._identity._RUNTIME_ID = f"{digits[:12]}4{digits[13:16]}a{digits[17:]}"
        return None

    def thaw_thread(self, draw: Draw) -> None:
        """The generator in Rust is a thread's own."""
        self._seed()


fixer = DdtraceFixer()

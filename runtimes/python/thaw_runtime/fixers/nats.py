"""nats: the generators of names for inboxes, by which a client knows the answers to its requests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class NatsFixer(Fixer):
    """NUID's own two methods: a new prefix from the kernel, and a new sequence from a generator seeded anew."""

    essential = True
    versions = ("2.0", "2.16")

    def __init__(self) -> None:
        self._found: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """One for each client."""
        module: Any = sys.modules.get("nats.nuid")
        return (module.NUID,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """Check that the methods are there."""
        if not self.collects():
            raise Absent
        self._found = context.instances(*self.collects())
        wanted = ("_prand", "randomize_prefix", "reset_sequential")
        if any(not hasattr(nuid, name) for nuid in self._found for name in wanted):
            raise Unsupported("nats.nuid.NUID is renewed in another way in this version")

    def thaw(self, draw: Draw) -> str | None:
        """The inbox of requests that a client has subscribed to keeps its name: its connection was shut with it."""
        for nuid in self._found:
            nuid._prand.seed(draw.integer(32))
            nuid.randomize_prefix()
            nuid.reset_sequential()
        return f"{len(self._found)} generators"


fixer = NatsFixer()

"""psycopg_pool: idle connections, whose sockets the agent has shut, are dropped and replaced in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg_pool

from thaw_runtime.registry import Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class PsycopgPoolFixer(Fixer):
    """drain() (3.3), which also marks connections in use; in older versions check()."""

    versions = ("3.2", "3.3")
    rehearsed = False

    def __init__(self) -> None:
        self._drain: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Pools for threads, and those for asyncio to report them."""
        return (psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool)

    def freeze(self, context: Context) -> None:
        """Only open pools have anything to drop."""
        for pool in context.instances(psycopg_pool.ConnectionPool):
            if not pool.closed:
                self._drain.append(getattr(pool, "drain", None) or pool.check)

    def remark(self, context: Context) -> None:
        """Pools for asyncio cannot be renewed from outside of their loop."""
        if any(not pool.closed for pool in context.instances(psycopg_pool.AsyncConnectionPool)):
            context.note(
                "psycopg_pool: an AsyncConnectionPool needs `await pool.check()` on its own event loop"
            )

    def thaw(self, draw: Draw) -> str | None:
        """Opens no connection itself: the pool's workers do."""
        for drain in self._drain:
            drain()
        return f"{len(self._drain)} pools"


fixer = PsycopgPoolFixer()

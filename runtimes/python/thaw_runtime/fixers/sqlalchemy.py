"""SQLAlchemy: connections from before the snapshot are replaced at their next checkout.

The agent has shut their sockets; without this the first query of each would fail. SQLite's are files, or databases
in memory that must not be thrown away, and stay.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class SqlAlchemyFixer(Fixer):
    """The pool's own mark: records that were connected before it are recycled (`Pool._invalidate`)."""

    versions = ("1.4", "2.1")
    rehearsed = False

    def __init__(self) -> None:
        self._pools: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Pools, of asynchronous engines too."""
        module: Any = sys.modules.get("sqlalchemy.pool")
        return (module.Pool,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """All pools but SQLite's."""
        module: Any = sys.modules.get("sqlalchemy.pool")
        if module is None:
            raise Absent
        self._pools = [
            pool
            for pool in context.instances(module.Pool)
            if getattr(pool._dialect, "name", "") != "sqlite"
        ]
        if any(not hasattr(pool, "_invalidate_time") for pool in self._pools):
            raise Unsupported("SQLAlchemy's pools have no _invalidate_time")

    def thaw(self, draw: Draw) -> str | None:
        """One assignment a pool; nothing is closed or opened here."""
        now = time.time()
        for pool in self._pools:
            pool._invalidate_time = now
        return f"{len(self._pools)} pools"


fixer = SqlAlchemyFixer()

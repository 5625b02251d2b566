"""redis: idle connections, whose sockets the agent has shut, are closed, so that the next command opens its own.

redis.asyncio looks at a connection before it uses it and needs nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class RedisFixer(Fixer):
    """ConnectionPool.disconnect(). Its own check compares process ids, which a snapshot does not change."""

    versions = ("4.0", "8.1")
    rehearsed = False

    def __init__(self) -> None:
        self._pools: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Pools of the synchronous client."""
        module: Any = sys.modules.get("redis.connection")
        return (module.ConnectionPool,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """All there are."""
        module: Any = sys.modules.get("redis.connection")
        if module is None:
            raise Absent
        self._pools = context.instances(module.ConnectionPool)

    def thaw(self, draw: Draw) -> str | None:
        """Connections in use are left to who uses them: they raise ConnectionError, as after a restart of redis."""
        for pool in self._pools:
            pool.disconnect(inuse_connections=False)
        return f"{len(self._pools)} pools"


fixer = RedisFixer()

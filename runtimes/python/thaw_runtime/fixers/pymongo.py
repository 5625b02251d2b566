"""pymongo: the server sessions that a client keeps for its next operations.

A session's id and its transaction numbers are how the server knows a repeated write: two clones that share a session
send the same number for different writes, and the server drops the second. pymongo forgets its sessions after fork().
Connections need nothing: the agent has shut them, and the pool looks before it uses one. Ids: see fixers/bson.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_CLIENTS: Final = (
    ("pymongo.synchronous.mongo_client", "MongoClient"),
    ("pymongo.asynchronous.mongo_client", "AsyncMongoClient"),
    ("pymongo.mongo_client", "MongoClient"),
)


class PymongoFixer(Fixer):
    """Empties each client's pool of sessions, as pymongo itself does in a forked child."""

    essential = True
    versions = ("4.0", "4.20")

    def __init__(self) -> None:
        self._pools: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Clients of both kinds."""
        found = [getattr(sys.modules.get(module), name, None) for module, name in _CLIENTS]
        return tuple(dict.fromkeys(kind for kind in found if kind is not None))

    def freeze(self, context: Context) -> None:
        """A client that has not connected has no sessions, and may have no topology."""
        for client in context.instances(*self.collects()):
            pool = getattr(vars(client).get("_topology"), "_session_pool", None)
            if pool is not None:
                self._pools.append(pool)
        if not self._pools:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """The server drops the forgotten ones after half an hour."""
        for pool in self._pools:
            pool.reset()
        return f"{len(self._pools)} session pools"


fixer = PymongoFixer()

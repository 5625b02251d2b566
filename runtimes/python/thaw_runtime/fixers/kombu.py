"""kombu: the number that stands for this process in names of reply queues and of clients. Task ids are uuid4."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class KombuFixer(Fixer):
    """Drawn anew. What is derived from it and kept: fixers/celery.py."""

    essential = True
    versions = ("4.0", "5.7")

    def __init__(self) -> None:
        self._module: Any = None

    def freeze(self, context: Context) -> None:
        """Loaded by most of kombu, and not by all of it."""
        self._module = sys.modules.get("kombu.common")
        if self._module is None:
            raise Absent
        if "_node_id" not in vars(self._module):
            raise Unsupported("kombu.common has no _node_id in this version")

    def thaw(self, draw: Draw) -> str | None:
        """As many bits as the uuid4 that it is otherwise."""
        self._module._node_id = draw.integer(16)
        return None


fixer = KombuFixer()

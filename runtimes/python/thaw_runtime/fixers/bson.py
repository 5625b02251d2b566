"""bson: the five bytes in every ObjectId that stand for this process, and the counter behind them.

They are keys of documents, made by the client: two clones with the same bytes would write one document over the
other's, or fail to insert it. bson itself takes new bytes when the process id has changed, which a restore does not do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_PROCESS: Final = ("_ObjectId__random", "_machine_bytes")
"""The class attribute with the process's bytes, in pymongo's bson and in the package of the name `bson`."""


class BsonFixer(Fixer):
    """New bytes, and a new place to count on from."""

    essential = True

    def __init__(self) -> None:
        self._class: Any = None
        self._name = ""
        self._length = 0

    def freeze(self, context: Context) -> None:
        """Find both. Raises `Unsupported` where ids are made in some other way."""
        self._class = getattr(sys.modules.get("bson.objectid"), "ObjectId", None)
        if self._class is None:
            raise Absent
        found = vars(self._class)
        self._name = next((n for n in _PROCESS if type(found.get(n)) is bytes), "")
        if not self._name or type(found.get("_inc")) is not int:
            raise Unsupported("bson.ObjectId keeps its process bytes elsewhere in this version")
        self._length = len(found[self._name])

    def thaw(self, draw: Draw) -> str | None:
        """The counter has three bytes."""
        setattr(self._class, self._name, draw(self._length))
        self._class._inc = draw.integer(3)
        return None


fixer = BsonFixer()

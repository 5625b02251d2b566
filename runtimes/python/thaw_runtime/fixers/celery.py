"""celery: an app's own id, which names the queue that its results come back to.

Two clones with one queue take each other's results. The id is made of kombu's number for the process
(fixers/kombu.py) and kept by the app, and once more by it for each thread.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class CeleryFixer(Fixer):
    """Forgotten: the app makes it again when it is next asked for."""

    essential = True
    versions = ("5.0", "5.7")

    def __init__(self) -> None:
        self._apps: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Apps; celery's own default app is one of them."""
        module: Any = sys.modules.get("celery.app.base")
        return (module.Celery,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """All there are."""
        self._apps = context.instances(*self.collects())
        if not self._apps:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """The id of the app, and the main thread's."""
        for app in self._apps:
            vars(app).pop("oid", None)
        self.thaw_thread(draw)
        return f"{len(self._apps)} apps"

    def thaw_thread(self, draw: Draw) -> None:
        """The id that the app keeps for this thread."""
        for app in self._apps:
            vars(app._local).pop("oid", None)


fixer = CeleryFixer()

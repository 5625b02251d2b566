"""multiprocessing: the key with which processes authenticate each other. Semaphore names come from `random`."""

from __future__ import annotations

import multiprocessing.process
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class MultiprocessingFixer(Fixer):
    """A new authkey, unless children that know the old one are alive."""

    essential = True

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}
        self._key: Any = None

    def freeze(self, context: Context) -> None:
        """Find the current process's configuration."""
        if multiprocessing.process.parent_process() is not None:
            raise Absent  # the key is what it shares with its parent
        if multiprocessing.process.active_children():
            context.note(
                "multiprocessing: child processes are alive, so the authkey is kept: clones share it"
            )
            raise Absent
        module: Any = multiprocessing.process
        self._config, self._key = module.current_process()._config, module.AuthenticationString
        if "authkey" not in self._config:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Replace it; who has read it before holds the old bytes."""
        self._config["authkey"] = self._key(draw(32))
        return None


fixer = MultiprocessingFixer()

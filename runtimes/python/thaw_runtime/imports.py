"""Calls back right after a module has been imported for the first time, without importing anything itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class PostImport:
    """A meta path finder that finds nothing of its own: it lets the others find and adds a call after execution."""

    def __init__(self) -> None:
        self._watched: dict[str, Callable[[ModuleType], None]] = {}

    def install(self) -> None:
        """Stand first on sys.meta_path."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Leave sys.meta_path as it was."""
        # By identity: another package's finder may have an `__eq__`.
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]

    def watch(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        """Call back once with this module, after its code has run; at once if it is there already."""
        module = sys.modules.get(name)
        if module is not None:
            callback(module)
        else:
            self._watched[name] = callback

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The finder's protocol. None for everything that is not watched."""
        callback = self._watched.pop(name, None)
        if callback is None:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    _call_after(spec.loader, callback)
                return spec
        # Not there (yet): a library that is looked for in a try may still come from elsewhere.
        self._watched[name] = callback
        return None


def _call_after(loader: Any, callback: Callable[[ModuleType], None]) -> None:
    """Let this loader's next `exec_module` end with the call. The loader is its own again afterwards.

    Two finders may watch for one module: the second wraps what the first has wrapped.
    """
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)
        execute(module)
        callback(module)

    loader.exec_module = exec_module

"""What a library, or the function itself, registered with os.register_at_fork(), where it is safe to call: `atfork`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw_runtime import atfork
from thaw_runtime.registry import Absent, Context, Fixer

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class ForkHandlersFixer(Fixer):
    """Calls them, in the order of their registration, as the interpreter does in a forked child."""

    def __init__(self) -> None:
        self._handlers: list[Any] = []

    def freeze(self, context: Context) -> None:
        """Those of the known kinds; of the others the report names the modules (`leftovers`)."""
        self._handlers = [handler for handler in atfork.handlers() if atfork.is_safe(handler)]
        if not self._handlers:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """One that raises does not stop the next, as after fork()."""
        failed = 0
        for handler in self._handlers:
            try:
                handler()
            except Exception:
                failed += 1
        return f"{len(self._handlers)} handlers" + (f", {failed} failed" if failed else "")


fixer = ForkHandlersFixer()

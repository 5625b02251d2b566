"""sentry_sdk: the trace that events belong to which happen outside of a transaction.

A scope keeps it once an event or a header has asked for it: events of all clones would be one trace.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class SentryFixer(Fixer):
    """A scope's propagation context is made again, at once, by the scope's own method.

    One that continues a trace from elsewhere is left: it has a parent, and its ids are not of this process's making.
    """

    versions = ("2.0", "2.75")

    def __init__(self) -> None:
        self._scopes: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """All scopes: global, isolation and current ones of every context."""
        module: Any = sys.modules.get("sentry_sdk.scope")
        return (module.Scope,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """Those that have one."""
        for scope in context.instances(*self.collects()):
            if not hasattr(scope, "set_new_propagation_context"):
                raise Unsupported("sentry_sdk's scopes have no set_new_propagation_context()")
            propagation = getattr(scope, "_propagation_context", None)
            if propagation is not None and not getattr(propagation, "parent_span_id", None):
                self._scopes.append(scope)
        if not self._scopes:
            raise Absent

    def thaw(self, draw: Draw) -> str | None:
        """Its ids are drawn from the kernel when they are asked for."""
        for scope in self._scopes:
            scope.set_new_propagation_context()
        return f"{len(self._scopes)} scopes"


fixer = SentryFixer()

"""botocore: credentials that were fetched at init are the publishing role's; the next request fetches its own.

Clients need nothing else: their connections were shut, which urllib3 notices, and the clock is right.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BotocoreFixer(Fixer):
    """Refreshable credentials are told that they have expired. Static ones have nowhere to be fetched from."""

    rehearsed = False

    def __init__(self) -> None:
        self._credentials: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Credentials with a way to refresh them, the ones of assumed roles too."""
        module: Any = sys.modules.get("botocore.credentials")
        return (module.RefreshableCredentials,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """Only what has been fetched already has an expiry time."""
        module: Any = sys.modules.get("botocore.credentials")
        if module is None:
            raise Absent
        found = context.instances(module.RefreshableCredentials)
        if any(not hasattr(credentials, "_expiry_time") for credentials in found):
            raise Unsupported("botocore keeps the expiry time elsewhere")
        self._credentials = [c for c in found if c._expiry_time is not None]

    def thaw(self, draw: Draw) -> str | None:
        """The next get_frozen_credentials() refreshes, and waits for it."""
        for credentials in self._credentials:
            credentials._expiry_time = _LONG_AGO
        return f"{len(self._credentials)} credentials"


fixer = BotocoreFixer()

"""The daemon about itself: alive, and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import define

from thawd import __version__

from .context import Api, answer

if TYPE_CHECKING:
    from thawd.http import Request, Response, Router


@define(eq=False)
class Health:
    """The daemon's own operations."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("GET", "/thaw/v1/health", self.health)
        router.add("GET", "/thaw/v1/statistics", self.statistics)
        router.add("GET", "/thaw/v1/log", self.log)

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - a handler
        """`{"status": "ok", "version": ..., "runtimes": [...], "region": ..., "account_id": ..., ...}`."""
        core = self._api.core
        return answer(
            {
                "status": "ok",
                "version": __version__,
                "region": core.region,
                "account_id": core.account_id,
                "runtimes": core.images.built(),
                **core.health(),
            }
        )

    async def statistics(self, request: Request) -> Response:  # noqa: ARG002 - a handler
        """Every part's `statistics()`, by part."""
        core = self._api.core
        parts = {"catalog": core.catalog.statistics(), **core.statistics()}
        return answer({name: _plain(value) for name, value in parts.items()})

    async def log(self, request: Request) -> Response:  # noqa: ARG002 - a handler
        """`{"events": [...]}`: the daemon's last events, without what functions said and what is called after them."""
        return answer({"events": _plain(list(self._api.core.recent_log()))})


def _plain(value: Any) -> Any:
    """A statistics object as JSON has it."""
    if attrs.has(type(value)):
        return {name: _plain(item) for name, item in attrs.asdict(value, recurse=False).items()}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)

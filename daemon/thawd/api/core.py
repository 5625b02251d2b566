"""The parts of the daemon that the API uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thawd.catalog.store import Catalog
    from thawd.code.bundles import BundleStore
    from thawd.collect import Collector
    from thawd.environments.host import Host
    from thawd.fleet.fleet import Fleet
    from thawd.images.store import ImageStore
    from thawd.invoke.invoker import Invoker
    from thawd.logs.book import LogBook
    from thawd.publish.publisher import Publisher


@frozen(kw_only=True)
class Core:
    """Made by the daemon, for `api.app.build`."""

    catalog: Catalog
    bundles: BundleStore
    logs: LogBook
    images: ImageStore
    host: Host
    """For starts outside of the pools: trials and clone tests."""
    fleet: Fleet
    publisher: Publisher
    invoker: Invoker
    collector: Collector
    region: str = "us-east-1"
    account_id: str = "000000000000"
    architectures: tuple[str, ...] = ("x86_64",)
    health: Callable[[], Mapping[str, Any]] = field(default=dict)
    """More about the daemon for `GET /thaw/v1/health`: engine, version."""
    recent_log: Callable[[], Sequence[Mapping[str, Any]]] = field(default=list)
    """The last events of the daemon's log (`telemetry.recent`) for `GET /thaw/v1/log`."""
    statistics: Callable[[], Mapping[str, Any]] = field(default=dict)
    """The parts' statistics (attrs objects or plain values) by name for `GET /thaw/v1/statistics`."""

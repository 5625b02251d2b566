"""The collector: frees code, base snapshots and logs that nothing needs any more.

It runs at the start, whenever somebody says that something was given up, and once an hour. It removes only what can be
told to be unneeded: code that this catalog has had, or that came while this daemon lives. Code that lay there before and
that the catalog never had belongs to another catalog, or to a newer state of this one. It is set aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.errors import CatalogError, ThawError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thawd.catalog.store import Catalog
    from thawd.code.bundles import BundleStore
    from thawd.logs.book import LogBook
    from thawd.reserve import Reserve
    from thawd.snapshots.base import BaseSnapshots
    from thawd.snapshots.store import SnapshotStore

_log = structlog.get_logger()

_EVERY_S: Final = 3600.0
_GRACE_S: Final = 45.0
"""How long code stays that no version has: longer than an invocation of an old revision waits for a machine, and than a
zip that was just stored waits for its row in the catalog."""


@frozen(kw_only=True)
class CollectorStatistics:
    """What was freed so far."""

    packages: int
    base_snapshots: int
    log_files: int


@define(eq=False)
class Collector:
    """Run by one task, `run`. `code_in_use` are the digests of code that machines were started with."""

    _catalog: Catalog
    _bundles: BundleStore
    _snapshots: SnapshotStore
    _bases: BaseSnapshots
    _logs: LogBook
    _reserve: Reserve
    _code_in_use: Callable[[], set[str]]
    _nudged: trio.Event = field(factory=trio.Event)
    _unneeded_since: dict[str, float] = field(factory=dict)
    _untouchable: set[str] = field(factory=set)
    """Code that should have been set aside, and could not be."""
    _packages: int = 0
    _base_snapshots: int = 0
    _log_files: int = 0

    def statistics(self) -> CollectorStatistics:
        """Figures of this moment."""
        return CollectorStatistics(
            packages=self._packages,
            base_snapshots=self._base_snapshots,
            log_files=self._log_files,
        )

    def nudge(self) -> None:
        """Something may be unneeded now."""
        self._nudged.set()

    def sort_code(self) -> None:
        """At the start: set code aside that the catalog never had, and take back what it needs and was set aside."""
        found = self._bundles.digests()
        needed = self._catalog.code_digests()
        for digest in needed - found:
            try:
                if self._bundles.take_back(digest):
                    _log.info("code.taken_back", code_sha256=digest)
            except OSError as error:
                _log.warning("code.not_taken_back", code_sha256=digest, reason=str(error))
        self._untouchable = found - needed
        try:
            unknown = self._catalog.unknown_code(found)
            for digest in unknown:
                self._bundles.set_aside(digest)
        except (CatalogError, OSError) as error:
            _log.warning("code.not_set_aside", reason=str(error))
            return
        self._untouchable = set()
        if unknown:
            _log.warning(
                "code.unknown",
                packages=len(unknown),
                set_aside=str(self._bundles.unknown),
                hint="The catalog never had it. If the catalog is not the right one, stop thawd, restore it and start: "
                "what it needs is taken back. If it is, remove the directory",
            )

    async def run(self) -> None:
        """Collect for ever. What goes wrong is logged, and tried again the next time."""
        while True:
            self._nudged = trio.Event()
            try:
                self._bundles.drop_uploads()
                await trio.to_thread.run_sync(self._reserve.lay_in)
                await self._free_bases()
                await self._free_logs()
                waiting = await self._free_code()
            except (ThawError, OSError) as error:
                _log.warning("collector.failed", reason=str(error))
                waiting = False
            except Exception:  # noqa: BLE001 - tidying up may fail, and must not end the daemon
                _log.exception("collector.crashed")
                waiting = False
            with trio.move_on_after(_GRACE_S if waiting else _EVERY_S):
                await self._nudged.wait()

    async def _free_code(self) -> bool:
        """Remove packages that no version and no machine has had for a while; whether others wait for that."""
        now = trio.current_time()
        wanted = self._catalog.code_digests() | self._code_in_use()
        found = await trio.to_thread.run_sync(self._bundles.digests) - self._untouchable
        unneeded = found - wanted
        if unneeded == found:
            # A catalog that lost its rows, perhaps. Code is a few megabytes, and cannot be made again.
            return False
        since = self._unneeded_since = {
            digest: self._unneeded_since.get(digest, now) for digest in unneeded
        }
        for digest in [digest for digest, at in since.items() if now - at >= _GRACE_S]:
            await trio.to_thread.run_sync(self._bundles.remove, digest)
            del since[digest]
            self._packages += 1
            _log.info("code.freed", code_sha256=digest)
            self._catalog.forget_code(digest)
        return bool(since)

    async def _free_bases(self) -> None:
        for path in self._snapshots.bases():
            if not self._bases.is_wanted(path):
                await trio.to_thread.run_sync(self._snapshots.remove, path)
                self._base_snapshots += 1
                _log.info("base.freed", path=str(path))

    async def _free_logs(self) -> None:
        """Remove the oldest log files of functions that were deleted, while those have more than one function may."""
        names = self._catalog.deleted_functions()
        for name, part in await trio.to_thread.run_sync(self._logs.of_deleted, names):
            if self._catalog.has_function(name):
                continue  # there again since
            self._logs.remove(name, part)
            self._log_files += 1
            _log.info("log.freed", path=str(part))

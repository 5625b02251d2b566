"""From a Pending version to an Active one: init, before-snapshot hooks, snapshot, catalog row.

Publishing runs in the background; its result is in the catalog and in the version's log. A version whose init
fails is Failed with the function's own error in `StateReason`, which Lambda hides in the logs.

A snapshot that is refused, lost or damaged is made again from the version's code, under the same number. Such a version is Pending (`Restoring`) meanwhile, and Inactive if that fails; then the next
use, or the next start of the daemon, tries once more.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.catalog.errors import FunctionNotFound, StateConflict
from thawd.catalog.models import FunctionVersion, State
from thawd.catalog.states import RESTORING
from thawd.environments.limits import StartTimeout
from thawd.environments.snapshot import take_snapshot
from thawd.errors import CatalogError, SnapshotError, ThawError
from thawd.guest.failures import InitFailure, RuntimeExited
from thawd.guest.said import cause, network_hint, shortened, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.catalog.store import Catalog
    from thawd.engines.machine import Snapshot
    from thawd.environments.host import Host
    from thawd.fleet.fleet import Fleet
    from thawd.snapshots.store import SnapshotStore

_log = structlog.get_logger()

_INIT_FAILED: Final = "An error occurred during function initialization."
"""Lambda's own sentence, which deployment tools show; the cause follows it."""
_RETRY_S: Final = 0.5
_RETRY_MOST_S: Final = 30.0
"""Between two tries to write a version's state, doubled each time."""


@frozen(kw_only=True)
class PublisherStatistics:
    """Versions under way, and how publishing has ended so far."""

    publishing: int
    published: int
    failed: int
    made_again: int


@frozen(kw_only=True)
class _Ending:
    """How publishing ended: the version's next state."""

    state: State
    reason: str | None = None
    reason_code: str | None = None


@define(eq=False)
class _Task:
    """One version that is being published."""

    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ended: trio.Event = field(factory=trio.Event)


@define(eq=False)
class Publisher:
    """Publishes versions. Made by `open_publisher`, whose nursery owns every publishing task."""

    _nursery: trio.Nursery
    _host: Host
    _snapshots: SnapshotStore
    _catalog: Catalog
    _fleet: Fleet
    _limiter: trio.CapacityLimiter
    _tasks: dict[tuple[str, str], _Task] = field(factory=dict)
    _published: int = 0
    _failed: int = 0
    _made_again: int = 0

    def statistics(self) -> PublisherStatistics:
        """Figures of this moment."""
        return PublisherStatistics(
            publishing=len(self._tasks),
            published=self._published,
            failed=self._failed,
            made_again=self._made_again,
        )

    def publish(self, version: FunctionVersion) -> None:
        """Begin to publish a version that the catalog holds as Pending, unless that is under way."""
        key = (version.function_name, version.version)
        if key not in self._tasks:
            task = self._tasks[key] = _Task()
            self._nursery.start_soon(self._publish, version, task)

    async def make_again(self, version: FunctionVersion, reason: str) -> FunctionVersion:
        """Make a version's snapshot again, or wait if that is under way; returns the version as it is then.

        `reason` says what is wrong with its present snapshot. Raises `CatalogError` when the version is gone, or its
        state cannot be written.
        """
        key = (version.function_name, version.version)
        if key not in self._tasks:
            now = self._catalog.version(*key)
            self.publish(now if now.state is State.PENDING else self._begin_again(now, reason))
        await self._tasks[key].ended.wait()
        return self._catalog.version(*key)

    def recover(self) -> None:
        """Bring catalog and disk together after a stop at any point, and after an upgrade.

        Versions that were being published begin again. Versions whose snapshot is gone, or was made by another engine,
        are made again. Snapshots of versions that were deleted are removed; those of versions that the catalog never
        had are set aside, since it is then not the catalog that belongs to them.
        """
        versions = [version for version in self._catalog.all_versions() if version.snapshotted]
        kept = [version for version in versions if version.state is not State.FAILED]
        self._sweep({(version.function_name, version.version) for version in kept})
        for version in versions:
            match version.state:
                case State.PENDING:
                    self.publish(version)
                case State.ACTIVE | State.INACTIVE if reason := self._refusal(version):
                    try:
                        self.publish(self._begin_again(version, reason))
                    except CatalogError as error:
                        # It is found out again when it is first used.
                        _log.error(
                            "version.not_recovered",
                            function=version.function_name,
                            version=version.version,
                            reason=str(error),
                        )

    async def forget(self, function_name: str, version: str | None = None) -> None:
        """A function, or one version of it, was deleted: stop publishing it, end its machines, free its snapshots."""
        for (name, number), task in list(self._tasks.items()):
            if name == function_name and version in {None, number}:
                task.scope.cancel()
        self._fleet.forget(function_name, version)
        if version is None:
            self._host.logs.forget(function_name)
        for name, number in self._snapshots.function_versions():
            if name == function_name and version in {None, number}:
                path = self._snapshots.version_path(name, number)
                await trio.to_thread.run_sync(self._snapshots.remove, path)
        self._snapshots.remove_function(function_name)

    def _begin_again(self, version: FunctionVersion, reason: str) -> FunctionVersion:
        _log.warning(
            "version.made_again",
            function=version.function_name,
            version=version.version,
            reason=reason,
        )
        self._made_again += 1
        return self._catalog.set_state(
            version.function_name,
            version.version,
            State.PENDING,
            reason=text(f"Its snapshot is being made again: {reason}"),
            reason_code=RESTORING,
        )

    def _refusal(self, version: FunctionVersion) -> str:
        """Why a version's snapshot cannot be restored, as far as a look at it tells; empty if nothing is wrong."""
        if version.state is State.INACTIVE:
            return version.state_reason or "it was lost"
        path = self._snapshots.version_path(version.function_name, version.version)
        try:
            self._host.engine.check(self._snapshots.find(path))
        except SnapshotError as error:
            return error.message
        return ""

    def _sweep(self, known: set[tuple[str, str]]) -> None:
        """Remove snapshots that belong to no version (a daemon that died between two steps)."""
        for name, number in self._snapshots.function_versions():
            if (name, number) in known:
                continue
            path = self._snapshots.version_path(name, number)
            if self._catalog.gave_number(name, number):
                _log.info("snapshot.swept", function=name, version=number)
                self._snapshots.remove(path)
                continue
            try:
                aside = self._snapshots.set_aside(path)
            except OSError as error:
                _log.warning("snapshot.unknown", path=str(path), reason=str(error))
                continue
            _log.error("snapshot.unknown", function=name, version=number, set_aside=str(aside))
        self._snapshots.remove_empty_functions()

    async def _publish(self, version: FunctionVersion, task: _Task) -> None:
        key = (version.function_name, version.version)
        log = _log.bind(function=version.function_name, version=version.version)
        began = trio.current_time()
        try:
            with task.scope:
                async with (
                    self._limiter,
                    self._fleet.room(f"publishing {key[0]}:{key[1]}", wait_s=inf),
                ):
                    ending = await self._try(version)
                if ending.state is not State.ACTIVE:
                    # It has no snapshot, and nothing would look for one.
                    path = self._snapshots.version_path(*key)
                    await trio.to_thread.run_sync(self._snapshots.remove, path)
                if not await self._record(version, ending):
                    return
                took_ms = round((trio.current_time() - began) * 1e3, 1)
                log.info(
                    "version.published",
                    state=str(ending.state),
                    took_ms=took_ms,
                    reason=None if ending.reason is None else shortened(ending.reason),
                    **({"hint": hint} if (hint := network_hint(ending.reason or "")) else {}),
                )
                if ending.state is State.ACTIVE:
                    self._published += 1
                else:
                    self._failed += 1
        except Exception:
            # The next start finds the version Pending and publishes it again.
            log.exception("publish.crashed")
        finally:
            del self._tasks[key]
            task.ended.set()

    async def _try(self, version: FunctionVersion) -> _Ending:
        """Make the snapshot. Any error is the ending of this version, and of nothing else."""
        try:
            await self.make_snapshot(version)
        except InitFailure as failure:
            told = cause(failure.body, otherwise=failure.message, error_type=failure.error_type)
            ending = _Ending(
                state=State.FAILED, reason=f"{_INIT_FAILED} {told}", reason_code="FunctionError"
            )
        except StartTimeout as timeout:
            ending = _Ending(
                state=State.FAILED,
                reason=f"{_INIT_FAILED} {timeout}",
                reason_code="FunctionError.InitTimeout",
            )
        except RuntimeExited as exited:
            ending = _Ending(
                state=State.FAILED,
                reason=f"{_INIT_FAILED} Runtime.ExitError: Runtime exited: {exited}",
                reason_code="FunctionError",
            )
        except (ThawError, OSError) as error:
            ending = _Ending(
                state=State.FAILED,
                reason=f"The snapshot could not be made: {error}",
                reason_code="InternalError",
            )
        except Exception as error:  # noqa: BLE001
            _log.exception("publish.crashed", function=version.function_name)
            ending = _Ending(
                state=State.FAILED,
                reason=f"The snapshot could not be made: internal error: {error!r}",
                reason_code="InternalError",
            )
        else:
            return _Ending(state=State.ACTIVE)
        if version.state_reason_code == RESTORING:
            # It has served before, and may again.
            return _Ending(
                state=State.INACTIVE,
                reason=f"Its snapshot could not be made again. {ending.reason}",
                reason_code=RESTORING,
            )
        return ending

    async def _record(self, version: FunctionVersion, ending: _Ending) -> bool:
        """Write how publishing ended. While the catalog cannot be written (a full disk), try again and again.

        False when the version is gone; its snapshot then goes too.
        """
        name, number = version.function_name, version.version
        reason = None if ending.reason is None else shortened(ending.reason)
        wait_s = _RETRY_S
        while True:
            try:
                self._catalog.set_state(
                    name, number, ending.state, reason=reason, reason_code=ending.reason_code
                )
            except (FunctionNotFound, StateConflict) as error:
                _log.warning("version.vanished", function=name, version=number, reason=str(error))
                self._snapshots.remove(self._snapshots.version_path(name, number))
                self._snapshots.remove_function(name)
                return False
            except CatalogError as error:
                _log.error("version.not_recorded", function=name, version=number, reason=str(error))
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
            else:
                return True

    async def make_snapshot(self, version: FunctionVersion) -> Snapshot:
        """Take a version's snapshot and put it into the store. Raises what `take_snapshot` raises."""
        store = self._snapshots
        async with store.scratch() as scratch:
            taken = await take_snapshot(self._host, version, scratch)
            ready = taken.ready
            about = {
                "kind": "version",
                "function": version.function_name,
                "version": version.version,
                "code": version.code.sha256,
                "code_disk": taken.code_disk,
                "image": taken.image_digest,
                "init_us": ready.duration_us,
                "steps_us": ready.steps,
                "report": ready.report,
                "connections": ready.connections,
            }
            path = store.version_path(version.function_name, version.version)
            return await store.commit(taken.snapshot, path, about=about)


@asynccontextmanager
async def open_publisher(
    host: Host, snapshots: SnapshotStore, catalog: Catalog, fleet: Fleet, *, concurrency: int
) -> AsyncIterator[Publisher]:
    """A publisher; publishing that is under way when this scope ends is given up, its version stays Pending."""
    async with trio.open_nursery() as nursery:
        try:
            limiter = trio.CapacityLimiter(concurrency)
            yield Publisher(nursery, host, snapshots, catalog, fleet, limiter)
        finally:
            nursery.cancel_scope.cancel()

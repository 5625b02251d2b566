"""From a Pending version to an Active one: base snapshot, init, before-snapshot hooks, snapshot, catalog row.

Publishing runs in the background; what came of it is in the catalog and in the version's log. A version whose init
fails is Failed with the function's own error in `StateReason`, which Lambda hides in the logs.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio
from attrs import define, field

from thawd.catalog.errors import FunctionNotFound, StateConflict
from thawd.catalog.models import FunctionVersion, State
from thawd.errors import CatalogError, ThawError
from thawd.fleet.start import Starter, StartTimeout
from thawd.guest.said import LONGEST_CAUSE, cause, text
from thawd.guest.session import InitFailure, RuntimeExited
from thawd.publish.snapshot import take_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.engines.machine import Snapshot
    from thawd.fleet.fleet import Fleet

_log = structlog.get_logger()

_INIT_FAILED: Final = "An error occurred during function initialization."
"""Lambda's own sentence, which deployment tools show; the cause follows it."""
_RETRY_S: Final = 0.5
_RETRY_MOST_S: Final = 30.0
"""Between two tries to write a version's state, doubled each time."""


class VersionStates(Protocol):
    """The part of the catalog that publishing writes."""

    def set_state(
        self,
        function_name: str,
        version: str,
        state: State,
        *,
        reason: str | None = None,
        reason_code: str | None = None,
    ) -> object:
        """Move a version to another state. Raises `CatalogError`, also when the version is gone."""


@define(eq=False)
class Publisher:
    """Publishes versions. Made by `open_publisher`, whose nursery owns every publishing task."""

    _nursery: trio.Nursery
    _starter: Starter
    _states: VersionStates
    _fleet: Fleet
    _limiter: trio.CapacityLimiter
    _running: dict[tuple[str, str], trio.CancelScope] = field(factory=dict)

    def publish(self, version: FunctionVersion) -> None:
        """Begin to publish a version that the catalog holds as Pending."""
        self._nursery.start_soon(self._publish, version)

    async def forget(self, function_name: str, version: str | None = None) -> None:
        """A function, or one version of it, was deleted: end its machines, stop publishing it, free its snapshots."""
        for (name, number), scope in list(self._running.items()):
            if name == function_name and version in {None, number}:
                scope.cancel()
        self._fleet.forget(function_name, version)
        if version is None:
            self._starter.logs.forget(function_name)
        store = self._starter.snapshots
        for name, number in store.function_versions():
            if name == function_name and version in {None, number}:
                await trio.to_thread.run_sync(store.remove, store.version_path(name, number))

    def sweep(self, wanted: set[tuple[str, str]]) -> None:
        """Remove snapshots that belong to no version (a daemon that died between rename and row)."""
        store = self._starter.snapshots
        for name, number in store.function_versions():
            if (name, number) not in wanted:
                _log.info("snapshot.swept", function=name, version=number)
                store.remove(store.version_path(name, number))

    async def _publish(self, version: FunctionVersion) -> None:
        key = (version.function_name, version.version)
        log = _log.bind(function=version.function_name, version=version.version)
        began = trio.current_time()
        scope = self._running[key] = trio.CancelScope()
        state, reason, code = State.ACTIVE, None, None
        try:
            with scope:
                async with self._limiter:
                    await self.make_snapshot(version)
        except InitFailure as failure:
            state, code = State.FAILED, "FunctionError"
            told = cause(failure.body, otherwise=failure.message, error_type=failure.error_type)
            reason = f"{_INIT_FAILED} {told}"
        except StartTimeout as timeout:
            state, code = State.FAILED, "FunctionError.InitTimeout"
            reason = f"{_INIT_FAILED} {timeout}"
        except RuntimeExited as exited:
            state, code = State.FAILED, "FunctionError"
            reason = f"{_INIT_FAILED} Runtime.ExitError: Runtime exited: {exited}"
        except ThawError as error:
            state, code = State.FAILED, "InternalError"
            reason = f"The snapshot could not be made: {error}"
        except Exception as error:
            # A version's trouble with our own code is that version's end, not the daemon's.
            log.exception("publish.crashed")
            state, code = State.FAILED, "InternalError"
            reason = f"The snapshot could not be made: internal error: {error!r}"
        finally:
            self._running.pop(key, None)
        if scope.cancelled_caught:
            return  # deleted meanwhile
        if state is State.FAILED:
            # A failed version has no snapshot, and nothing would look for one.
            await trio.to_thread.run_sync(
                self._starter.snapshots.remove, self._starter.snapshots.version_path(*key)
            )
        try:
            await self._record(version, state, reason, code)
        except (FunctionNotFound, StateConflict) as error:
            log.warning("version.vanished", reason=str(error))
            self._starter.snapshots.remove(self._starter.snapshots.version_path(*key))
            return
        took_ms = round((trio.current_time() - began) * 1e3, 1)
        log.info("version.published", state=str(state), took_ms=took_ms, reason=reason)

    async def _record(
        self, version: FunctionVersion, state: State, reason: str | None, code: str | None
    ) -> None:
        """Write how publishing ended, as soon as the catalog can be written: a full disk gets room some time.

        Raises `FunctionNotFound` and `StateConflict` when the version is gone.
        """
        key = (version.function_name, version.version)
        reason = None if reason is None else text(reason, longest=LONGEST_CAUSE)
        wait_s = _RETRY_S
        while True:
            try:
                self._states.set_state(*key, state, reason=reason, reason_code=code)
            except (FunctionNotFound, StateConflict):
                raise
            except CatalogError as error:
                _log.error(
                    "version.not_recorded", function=key[0], version=key[1], reason=str(error)
                )
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
            else:
                return

    async def make_snapshot(self, version: FunctionVersion) -> Snapshot:
        """Take a version's snapshot and put it into the store. Raises what `take_snapshot` raises."""
        store = self._starter.snapshots
        async with store.scratch() as scratch:
            taken = await take_snapshot(self._starter, version, scratch)
            ready = taken.ready
            about = {
                "kind": "version",
                "function": version.function_name,
                "version": version.version,
                "code": version.code.sha256,
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
    starter: Starter, states: VersionStates, fleet: Fleet, *, concurrency: int
) -> AsyncIterator[Publisher]:
    """A publisher; publishing that is under way when this scope ends is given up, its version stays Pending."""
    async with trio.open_nursery() as nursery:
        try:
            yield Publisher(nursery, starter, states, fleet, trio.CapacityLimiter(concurrency))
        finally:
            nursery.cancel_scope.cancel()

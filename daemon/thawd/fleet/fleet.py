"""The fleet: all pools, and the one limit on machines that they share."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.errors import MachineDied
from thawd.fleet.pool import Pool, PoolStatistics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from thawd.catalog.models import FunctionVersion
    from thawd.environments.environment import Environment

_log = structlog.get_logger()

_EXPECTED_BYTES: Final = 64 << 20
"""Memory of its own that a machine is counted with before it can be measured: 20 to 55 MiB were seen."""


@frozen(kw_only=True)
class FleetStatistics:
    """Machines of all pools together, and each pool by `function:version`."""

    machines: int
    max_machines: int
    evictions: int
    pools: dict[str, PoolStatistics]


@define(eq=False)
class Fleet:
    """Machines in service. Made by `open_fleet`, whose nursery owns every environment.

    At most `max_machines` run at a time, and no more than have room in `budget_bytes` by the memory each has for itself
    (measured). When a pool needs one more, the environment that any pool can best do without (the one unused for
    longest) makes room.
    """

    _nursery: trio.Nursery
    _start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]]
    max_machines: int
    ready_target: int
    idle_s: float
    budget_bytes: int | None = None
    _pools: dict[tuple[str, str, str], Pool] = field(factory=dict)
    _machines: int = 0
    _evictions: int = 0

    def pool(self, version: FunctionVersion) -> Pool:
        """The pool of this version; another revision of `$LATEST` is another pool and closes the old one."""
        key = (
            version.function_name,
            version.version,
            version.revision_id if not version.published else "",
        )
        pool = self._pools.get(key)
        if pool is None:
            if not version.published:
                self.forget(version.function_name, version.version)
            pool = self._pools[key] = Pool(
                version,
                self._nursery,
                self._start,
                self._admit,
                self._dismiss,
                ready_target=self.ready_target if version.snapshotted else 0,
                idle_s=self.idle_s,
            )
        return pool

    def forget(self, function_name: str, version: str | None = None) -> None:
        """Retire every environment of a function, or of one version of it."""
        for key in [k for k in self._pools if k[0] == function_name and version in {None, k[1]}]:
            self._pools.pop(key).close("deleted or updated")

    def code_in_use(self) -> set[str]:
        """Digests (base64) of the code that pools start machines with."""
        return {pool.version.code.sha256 for pool in self._pools.values()}

    def statistics(self) -> FleetStatistics:
        """Figures of this moment."""
        return FleetStatistics(
            machines=self._machines,
            max_machines=self.max_machines,
            evictions=self._evictions,
            pools={
                f"{name}:{number}": pool.statistics()
                for (name, number, _), pool in self._pools.items()
            },
        )

    def _admit(self) -> bool:
        """Room for one more machine, made if need be. A retired machine's room is free when it is gone."""
        if not self._has_room():
            candidates = [e for pool in self._pools.values() if (e := pool.evictable()) is not None]
            if candidates:
                least = min(candidates, key=lambda environment: environment.used_at)
                self._evictions += 1
                _log.info("environment.evicted", id=least.id, function=least.version.function_name)
                for pool in self._pools.values():
                    pool.evict(least)
            return False
        self._machines += 1
        return True

    def _has_room(self) -> bool:
        if self._machines >= self.max_machines:
            return False
        if self.budget_bytes is None:
            return True
        used, measured = 0, 0
        for pool in self._pools.values():
            for environment in pool.environments():
                # One that has just died counts as expected until it is gone.
                with suppress(MachineDied):
                    used += environment.machine.statistics().private_bytes
                    measured += 1
        unmeasured = self._machines - measured
        return used + (unmeasured + 1) * _EXPECTED_BYTES <= self.budget_bytes

    def _dismiss(self) -> None:
        self._machines -= 1
        for pool in list(self._pools.values()):
            pool.kick()


@asynccontextmanager
async def open_fleet(
    start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]],
    *,
    max_machines: int,
    ready_target: int,
    idle_s: float,
    budget_bytes: int | None = None,
) -> AsyncIterator[Fleet]:
    """A fleet; when this scope ends every machine of it is gone."""
    async with trio.open_nursery() as nursery:
        try:
            yield Fleet(nursery, start, max_machines, ready_target, idle_s, budget_bytes)
        finally:
            nursery.cancel_scope.cancel()

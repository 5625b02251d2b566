"""The fleet: all pools, and the room for machines, which pools share with publishes, trials and clone tests.

A claim is a need for machines: of a pool whose invocations wait for a start, or of a publish, a trial, a clone test
(`Fleet.room`). Room goes to the oldest claim. Without room, environments that rest are evicted, one for each machine that is
claimed, less those that are leaving. An environment that is returned makes room for another pool's claim if that one has
waited much longer than its own pool's queue. Stock kept in advance makes no claim: it takes room that nobody needs.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import structlog
import trio
from attrs import define, field, frozen

from thawd.catalog.models import FunctionVersion
from thawd.fleet.admission import EXPECTED_BYTES, Admission, Place, first_to_go
from thawd.fleet.pool import NoCapacity, Pool, PoolStatistics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from thawd.environments.environment import Environment

_log = structlog.get_logger()

_PATIENCE_S: Final = 5.0
"""How long a claim waits before it gets an environment's room although that environment's own version has a queue.
Without an end to it, one busy version would keep all others out; with a short one, versions would take turns at the price
of a start for each invocation."""

_STRAGGLERS_S: Final = 60.0
"""How long after its last use a newer configuration of `$LATEST` is still preferred to an older one that is asked for."""

_WORDS: Final = frozenset(
    {
        "role",
        "description",
        "snap_start",
        "tracing_mode",
        "revision_id",
        "last_modified",
        "state",
        "state_reason",
        "state_reason_code",
        "last_update_status",
        "last_update_status_reason",
        "last_update_status_reason_code",
    }
)
"""Settings that no machine ever sees. Any other setting, also a future one, makes another machine."""

_SETTINGS: Final = tuple(
    name for name in attrs.fields_dict(FunctionVersion) if name not in _WORDS | {"environment"}
)


def machine_key(version: FunctionVersion) -> Hashable:
    """The settings that a version's machines depend on. Versions with equal keys can use each other's machines."""
    settings = tuple(getattr(version, name) for name in _SETTINGS)
    return settings, version.snapshotted, tuple(sorted(version.environment.items()))


@frozen(kw_only=True)
class FleetStatistics:
    """All machines together, and each pool by `function:version`.

    `machines` holds the pools' ready, idle, leased and starting ones, those `leaving` (on their way out) and those
    `elsewhere` (publishing, trials, clone tests).
    """

    machines: int
    max_machines: int
    evictions: int
    leaving: int
    elsewhere: int
    pools: dict[str, PoolStatistics]


class _Claim(Protocol):
    """A need for places."""

    @property
    def unmet(self) -> int:
        """How many places it needs."""

    @property
    def since(self) -> float:
        """When the first of them was needed, by trio's clock."""

    @property
    def expected_bytes(self) -> int:
        """Memory of its own that each machine will have."""

    def start(self, place: Place) -> None:
        """Use this place for a machine."""


@define(eq=False)
class _Wish:
    """A claim from outside of the pools."""

    since: float
    place: Place | None = None
    granted: trio.Event = field(factory=trio.Event)
    expected_bytes: int = EXPECTED_BYTES

    @property
    def unmet(self) -> int:
        """See `_Claim`."""
        return 0 if self.place is not None else 1

    def start(self, place: Place) -> None:
        """See `_Claim`."""
        self.place = place
        self.granted.set()


@define(eq=False)
class _Current:
    """The pool that serves a version now. `modified` and `asked_at` are of the last invocation that asked for it."""

    pool: Pool
    modified: str
    asked_at: float


@define(eq=False)
class Fleet:
    """Machines in service. Made by `open_fleet`, whose nursery owns every environment."""

    _nursery: trio.Nursery
    _start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]]
    _admission: Admission
    ready_target: int
    idle_s: float
    _current: dict[tuple[str, str], _Current] = field(factory=dict)
    _pools: dict[Pool, None] = field(factory=dict)
    """Every pool that serves, or still has machines or invocations."""
    _claims: dict[_Claim, None] = field(factory=dict)
    """Every claim that waits for a place."""
    _outside: dict[_Wish, None] = field(factory=dict)
    """Every claim outside of the pools, with a place or without."""
    _evictions: int = 0

    def pool(self, version: FunctionVersion) -> Pool:
        """The pool that serves this version.

        Another code or configuration of `$LATEST` gets a new pool, which supersedes the old one: the old one serves its
        queue, lets invocations end, and keeps no environment. An invocation that was accepted for an older configuration gets the old
        pool, and the newer one stays as it is.
        """
        at = (version.function_name, version.version)
        key = machine_key(version)
        now = trio.current_time()
        current = self._current.get(at)
        if current is not None and current.pool.key == key:
            current.modified = max(current.modified, version.last_modified)
            current.asked_at = now
            return current.pool
        pool = self._find(key) or self._open(key, version)
        if (
            current is not None
            and version.last_modified < current.modified
            and now - current.asked_at < _STRAGGLERS_S
        ):
            pool.supersede()
            return pool
        if current is not None:
            current.pool.supersede()
        pool.reinstate(version)
        self._current[at] = _Current(pool, version.last_modified, now)
        return pool

    def forget(self, function_name: str, version: str | None = None) -> None:
        """A function, or one version of it, was deleted: running invocations may end, everything else is removed."""
        for at in [at for at in self._current if _is_of(at, function_name, version)]:
            del self._current[at]
        for pool in list(self._pools):
            of = (pool.version.function_name, pool.version.version)
            if _is_of(of, function_name, version):
                pool.close()

    @asynccontextmanager
    async def room(self, reason: str, *, wait_s: float = 30.0) -> AsyncIterator[None]:
        """A place for one machine at a time outside of the pools. It waits its turn and evicts as an invocation does.

        Machines that its holder starts one after the other share the place: a base boot, then a clone of it. Never ask
        for a second place inside. `reason` is said in the error: "publishing f:1". Raises `NoCapacity` when there was no
        room within `wait_s` seconds.
        """
        wish = _Wish(trio.current_time())
        self._outside[wish] = self._claims[wish] = None
        self._balance()
        try:
            with trio.move_on_after(wait_s):
                await wish.granted.wait()
            if wish.place is None:
                raise NoCapacity(
                    f"no machine became free for {reason} within {wait_s:g} s",
                    hint="Raise the memory budget or the number of machines in thawd.toml, or retry later",
                )
            yield
        finally:
            del self._outside[wish]
            self._claims.pop(wish, None)
            if wish.place is not None:
                self._admission.give_back(wish.place)
            self._balance()

    def code_in_use(self) -> set[str]:
        """Digests (base64) of the code of machines, and of those that somebody waits for."""
        return {pool.version.code.sha256 for pool in self._pools if not pool.empty}

    def statistics(self) -> FleetStatistics:
        """Figures of this moment."""
        pools: dict[str, PoolStatistics] = {}
        for pool in self._pools:
            name = f"{pool.version.function_name}:{pool.version.version}"
            figures = pool.statistics()
            pools[name] = pools[name] + figures if name in pools else figures
        return FleetStatistics(
            machines=self._admission.machines,
            max_machines=self._admission.max_machines,
            evictions=self._evictions,
            leaving=self._admission.leaving,
            elsewhere=sum(wish.place is not None for wish in self._outside),
            pools=pools,
        )

    # What pools ask for (`pool.Rooms`)

    def settle(self, pool: Pool) -> None:
        """See `Rooms`."""
        if pool.serving or not pool.empty:
            self._pools[pool] = None
        else:
            self._pools.pop(pool, None)
        if pool.unmet:
            self._claims[pool] = None
        else:
            self._claims.pop(pool, None)
        self._balance()

    def spare(self, expected_bytes: int) -> Place | None:
        """See `Rooms`."""
        return None if self._claims else self._admission.take(expected_bytes)

    def give_back(self, place: Place) -> None:
        """See `Rooms`."""
        self._admission.give_back(place)

    def others_first(self, since: float) -> bool:
        """See `Rooms`."""
        latest = min(since, trio.current_time() - _PATIENCE_S)
        overdue = [claim.expected_bytes for claim in self._claims if claim.since < latest]
        if overdue and self._admission.lacks(overdue):
            self._evictions += 1
            return True
        return False

    def _find(self, key: Hashable) -> Pool | None:
        return next((pool for pool in self._pools if pool.key == key and not pool.closed), None)

    def _open(self, key: Hashable, version: FunctionVersion) -> Pool:
        pool = Pool(
            version,
            key,
            self._nursery,
            self._start,
            self,
            ready_target=self.ready_target if version.snapshotted else 0,
            idle_s=self.idle_s,
        )
        self._pools[pool] = None
        return pool

    def _balance(self) -> None:
        """Give free room to the oldest claims, and evict for those that are left."""
        while self._claims:
            claim = min(self._claims, key=lambda one: one.since)
            place = self._admission.take(claim.expected_bytes)
            if place is None:
                break
            claim.start(place)
            if not claim.unmet:
                del self._claims[claim]
        unmet = [claim.expected_bytes for claim in self._claims for _ in range(claim.unmet)]
        while self._admission.lacks(unmet) and self._evict():
            pass

    def _evict(self) -> bool:
        """Retire the environment that can best be done without; False when none rests.

        What only starts, and for nobody, goes first: it must not take the place of one that has served.
        """
        if any(pool.end_start() for pool in self._pools):
            self._evictions += 1
            return True
        least = first_to_go(one for pool in self._pools for one in pool.resting())
        if least is None:
            return False
        self._evictions += 1
        _log.info("environment.evicted", id=least.id, function=least.version.function_name)
        for pool in self._pools:
            pool.evict(least)
        return True


def _is_of(at: tuple[str, str], function_name: str, version: str | None) -> bool:
    return at[0] == function_name and version in {None, at[1]}


@asynccontextmanager
async def open_fleet(
    start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]],
    *,
    max_machines: int,
    ready_target: int,
    idle_s: float,
    budget_bytes: int | None = None,
) -> AsyncIterator[Fleet]:
    """A fleet; when this scope ends every machine of it is gone.

    At most `max_machines` run at a time, and the memory that they have for themselves (measured) is at most `budget_bytes`.
    `ready_target` environments of each version with a snapshot are kept ready while it is in use. An environment that
    nobody uses is kept for `idle_s` seconds.
    """
    async with trio.open_nursery() as nursery:
        try:
            yield Fleet(nursery, start, Admission(max_machines, budget_bytes), ready_target, idle_s)
        finally:
            nursery.cancel_scope.cancel()

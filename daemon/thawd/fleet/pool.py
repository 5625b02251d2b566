"""The pool of one version's environments: restore on demand, keep used ones paused for reuse, keep some ready.

Invocations wait in one queue. The first in it gets the first environment that becomes free: one that another invocation
returns, or one that was started because the queue was longer than the starts under way. So a burst never waits for a
start when a warm environment becomes free meanwhile. A start that nobody waits for any more becomes ready stock.
An invocation is throttled when it had no room for a start in time. Once a start is under way for it, that start's own limits
count: a slow init is the function's, and no reason to throttle.

A pool serves until other code or another configuration supersedes its version, or the version is deleted. From then on it
keeps no environment that rests, and running invocations may end. Its queue is served if it was superseded, and refused if
the version was deleted.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio
from attrs import astuple, define, field, fields, frozen

from thawd.environments.environment import Environment, Stage
from thawd.errors import MachineDied, ThawError
from thawd.fleet.admission import EXPECTED_BYTES, Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from thawd.catalog.models import FunctionVersion

_log = structlog.get_logger()

_LINGER_S: Final = 0.1
"""How long an environment stays running after an invocation. Pausing and resuming cost about 0.6 ms each
(QEMU 10, measured), which back-to-back invocations need not pay; a running idle guest costs 0.4 to 0.8 % of a core."""

_WAKE_S: Final = 1.0
"""How long an invocation waits for the processors of a paused environment before it tries another one. They run again within a
millisecond (QEMU 10, measured); a VMM that is silent for the whole of its own deadline is killed."""

_MOST_LOSSES: Final = 2
"""Starts that may lose their machine before the waiting invocation gets the error: a snapshot that kills each machine
must not be restored for ever."""

_FIRST_WEIGHING_S: Final = 0.5
_WEIGH_EVERY_S: Final = 5.0
"""How often a running machine's memory is measured (0.7 ms for a clone of 64 MiB). A paused one's is measured once."""


class NoCapacity(ThawError):
    """Every machine this host may run is busy, or the version's concurrency is used up."""


class Deleted(ThawError):
    """The version was deleted before the invocation had begun."""


@frozen(kw_only=True)
class PoolStatistics:
    """Environments of a version by stage, invocations that wait, and counts since the pool was made."""

    ready: int
    idle: int
    leased: int
    starting: int
    waiting: int
    started: int
    failed: int
    reused: int

    def __add__(self, other: PoolStatistics) -> PoolStatistics:
        names = [one.name for one in fields(PoolStatistics)]
        sums = map(sum, zip(astuple(self), astuple(other), strict=True))
        return PoolStatistics(**dict(zip(names, sums, strict=True)))


class Rooms(Protocol):
    """The fleet, as far as a pool uses it."""

    def settle(self, pool: Pool) -> None:
        """The pool's queue, stock or places changed: start and evict accordingly."""

    def spare(self, expected_bytes: int) -> Place | None:
        """A place that no claim needs now, or None."""

    def give_back(self, place: Place) -> None:
        """A machine is gone. `settle` is called afterwards."""

    def others_first(self, since: float) -> bool:
        """Whether a returned environment must make room for a claim of others; its own pool's queue waits since `since`."""


class _Service(Enum):
    SERVING = auto()
    SUPERSEDED = auto()
    CLOSED = auto()


@define(eq=False)
class _Waiter:
    """An invocation in the queue. It gets a leased environment, or the error that a start ended with."""

    since: float
    served: trio.Event = field(factory=trio.Event)
    environment: Environment | None = None
    error: Exception | None = None
    late: bool = False
    """Its time to wait for room is over; only a start that is under way for it keeps it in the queue."""
    losses: int = 0
    """Starts that lost their machine while it was the first in the queue."""


@define(eq=False)
class _Life:
    """One machine from the moment its place was taken, before its task's first step, until it is gone."""

    place: Place
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def end(self) -> None:
        """End a start. A task that has not begun yet sees it before it does anything."""
        self.scope.cancel()
        self.place.leaving = True


@define(eq=False)
class _Waking:
    """An environment whose processors are told to run."""

    done: trio.Event = field(factory=trio.Event)
    error: ThawError | None = None
    unwanted: bool = False
    """Whoever waited for it has something else, or is gone."""


@define(eq=False)
class Pool:
    """One version's environments. Its tasks run in the fleet's nursery.

    `start` is the scope that starts one environment, `rooms` the fleet, which gives places to pools and takes them back.
    `ready_target` environments are kept ready while the version is in demand, that is until `idle_s` seconds after its
    last invocation, as far as there is room that nobody else needs. `key` tells pools apart: see `fleet.machine_key`.
    """

    version: FunctionVersion
    key: Hashable
    _nursery: trio.Nursery
    _start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]]
    _rooms: Rooms
    ready_target: int = 0
    idle_s: float = 300.0
    linger_s: float = _LINGER_S
    _ready: list[Environment] = field(factory=list)
    _idle: list[Environment] = field(factory=list)
    _leased: set[Environment] = field(factory=set)
    _waiters: deque[_Waiter] = field(factory=deque)
    _starting: dict[_Life, None] = field(factory=dict)
    _lives: dict[Environment, _Life] = field(factory=dict)
    _service: _Service = _Service.SERVING
    _wanted_at: float = float("-inf")
    _typical_bytes: int = EXPECTED_BYTES
    """Memory that the version's machine measured last has for itself: the next one is expected to take as much."""
    _started: int = 0
    _failed: int = 0
    _reused: int = 0

    def statistics(self) -> PoolStatistics:
        """Figures of this moment."""
        return PoolStatistics(
            ready=len(self._ready),
            idle=len(self._idle),
            leased=len(self._leased),
            starting=len(self._starting),
            waiting=len(self._waiters),
            started=self._started,
            failed=self._failed,
            reused=self._reused,
        )

    @asynccontextmanager
    async def lease(self, *, wait_s: float) -> AsyncIterator[Environment]:
        """An environment for one invocation, running. Set `reusable` on it when it may serve another.

        Raises the error of its start (`RestoreFailure`, `InitFailure`, ...), `NoCapacity` when there was none and no
        start under way for it after `wait_s` seconds, `Deleted` when the version was deleted meanwhile.
        """
        environment = await self._acquire(wait_s)
        environment.reusable = False
        try:
            yield environment
        finally:
            self._give_back(environment)

    # Its life, as the fleet sees it

    @property
    def serving(self) -> bool:
        """Whether it is the pool that serves its version now."""
        return self._service is _Service.SERVING

    @property
    def closed(self) -> bool:
        """Whether its version was deleted."""
        return self._service is _Service.CLOSED

    @property
    def empty(self) -> bool:
        """Whether it has no machine and nobody waits."""
        return not (self._waiters or self._starting or self._lives)

    def reinstate(self, version: FunctionVersion) -> None:
        """Serve again, as this version, which differs from the one before at most in words (`fleet._WORDS`)."""
        self.version = version
        self._service = _Service.SERVING

    def supersede(self) -> None:
        """Serve the queue and let invocations end; keep no environment that rests."""
        self._service = _Service.SUPERSEDED
        self._empty_stock("its function was updated")

    def close(self) -> None:
        """Refuse the queue and let invocations end; keep no environment, and never serve again."""
        self._service = _Service.CLOSED
        while self._waiters:
            self._fail(self._deleted())
        self._empty_stock("its function was deleted")

    # Its claim on room for machines

    @property
    def unmet(self) -> int:
        """Starts that its queue needs and that have no place yet."""
        return max(0, len(self._waiters) - len(self._starting))

    @property
    def since(self) -> float:
        """When the first invocation that needs one of them began to wait."""
        return self._waiters[len(self._starting)].since

    @property
    def expected_bytes(self) -> int:
        """Memory of its own that its next machine is counted with until it is measured."""
        return max(EXPECTED_BYTES, self._typical_bytes)

    def start(self, place: Place) -> None:
        """Start an environment in this place."""
        life = _Life(place)
        self._starting[life] = None
        self._nursery.start_soon(self._keep, life)

    def resting(self) -> list[Environment]:
        """Environments that no invocation has."""
        return [*self._idle, *self._ready]

    def end_start(self) -> bool:
        """End the youngest start that nobody waits for; False when somebody waits for each."""
        if len(self._starting) <= len(self._waiters):
            return False
        life, _ = self._starting.popitem()
        life.end()
        return True

    def evict(self, environment: Environment) -> None:
        """Retire an environment of this pool that rests; no effect on any other."""
        if environment in self._idle or environment in self._ready:
            self._retire(environment, "evicted: its room was needed")

    # Leases

    async def _acquire(self, wait_s: float) -> Environment:
        self._wanted_at = trio.current_time()
        deadline = self._wanted_at + wait_s
        while True:
            environment = self._from_stock() or await self._from_queue(deadline)
            if environment is None:
                raise NoCapacity(
                    f"no machine became free within {wait_s:g} s",
                    hint="Raise the memory budget or the number of machines in thawd.toml, or retry later",
                )
            if not environment.paused or await self._wake(environment):
                return environment

    async def _wake(self, environment: Environment) -> bool:
        """Resume an environment. False when it is lost or late: the caller takes another one meanwhile."""
        waking = _Waking()
        self._nursery.start_soon(self._resume, environment, waking)
        try:
            with trio.move_on_after(_WAKE_S):
                await waking.done.wait()
        except BaseException:
            waking.unwanted = True
            if waking.done.is_set():
                self._put_back_woken(environment, waking)
            raise
        if not waking.done.is_set():
            _log.warning("environment.late", id=environment.id, waited_s=_WAKE_S)
            waking.unwanted = True
            return False
        if waking.error is not None:
            self._put_back_woken(environment, waking)
            return False
        return True

    async def _resume(self, environment: Environment, waking: _Waking) -> None:
        """Resume an environment for an invocation; if that does not want it any more, put it back."""
        try:
            await environment.resume()
        except ThawError as error:
            waking.error = error
        waking.done.set()
        if waking.unwanted:
            self._put_back_woken(environment, waking)

    def _put_back_woken(self, environment: Environment, waking: _Waking) -> None:
        if waking.error is not None:
            # It died while it was paused, or its VMM was silent for so long that it was killed.
            _log.warning("environment.lost", id=environment.id, reason=str(waking.error))
            self._retire(environment, "died while paused")
        else:
            environment.reusable = True  # nothing was done with it
            self._give_back(environment)

    def _from_stock(self) -> Environment | None:
        if self.closed:
            raise self._deleted()
        for stock in (self._idle, self._ready):
            while stock:
                environment = stock[-1]
                if environment.healthy:
                    self._take(environment)
                    return environment
                self._retire(environment, "died while it rested")
        return None

    async def _from_queue(self, deadline: float) -> Environment | None:
        """The first environment that becomes free; None when there was none, and no room to start one, in time."""
        waiter = _Waiter(trio.current_time())
        self._waiters.append(waiter)
        self._settle()
        try:
            with trio.move_on_at(deadline):
                await waiter.served.wait()
            if not waiter.served.is_set():
                waiter.late = True
                self._settle()
                await waiter.served.wait()
        except BaseException:
            # The invocation is gone. An environment that it was given meanwhile goes to the next in the queue.
            if waiter.environment is not None:
                self._put_back(waiter.environment)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._settle()
        if waiter.error is not None:
            raise waiter.error
        return waiter.environment

    def _throttle(self) -> bool:
        """Send those away whose time to wait is over and for whom no start is under way; whether there were any."""
        late = [one for one in list(self._waiters)[len(self._starting) :] if one.late]
        for waiter in late:
            self._waiters.remove(waiter)
            waiter.served.set()
        return bool(late)

    def _take(self, environment: Environment) -> None:
        self._drop(environment)
        environment.stage = Stage.LEASED
        self._reused += environment.uses > 0
        environment.uses += 1
        environment.used_at = trio.current_time()
        if environment.rested.is_set():
            # An event that is not set is kept: `_tend` waits for it when an environment goes straight to the next invocation.
            environment.rested = trio.Event()
        environment.taken.set()
        self._leased.add(environment)

    def _give_back(self, environment: Environment) -> None:
        environment.used_at = self._wanted_at = trio.current_time()
        if environment.reusable:
            self._offer(environment)
        else:
            self._retire(environment, "not fit for another invocation")
        # Ready ones are made now and not at the lease: a restore would take processors from the invocation.
        self._top_up()
        self._settle()

    def _put_back(self, environment: Environment) -> None:
        """An invocation was given it and left without using it."""
        environment.uses -= 1
        self._reused -= environment.uses > 0
        self._offer(environment)
        self._settle()

    def _offer(self, environment: Environment) -> None:
        """Give a free environment to the first in the queue, or put it into stock."""
        self._leased.discard(environment)
        if not environment.healthy:
            self._retire(environment, "its machine is gone")
        elif self._waiters:
            if environment.uses and self._rooms.others_first(self._waiters[0].since):
                self._retire(environment, "evicted: its room was needed")
                return
            waiter = self._waiters.popleft()
            self._take(environment)
            waiter.environment = environment
            waiter.served.set()
        elif self.serving:
            environment.stage = Stage.IDLE if environment.uses else Stage.READY
            (self._idle if environment.uses else self._ready).append(environment)
            environment.taken = trio.Event()
            environment.rested.set()
        else:
            self._retire(environment, f"its function was {self._service.name.lower()}")

    def _deleted(self) -> Deleted:
        return Deleted(f"{self.version.function_name}:{self.version.version} was deleted")

    def _fail(self, error: Exception) -> None:
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.error = error
            waiter.served.set()

    # Machines

    def _settle(self) -> None:
        self._rooms.settle(self)
        if self._throttle():
            self._rooms.settle(self)

    def _top_up(self) -> None:
        in_demand = trio.current_time() - self._wanted_at < self.idle_s
        if not self.serving or not in_demand:
            return
        missing = self.ready_target - len(self._ready) - len(self._starting) + len(self._waiters)
        for _ in range(missing):
            place = self._rooms.spare(self.expected_bytes)
            if place is None:
                return
            self.start(place)

    def _empty_stock(self, reason: str) -> None:
        for environment in self.resting():
            self._retire(environment, reason)
        while self.end_start():
            pass
        self._settle()

    def _retire(self, environment: Environment, reason: str) -> None:
        """End an environment's life. Its place is free when its machine is gone. Idempotent."""
        self._drop(environment)
        self._leased.discard(environment)
        environment.retire(reason)
        life = self._lives.get(environment)
        if life is not None:
            life.place.leaving = True

    def _drop(self, environment: Environment) -> None:
        for stock in (self._idle, self._ready):
            if environment in stock:
                stock.remove(environment)

    async def _keep(self, life: _Life) -> None:
        """One environment's life, from its start to the end of its machine."""
        environment: Environment | None = None
        try:
            with life.scope:
                if life.scope.cancel_called:
                    return
                async with self._start(self.version) as environment:
                    self._came_up(life, environment)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._tend, environment)
                        nursery.start_soon(self._watch, environment)
                        nursery.start_soon(self._weigh, environment)
                        await environment.retired.wait()
                        nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - the invocation that waits gets it, and nobody else
            if environment is None:
                self._start_failed(life, error)
            else:
                _log.warning("environment.ended", reason=str(error))
        finally:
            self._starting.pop(life, None)
            if environment is not None:
                # Also when its task ended by itself: it must not stay in stock.
                self._retire(environment, "its machine is gone")
                del self._lives[environment]
            self._rooms.give_back(life.place)
            self._settle()

    def _came_up(self, life: _Life, environment: Environment) -> None:
        self._lives[environment] = life
        self._started += 1
        environment.used_at = trio.current_time()
        if life in self._starting:
            del self._starting[life]
            self._offer(environment)
        else:
            # Its start was ended in the tick in which it came up.
            self._retire(environment, "nobody needs it any more")
        self._settle()

    def _start_failed(self, life: _Life, error: Exception) -> None:
        self._failed += 1
        _log.warning(
            "environment.start_failed",
            function=self.version.function_name,
            version=self.version.version,
            error=type(error).__name__,
            reason=str(error),
        )
        if life not in self._starting:
            return  # it was ended: no invocation waits for it
        del self._starting[life]
        first = self._waiters[0] if self._waiters else None
        if isinstance(error, MachineDied) and first is not None and first.losses < _MOST_LOSSES:
            # A machine that died says nothing about the function. The queue is as long as before, so another start follows.
            first.losses += 1
        else:
            self._fail(error)

    async def _watch(self, environment: Environment) -> None:
        """Take a dead machine out of stock at once, not at the next lease."""
        await environment.session.ended.wait()
        if environment.stage is not Stage.LEASED:
            self._retire(environment, str(environment.session.failure()))

    async def _tend(self, environment: Environment) -> None:
        """Pause the environment when it rests; retire it when it has rested for long."""
        while True:
            await environment.rested.wait()
            taken = environment.taken
            with trio.move_on_after(self.linger_s if environment.uses else 0):
                await taken.wait()
            if taken.is_set():
                continue
            try:
                await environment.pause()
                if taken.is_set():
                    # Leased during the pause, when it still counted as running.
                    await environment.resume()
            except ThawError as error:
                self._retire(environment, str(error))
                return
            self._measure(environment)
            with trio.move_on_at(environment.used_at + self.idle_s):
                await taken.wait()
            if not taken.is_set():
                self._retire(environment, "idle")
                return

    async def _weigh(self, environment: Environment) -> None:
        """Measure a running machine's memory every few seconds, for an invocation may take any amount."""
        await trio.sleep(_FIRST_WEIGHING_S)
        while True:
            if not environment.paused:
                self._measure(environment)
            await trio.sleep(_WEIGH_EVERY_S)

    def _measure(self, environment: Environment) -> None:
        with suppress(MachineDied):
            size = environment.machine.statistics().private_bytes
            self._lives[environment].place.bytes = self._typical_bytes = size
            self._settle()

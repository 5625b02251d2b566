"""The pool of one version's environments: restore on demand, keep used ones paused for reuse, keep some ready.

Whoever wants an environment waits in one queue. It is served by whatever comes first: an environment that another
invocation gives back, or one that was started because the queue was longer than the starts under way. So a burst
never waits for a start when a warm environment frees up meanwhile, and what was started in vain becomes ready stock.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.environments.environment import Environment, Stage
from thawd.errors import MachineDied, ThawError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from thawd.catalog.models import FunctionVersion

_log = structlog.get_logger()

_LINGER_S: Final = 0.1
"""How long an environment stays running after an invocation. Pausing and resuming cost about 0.6 ms each
(QEMU 10, measured), which back-to-back invocations need not pay; a running idle guest costs 0.4 to 0.8 % of a core."""

_MOST_LOSSES: Final = 2
"""Starts whose machine died under them, before the invocation that waits is told: a snapshot that kills its machine
must not be restored for ever."""


class NoCapacity(ThawError):
    """Every machine this host may run is busy, or the version's concurrency is used up."""


@frozen(kw_only=True)
class PoolStatistics:
    """Environments of a version by stage, invocations waiting, and what was done so far."""

    ready: int
    idle: int
    leased: int
    starting: int
    waiting: int
    started: int
    failed: int
    reused: int


@define(eq=False)
class _Waiter:
    """Somebody in the queue; gets an environment or the error its start ended with."""

    served: trio.Event = field(factory=trio.Event)
    environment: Environment | None = None
    error: Exception | None = None
    losses: int = 0
    """Starts that were lost while it was the first in the queue."""


@define(eq=False)
class Pool:
    """One version's environments. Its tasks run in the fleet's nursery; `close()` retires everything.

    `start` is the scope that starts one environment, `admit` asks the fleet for room for one more machine and
    `dismiss` gives the room back. `ready_target` environments are kept ready while the version is in demand, that is
    until `idle_s` seconds after its last invocation.
    """

    version: FunctionVersion
    _nursery: trio.Nursery
    _start: Callable[[FunctionVersion], AbstractAsyncContextManager[Environment]]
    _admit: Callable[[], bool]
    _dismiss: Callable[[], None]
    ready_target: int = 0
    idle_s: float = 300.0
    linger_s: float = _LINGER_S
    _ready: deque[Environment] = field(factory=deque)
    _idle: list[Environment] = field(factory=list)
    _leased: set[Environment] = field(factory=set)
    _waiters: deque[_Waiter] = field(factory=deque)
    _starting: int = 0
    _started: int = 0
    _failed: int = 0
    _reused: int = 0
    _wanted_at: float = float("-inf")
    _closed: bool = False
    _lives: set[trio.CancelScope] = field(factory=set)

    def statistics(self) -> PoolStatistics:
        """Figures of this moment."""
        return PoolStatistics(
            ready=len(self._ready),
            idle=len(self._idle),
            leased=len(self._leased),
            starting=self._starting,
            waiting=len(self._waiters),
            started=self._started,
            failed=self._failed,
            reused=self._reused,
        )

    def environments(self) -> list[Environment]:
        """All environments in service."""
        return [*self._leased, *self._idle, *self._ready]

    @asynccontextmanager
    async def lease(self, *, wait_s: float) -> AsyncIterator[Environment]:
        """An environment for one invocation, running. Set `reusable` on it when it may serve another.

        Raises whatever its start raised (`RestoreFailure`, `InitFailure`, ...), or `NoCapacity` when there was none
        within `wait_s` seconds.
        """
        environment = await self._acquire(wait_s)
        environment.reusable = False
        try:
            yield environment
        finally:
            self._give_back(environment)

    def prewarm(self) -> None:
        """Start what `ready_target` asks for, as if there were demand now."""
        self._wanted_at = trio.current_time()
        self._top_up()

    def evictable(self) -> Environment | None:
        """The environment this pool can best do without, if any: the least recently used idle or ready one."""
        resting = [*self._idle, *self._ready]
        return min(resting, key=lambda environment: environment.used_at, default=None)

    def evict(self, environment: Environment) -> None:
        """Retire an environment of this pool that rests; no effect on any other."""
        if environment in self._idle or environment in self._ready:
            self._drop(environment)
            environment.retire("evicted: its room was needed")

    def close(self, reason: str) -> None:
        """Retire everything and serve nobody any more."""
        self._closed = True
        for environment in self.environments():
            environment.retire(reason)
        while self._waiters:
            self._fail(
                NoCapacity(f"{self.version.function_name}:{self.version.version} was deleted")
            )
        for life in self._lives:
            life.cancel()

    async def _acquire(self, wait_s: float) -> Environment:
        self._wanted_at = trio.current_time()
        while True:
            environment = await self._next(wait_s)
            self._take(environment)
            try:
                await environment.resume()
            except ThawError as error:
                # It died while it was paused; the next one, or a new one, will do.
                _log.warning("environment.lost", id=environment.id, reason=str(error))
                environment.retire("died while paused")
                self._leased.discard(environment)
                continue
            except BaseException:
                self._give_back(environment)
                raise
            return environment

    async def _next(self, wait_s: float) -> Environment:
        if self._closed:
            raise NoCapacity(f"{self.version.function_name}:{self.version.version} was deleted")
        for stock in (self._idle, self._ready):
            while stock:
                environment = stock.pop()
                if environment.healthy:
                    self._reused += stock is self._idle
                    return environment
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._start_for_waiters()
        try:
            with trio.move_on_after(wait_s):
                await waiter.served.wait()
        except BaseException:
            # The client went away. What was given to it meanwhile goes to the next in the queue.
            if waiter.environment is not None:
                self._offer(waiter.environment)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if waiter.error is not None:
            raise waiter.error
        if waiter.environment is None:
            raise NoCapacity(
                f"no machine became free within {wait_s:g} s",
                hint="Raise the memory budget or the number of machines in thawd.toml, or retry later",
            )
        return waiter.environment

    def _take(self, environment: Environment) -> None:
        environment.stage = Stage.LEASED
        environment.uses += 1
        environment.used_at = trio.current_time()
        environment.rested = trio.Event()
        environment.taken.set()
        self._leased.add(environment)

    def _give_back(self, environment: Environment) -> None:
        self._leased.discard(environment)
        environment.used_at = self._wanted_at = trio.current_time()
        if environment.reusable and environment.healthy and not self._closed:
            environment.stage = Stage.IDLE
            environment.taken = trio.Event()
            environment.rested.set()
            self._offer(environment)
        else:
            environment.retire(environment.reason or "not fit for another invocation")
        # Stock is made up now and not at the lease: a restore would have taken processors from the invocation.
        self._top_up()

    def _offer(self, environment: Environment) -> None:
        """Give a free environment to whoever waits longest, or put it into stock."""
        while self._waiters:
            waiter = self._waiters.popleft()
            waiter.environment = environment
            waiter.served.set()
            return
        if environment.stage is Stage.READY:
            self._ready.append(environment)
        else:
            self._idle.append(environment)

    def _fail(self, error: Exception) -> None:
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.error = error
            waiter.served.set()

    def _lost(self, error: MachineDied) -> None:
        """A machine died while it started, which says nothing of the function: start another."""
        if self._waiters and self._waiters[0].losses < _MOST_LOSSES:
            self._waiters[0].losses += 1
            self._start_for_waiters()
        else:
            self._fail(error)

    def kick(self) -> None:
        """There may be room for a start that was refused before."""
        self._start_for_waiters()

    def _start_for_waiters(self) -> None:
        while self._starting < len(self._waiters) and self._admit():
            self._starting += 1
            self._nursery.start_soon(self._keep)

    def _in_demand(self) -> bool:
        return trio.current_time() - self._wanted_at < self.idle_s

    def _top_up(self) -> None:
        missing = self.ready_target - len(self._ready) - self._starting + len(self._waiters)
        if self._closed or not self._in_demand():
            return
        for _ in range(missing):
            if not self._admit():
                return
            self._starting += 1
            self._nursery.start_soon(self._keep)

    async def _keep(self) -> None:
        """One environment's life, from its start to the end of its machine."""
        starting = True
        life = trio.CancelScope()
        self._lives.add(life)
        try:
            with life:
                async with self._start(self.version) as environment:
                    self._starting -= 1
                    starting = False
                    self._started += 1
                    environment.used_at = trio.current_time()
                    environment.rested.set()
                    self._offer(environment)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._tend, environment)
                        nursery.start_soon(self._watch, environment)
                        await environment.retired.wait()
                        nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - whatever a start raises belongs to whoever waits for it
            if starting:
                self._failed += 1
                _log.warning(
                    "environment.start_failed",
                    function=self.version.function_name,
                    version=self.version.version,
                    error=type(error).__name__,
                    reason=str(error),
                )
                self._starting -= 1
                starting = False
                if isinstance(error, MachineDied):
                    self._lost(error)
                else:
                    self._fail(error)
            else:
                _log.warning("environment.ended", reason=str(error))
        finally:
            self._lives.discard(life)
            if starting:
                self._starting -= 1
            self._dismiss()

    async def _watch(self, environment: Environment) -> None:
        """Take a dead machine out of stock at once, not when somebody wants it."""
        await environment.session.ended.wait()
        if environment.stage is not Stage.LEASED:
            environment.retire(str(environment.session.failure()))
            self._drop(environment)

    async def _tend(self, environment: Environment) -> None:
        """Pause what nobody uses; retire what nobody has used for long."""
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
                    # Leased while the pause was on its way: whoever leased it saw it running.
                    await environment.resume()
            except ThawError as error:
                environment.retire(str(error))
                self._drop(environment)
                return
            with trio.move_on_at(environment.used_at + self.idle_s):
                await taken.wait()
            if not taken.is_set():
                environment.retire("idle")
                self._drop(environment)
                return

    def _drop(self, environment: Environment) -> None:
        if environment in self._idle:
            self._idle.remove(environment)
        if environment in self._ready:
            self._ready.remove(environment)

"""Invocations: each waits its turn, gets a machine, and has an outcome.

An invocation runs in the invoker's nursery, not in the client's request. Once it has begun it goes on to its end when the
client hangs up, as on Lambda. If it still waits for a machine then, it leaves the queue.

A machine that dies or is silent before its agent has taken the event is replaced, and the client does not notice. After
that the function may have begun, and the event is never handed out a second time.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio
from attrs import define, evolve, field, frozen

from thawd.catalog.models import State
from thawd.errors import SnapshotError, ThawError
from thawd.guest.failures import InitFailure
from thawd.invoke.outcome import Invocation, NotRun, Outcome, Reason, failed, function_error
from thawd.invoke.refusal import needs_snapshot, refusal_by_state, refusal_of
from thawd.invoke.run import NotBegun, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.catalog.models import FunctionVersion
    from thawd.fleet.fleet import Fleet
    from thawd.fleet.pool import Pool
    from thawd.reserve import Reserve

_log = structlog.get_logger()

_MOST_MACHINES: Final = 3
"""Machines that may be lost to one invocation before it has begun, the last of which is its own failure."""

QUEUED_BYTES: Final = 128 << 20
"""Events of all invocations that wait for a machine, together: half of what the HTTP server holds, so that a long queue
leaves room for other requests."""


class MakeAgain(Protocol):
    """Makes a version's snapshot again, or waits if that is under way."""

    async def __call__(self, version: FunctionVersion, reason: str, /) -> FunctionVersion:
        """The version as it is then. Raises `CatalogError`."""


@frozen(kw_only=True)
class InvokerStatistics:
    """Invocations under way and ended so far, whether or not their client stayed to hear of it."""

    running: int
    """Under way, including those that wait for a machine."""
    queued: int
    """Those of them that wait for a machine."""
    queued_bytes: int
    """Bytes of their events."""
    succeeded: int
    failed: int
    refused: int
    abandoned: int
    """Not begun because their client left first."""


@define(eq=False)
class _Turn:
    """One invocation's place in the queue, and the outcome that its client waits for."""

    life: trio.CancelScope = field(factory=trio.CancelScope)
    """Holds the task."""
    queued: bool = True
    abandoned: bool = False
    """Whether the client left while it was queued."""
    given: trio.Event = field(factory=trio.Event)
    outcome: Outcome | None = None

    def give(self, outcome: Outcome) -> None:
        """The first one counts."""
        if not self.given.is_set():
            self.outcome = outcome
            self.given.set()

    def leave(self) -> None:
        """The client has gone: leave the queue, unless a machine was had."""
        if self.queued:
            self.abandoned = True
            self.life.cancel()


@define(eq=False)
class Invoker:
    """Runs invocations. Made by `open_invoker`, whose nursery owns them.

    `capacity_wait_s` is how long an invocation waits for a machine before it is throttled, and for a snapshot that is
    made again; `queue_limit` how many bytes the events of those that wait may have together.
    """

    _nursery: trio.Nursery
    _fleet: Fleet
    _make_again: MakeAgain
    _reserve: Reserve | None = None
    capacity_wait_s: float = 30.0
    queue_limit: int = QUEUED_BYTES
    _under_way: set[_Turn] = field(factory=set)
    _stopped: bool = False
    _queued: int = 0
    _queued_bytes: int = 0
    _succeeded: int = 0
    _failed: int = 0
    _refused: int = 0
    _abandoned: int = 0
    _at_rest: trio.Event = field(factory=trio.Event)

    def statistics(self) -> InvokerStatistics:
        """Figures of this moment."""
        return InvokerStatistics(
            running=len(self._under_way),
            queued=self._queued,
            queued_bytes=self._queued_bytes,
            succeeded=self._succeeded,
            failed=self._failed,
            refused=self._refused,
            abandoned=self._abandoned,
        )

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation and return its outcome. Raises nothing but cancellation."""
        version = invocation.version
        refusal = refusal_by_state(version) or self._refusal_by_queue(invocation)
        if refusal is not None:
            self._refused += 1
            return refusal
        if self._reserve is not None:
            self._reserve.ease()
        # Now and not in the task, which begins later: the pool knows if the version is deleted meanwhile.
        pool = None if needs_snapshot(version) else self._fleet.pool(version)
        turn = _Turn()
        self._under_way.add(turn)
        self._queued += 1
        self._queued_bytes += len(invocation.payload)
        self._nursery.start_soon(self._serve, pool, invocation, turn)
        try:
            await turn.given.wait()
        except trio.Cancelled:
            turn.leave()
            raise
        assert turn.outcome is not None  # noqa: S101 - given with the event
        return turn.outcome

    async def drain(self, deadline_s: float) -> None:
        """Let invocations end, then cancel the rest: their clients are told, their logs get the last lines. Final."""
        with trio.move_on_after(deadline_s):
            await self._rest()
        if self._under_way:
            _log.warning("invocations.cut_short", running=len(self._under_way), waited_s=deadline_s)
        self._stopped = True
        for turn in self._under_way:
            turn.life.cancel()
        await self._rest()

    async def _rest(self) -> None:
        while self._under_way:
            self._at_rest = trio.Event()
            await self._at_rest.wait()

    def _refusal_by_queue(self, invocation: Invocation) -> NotRun | None:
        """Refuse an invocation after the drain, or one that would make the queue too large."""
        if self._stopped:
            return NotRun(reason=Reason.STOPPING)
        if not self._queued or self._queued_bytes + len(invocation.payload) <= self.queue_limit:
            return None
        detail = (
            f"{self._queued} invocations wait for a machine, and their events have "
            f"{self._queued_bytes >> 20} MiB"
        )
        return NotRun(reason=Reason.THROTTLED, detail=detail)

    async def _serve(self, pool: Pool | None, invocation: Invocation, turn: _Turn) -> None:
        try:
            with turn.life:
                await self._answer(pool, invocation, turn)
        finally:
            self._leave_queue(invocation, turn)
            turn.give(NotRun(reason=Reason.STOPPING))
            self._under_way.discard(turn)
            self._count(turn)
            if not self._under_way:
                self._at_rest.set()

    def _leave_queue(self, invocation: Invocation, turn: _Turn) -> None:
        """It has a machine, or does not wait for one any more."""
        if turn.queued:
            turn.queued = False
            self._queued -= 1
            self._queued_bytes -= len(invocation.payload)

    def _count(self, turn: _Turn) -> None:
        if turn.abandoned:
            self._abandoned += 1
        elif isinstance(turn.outcome, NotRun):
            self._refused += 1
        elif turn.outcome is not None and turn.outcome.function_error:
            self._failed += 1
        else:
            self._succeeded += 1

    async def _answer(self, pool: Pool | None, invocation: Invocation, turn: _Turn) -> None:
        """See that the invocation has an outcome, whatever is raised on the way."""
        version = invocation.version
        refused = version.state_reason or "it was lost"
        try:
            if pool is not None:
                try:
                    await self._run_somewhere(pool, invocation, turn)
                except SnapshotError as error:
                    if not version.snapshotted:
                        raise
                    refused = str(error)
                else:
                    return
            # The snapshot was made once, so it can be made again.
            version = await self._with_snapshot(version, refused)
            invocation = evolve(invocation, version=version)
            await self._run_somewhere(self._fleet.pool(version), invocation, turn)
        except _NotReady as error:
            turn.give(NotRun(reason=Reason.NOT_READY, detail=str(error)))
        except InitFailure as failure:
            if failure.body:
                turn.give(failed(invocation, failure.body.encode()))
            else:
                turn.give(function_error(invocation, failure.error_type, failure.message))
        except ThawError as error:
            refusal = refusal_of(error, version)
            if refusal.reason is Reason.SYSTEM:
                _log.error("invocation.failed", request_id=invocation.request_id, reason=str(error))
            turn.give(refusal)
        except Exception as error:  # noqa: BLE001
            # One invocation's trouble with our own code must not end the others.
            _log.exception("invocation.crashed", request_id=invocation.request_id)
            turn.give(NotRun(reason=Reason.SYSTEM, detail=f"internal error: {error!r}"))

    async def _with_snapshot(self, version: FunctionVersion, refused: str) -> FunctionVersion:
        """The version once its snapshot was made again. Raises `_NotReady`, `CatalogError`."""
        now = version
        with trio.move_on_after(self.capacity_wait_s) as limit:
            now = await self._make_again(version, refused)
        if limit.cancelled_caught:
            raise _NotReady(f"Its snapshot was not made again within {self.capacity_wait_s:g} s")
        if now.state is not State.ACTIVE:
            raise _NotReady(now.state_reason or "Its snapshot could not be made again")
        return now

    async def _run_somewhere(self, pool: Pool, invocation: Invocation, turn: _Turn) -> None:
        """Run it on one of the version's machines, and on another while it has not begun."""
        for machine in range(1, _MOST_MACHINES + 1):
            async with pool.lease(wait_s=self.capacity_wait_s) as environment:
                if turn.abandoned:
                    environment.reusable = True  # nothing was done with it
                    return
                self._leave_queue(invocation, turn)
                try:
                    await run(environment, invocation, turn.give, last=machine == _MOST_MACHINES)
                except NotBegun as lost:
                    _log.warning(
                        "invocation.moved",
                        request_id=invocation.request_id,
                        environment=environment.id,
                        reason=str(lost),
                    )
                else:
                    return


class _NotReady(ThawError):
    """The version's snapshot is not there in time, or not at all."""


@asynccontextmanager
async def open_invoker(
    fleet: Fleet,
    make_again: MakeAgain,
    *,
    reserve: Reserve | None = None,
    capacity_wait_s: float = 30.0,
) -> AsyncIterator[Invoker]:
    """An invoker; invocations still running when this scope ends are given up."""
    async with trio.open_nursery() as nursery:
        try:
            yield Invoker(nursery, fleet, make_again, reserve, capacity_wait_s)
        finally:
            nursery.cancel_scope.cancel()

"""One invocation: lease an environment, hand it the event, answer, write the log lines, give it back or retire it.

An invocation runs in the invoker's nursery, not in the client's request: like Lambda's, once begun it goes on to its end
when the client hangs up. One that still waits for a machine then leaves the queue: nobody wants it. The client has its answer as soon as the runtime has posted one; START, END and REPORT, and the
environment's return to the pool, wait for the runtime to ask for its next invocation.
"""

from __future__ import annotations

import json
import secrets
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thaw_agent import wire
from thawd.catalog.models import FunctionVersion, State
from thawd.errors import ThawError
from thawd.fleet.pool import NoCapacity
from thawd.fleet.start import StartTimeout
from thawd.guest.session import GuestInvocation, InitFailure, Reply, RestoreFailure, RuntimeExited
from thawd.invoke.model import Invocation, InvokeRefused, Outcome
from thawd.invoke.report import end_line, report_line, start_line, timeout_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from thawd.fleet.environment import Environment, Start
    from thawd.fleet.fleet import Fleet

_log = structlog.get_logger()

_STOPPING: Final = "thawd is stopping and could not wait any longer for this invocation"

_RETIRING_ERRORS: Final = frozenset({"Function.ResponseSizeTooLarge"})
"""Posted errors after which the runtime is in no state to go on."""


QUEUED_BYTES: Final = 128 << 20
"""Events of all invocations that wait for a machine, together: half of what the HTTP server holds, so that a long queue
leaves room for other requests."""


@frozen(kw_only=True)
class InvokerStatistics:
    """Invocations under way and ended so far, whether or not their client stayed to hear of it."""

    running: int
    """Under way: those that wait for a machine included."""
    queued: int
    """Of these, waiting for a machine."""
    queued_bytes: int
    """Bytes of their events."""
    succeeded: int
    failed: int
    refused: int
    abandoned: int
    """Not begun because their client left first."""


@define(eq=False)
class _Answer:
    """Where an invocation's task leaves what its client waits for, and learns that nobody does."""

    life: trio.CancelScope = field(factory=trio.CancelScope)
    """Holds the task."""
    queued: bool = True
    abandoned: bool = False
    """Whether the client left while it was queued."""
    given: trio.Event = field(factory=trio.Event)
    outcome: Outcome | None = None
    error: Exception | None = None

    def give(self, outcome: Outcome) -> None:
        if not self.given.is_set():
            self.outcome = outcome
            self.given.set()

    def fail(self, error: Exception) -> None:
        if not self.given.is_set():
            self.error = error
            self.given.set()

    def leave(self) -> None:
        """The client has gone: out of the queue, unless a machine has been had."""
        if self.queued:
            self.abandoned = True
            self.life.cancel()


@define(eq=False)
class Invoker:
    """Runs invocations. Made by `open_invoker`, whose nursery owns them.

    `capacity_wait_s` is how long an invocation waits for a machine before it is refused with 429, `queue_limit` how many
    bytes the events of those that wait may have together.
    """

    _nursery: trio.Nursery
    _fleet: Fleet
    capacity_wait_s: float = 30.0
    queue_limit: int = QUEUED_BYTES
    _under_way: set[_Answer] = field(factory=set)
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
        """Run one invocation; returns its response or function error. Raises `InvokeRefused`."""
        answer = _Answer()
        try:
            _check_state(invocation.version)
            self._check_room(invocation)
        except InvokeRefused:
            self._refused += 1
            raise
        self._under_way.add(answer)
        self._queued += 1
        self._queued_bytes += len(invocation.payload)
        self._nursery.start_soon(self._serve, invocation, answer)
        try:
            await answer.given.wait()
        except trio.Cancelled:
            answer.leave()
            raise
        if answer.error is not None:
            raise answer.error
        assert answer.outcome is not None  # noqa: S101 - one of the two was given
        return answer.outcome

    async def drain(self, deadline_s: float) -> None:
        """Let invocations end, then end them: their clients get 503, their logs the last lines. For ever after."""
        with trio.move_on_after(deadline_s):
            await self._rest()
        if self._under_way:
            _log.warning("invocations.cut_short", running=len(self._under_way), waited_s=deadline_s)
        self._stopped = True
        for answer in self._under_way:
            answer.life.cancel()
        await self._rest()

    async def _rest(self) -> None:
        while self._under_way:
            self._at_rest = trio.Event()
            await self._at_rest.wait()

    def _check_room(self, invocation: Invocation) -> None:
        """Refuse what comes too late, or would make the queue too large. Raises `InvokeRefused`."""
        if self._stopped:
            raise InvokeRefused("ServiceException", 503, _STOPPING)
        if self._queued and self._queued_bytes + len(invocation.payload) > self.queue_limit:
            raise InvokeRefused(
                "TooManyRequestsException",
                429,
                f"Rate Exceeded: {self._queued} invocations wait for a machine, and their events have "
                f"{self._queued_bytes >> 20} MiB",
            )

    async def _serve(self, invocation: Invocation, answer: _Answer) -> None:
        try:
            with answer.life:
                await self._answer(invocation, answer)
        finally:
            self._leave_queue(invocation, answer)
            answer.fail(InvokeRefused("ServiceException", 503, _STOPPING))
            self._under_way.discard(answer)
            self._count(answer)
            if not self._under_way:
                self._at_rest.set()

    def _leave_queue(self, invocation: Invocation, answer: _Answer) -> None:
        """It has a machine, or waits for none any more."""
        if answer.queued:
            answer.queued = False
            self._queued -= 1
            self._queued_bytes -= len(invocation.payload)

    def _count(self, answer: _Answer) -> None:
        if answer.abandoned:
            self._abandoned += 1
        elif answer.outcome is None:
            self._refused += 1
        elif answer.outcome.function_error:
            self._failed += 1
        else:
            self._succeeded += 1

    async def _answer(self, invocation: Invocation, answer: _Answer) -> None:
        version = invocation.version
        try:
            async with self._fleet.pool(version).lease(wait_s=self.capacity_wait_s) as environment:
                if answer.abandoned:
                    environment.reusable = True  # nothing was done with it
                    return
                self._leave_queue(invocation, answer)
                await self._run(environment, invocation, answer)
        except InitFailure as failure:
            body = failure.body or json.dumps(
                {
                    "errorType": failure.error_type,
                    "errorMessage": f"RequestId: {invocation.request_id} Error: {failure.message}",
                }
            )
            answer.give(_function_error(invocation, body.encode()))
        except (StartTimeout, RestoreFailure, RuntimeExited, NoCapacity) as error:
            answer.fail(_refusal(error, version))
        except ThawError as error:
            _log.error("invocation.failed", request_id=invocation.request_id, reason=str(error))
            answer.fail(InvokeRefused("ServiceException", 500, str(error)))
        except Exception as error:  # noqa: BLE001
            # One invocation's trouble with our own code must not end the others.
            _log.exception("invocation.crashed", request_id=invocation.request_id)
            answer.fail(InvokeRefused("ServiceException", 500, f"internal error: {error!r}"))

    async def _run(self, environment: Environment, invocation: Invocation, answer: _Answer) -> None:
        request_id, version, log = invocation.request_id, invocation.version, environment.log
        first = environment.start if environment.uses == 1 else None
        if invocation.log_tail:
            log.start_tail()
        began_s = time.time()
        began = trio.current_time()
        log.write(start_line(request_id, version.version), at_s=began_s)
        guest: GuestInvocation | None = None
        try:
            with trio.fail_after(version.timeout_s):
                guest = await environment.session.invoke(
                    wire.Invoke(
                        request_id=request_id,
                        deadline_ms=round((began_s + version.timeout_s) * 1e3),
                        function_arn=invocation.invoked_arn,
                        trace_id=_trace_id(began_s),
                        client_context=invocation.client_context,
                        clock_ns=time.time_ns(),
                    ),
                    invocation.payload,
                )
                reply = await guest.reply()
                outcome = _outcome(invocation, reply)
                if not invocation.log_tail:
                    answer.give(outcome)
                done = await guest.done()
            environment.reusable = reply.error_type not in _RETIRING_ERRORS
            _close_log(
                environment,
                invocation,
                first,
                duration_ms=done.duration_us / 1e3,
                memory=done.max_memory_bytes,
            )
        except trio.TooSlowError:
            text = timeout_line(request_id, version.timeout_s, at_s=time.time())
            log.write(text, at_s=time.time())
            duration_ms = version.timeout_s * 1e3
            _close_log(
                environment, invocation, first, duration_ms=duration_ms, memory=0, status="timeout"
            )
            outcome = _platform_error(
                invocation,
                "Sandbox.Timedout",
                f"Task timed out after {version.timeout_s:.2f} seconds",
            )
        except RuntimeExited as exited:
            duration_ms = (trio.current_time() - began) * 1e3
            _close_log(
                environment,
                invocation,
                first,
                duration_ms=duration_ms,
                memory=exited.exited.max_memory_bytes,
                status="error",
                error_type="Runtime.ExitError",
            )
            outcome = _platform_error(invocation, "Runtime.ExitError", exit_message(exited.exited))
        except trio.Cancelled:
            # The daemon stops and has waited for it as long as it may (`drain`).
            duration_ms = (trio.current_time() - began) * 1e3
            _close_log(
                environment, invocation, first, duration_ms=duration_ms, memory=0, status="failure"
            )
            raise
        finally:
            if guest is not None:
                environment.session.forget(guest)
        tail = log.take_tail() if invocation.log_tail else b""
        answer.give(
            Outcome(
                payload=outcome.payload,
                function_error=outcome.function_error,
                executed_version=outcome.executed_version,
                log_tail=tail,
            )
        )


def exit_message(exited: wire.Exited) -> str:
    """How Lambda words the end of a runtime process."""
    if exited.code == 0 or not exited.reason:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {exited.reason}"


def _close_log(
    environment: Environment,
    invocation: Invocation,
    first: Start | None,
    *,
    duration_ms: float,
    memory: int,
    status: str = "",
    error_type: str = "",
) -> None:
    now = time.time()
    environment.log.write(end_line(invocation.request_id), at_s=now)
    line = report_line(
        invocation.request_id,
        duration_ms=duration_ms,
        memory_mib=invocation.version.memory_mib,
        max_memory_bytes=memory,
        start=first,
        status=status,
        error_type=error_type,
    )
    environment.log.write(line, at_s=now)


def _trace_id(now_s: float) -> str:
    return (
        f"Root=1-{int(now_s):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
    )


def _outcome(invocation: Invocation, reply: Reply) -> Outcome:
    error = "Unhandled" if reply.error_type is not None else None
    return Outcome(
        payload=reply.body,
        function_error=error,
        executed_version=invocation.version.version,
        log_tail=b"",
    )


def _function_error(invocation: Invocation, body: bytes) -> Outcome:
    return Outcome(
        payload=body,
        function_error="Unhandled",
        executed_version=invocation.version.version,
        log_tail=b"",
    )


def _platform_error(invocation: Invocation, error_type: str, message: str) -> Outcome:
    text = f"RequestId: {invocation.request_id} Error: {message}"
    body = json.dumps({"errorType": error_type, "errorMessage": text}, separators=(",", ":"))
    return _function_error(invocation, body.encode())


def _check_state(version: FunctionVersion) -> None:
    """Refuse a version that cannot be invoked, in Lambda's words. Raises `InvokeRefused`."""
    if version.state is State.PENDING:
        raise InvokeRefused(
            "ResourceConflictException",
            409,
            "The operation cannot be performed at this time. "
            "The function is currently in the following state: Pending",
        )
    if version.state is State.INACTIVE:
        raise InvokeRefused(
            "SnapStartNotReadyException",
            409,
            "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE.",
        )
    if version.state is State.FAILED:
        raise InvokeRefused(
            "ResourceConflictException",
            409,
            "AWS Lambda could not invoke your SnapStart function. If this error persists, check your function's "
            f"CloudWatch logs for initialization errors. {version.state_reason or ''}".rstrip(),
        )


def _refusal(error: ThawError, version: FunctionVersion) -> InvokeRefused:
    """A start that failed, as the error its client gets."""
    if isinstance(error, NoCapacity):
        return InvokeRefused("TooManyRequestsException", 429, "Rate Exceeded.")
    if isinstance(error, StartTimeout):
        if version.snapshotted:
            return InvokeRefused(
                "SnapStartTimeoutException",
                408,
                "Lambda couldn't restore the snapshot within the timeout limit.",
            )
        return InvokeRefused("ServiceException", 500, str(error))
    detail = str(error)
    if isinstance(error, RestoreFailure) and error.body:
        detail = error.body
    return InvokeRefused(
        "SnapStartException",
        400,
        "The afterRestore() runtime hook encountered an error. For more information, check the Amazon CloudWatch logs."
        f" {detail}",
    )


@contextmanager
def as_refusals(version: FunctionVersion) -> Iterator[None]:
    """Turn what a start outside of a pool raises into the error its client gets."""
    try:
        yield
    except InitFailure as failure:
        raise InvokeRefused(
            "InvalidRuntimeException", 502, failure.body or str(failure)
        ) from failure
    except (StartTimeout, RestoreFailure, RuntimeExited) as error:
        raise _refusal(error, version) from error
    except trio.TooSlowError as error:
        message = f"The function did not answer within its Timeout of {version.timeout_s} s"
        raise InvokeRefused("ServiceException", 500, message) from error


@asynccontextmanager
async def open_invoker(fleet: Fleet, *, capacity_wait_s: float = 30.0) -> AsyncIterator[Invoker]:
    """An invoker; invocations still running when this scope ends are given up."""
    async with trio.open_nursery() as nursery:
        try:
            yield Invoker(nursery, fleet, capacity_wait_s)
        finally:
            nursery.cancel_scope.cancel()

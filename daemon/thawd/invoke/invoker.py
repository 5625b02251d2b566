"""One invocation: lease an environment, hand it the event, answer, write the log lines, give it back or retire it.

An invocation runs in the invoker's nursery, not in the client's request: like Lambda's, it goes on to its end when the
client hangs up. The client has its answer as soon as the runtime has posted one; START, END and REPORT, and the
environment's return to the pool, wait for the runtime to ask for its next invocation.

A machine that dies, or whose agent is silent, before the agent has taken the event is replaced, and the client does not
notice. Once it has taken it, the function may have begun, and nobody hands the event out a second time.
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
from thawd.environments.limits import StartTimeout
from thawd.environments.lines import end_line, report_line, start_line, timeout_line
from thawd.errors import ThawError
from thawd.fleet.pool import Deleted, NoCapacity
from thawd.guest.session import GuestInvocation, InitFailure, Reply, RestoreFailure, RuntimeExited
from thawd.invoke.model import Invocation, InvokeRefused, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from thawd.environments.environment import Environment, Start
    from thawd.fleet.fleet import Fleet
    from thawd.fleet.pool import Pool

_log = structlog.get_logger()

_RETIRING_ERRORS: Final = frozenset({"Function.ResponseSizeTooLarge"})
"""Posted errors after which the runtime is in no state to go on."""

_MOST_MACHINES: Final = 3
"""Machines that may be lost to one invocation before it has begun, the last of which is its own failure."""


class _NotBegun(ThawError):
    """The machine was lost before the agent had taken the event."""


@frozen(kw_only=True)
class InvokerStatistics:
    """Invocations under way and ended so far."""

    running: int
    succeeded: int
    failed: int
    refused: int


@define(eq=False)
class _Answer:
    """Where an invocation's task leaves what its client waits for."""

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


@define(eq=False)
class Invoker:
    """Runs invocations. Made by `open_invoker`, whose nursery owns them.

    `capacity_wait_s` is how long an invocation waits for a machine before it is refused with 429.
    """

    _nursery: trio.Nursery
    _fleet: Fleet
    capacity_wait_s: float = 30.0
    _running: int = 0
    _succeeded: int = 0
    _failed: int = 0
    _refused: int = 0

    def statistics(self) -> InvokerStatistics:
        """Figures of this moment."""
        return InvokerStatistics(
            running=self._running,
            succeeded=self._succeeded,
            failed=self._failed,
            refused=self._refused,
        )

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run one invocation; returns its response or function error. Raises `InvokeRefused`."""
        try:
            _check_state(invocation.version)
            answer = _Answer()
            # Now and not in the task, which begins later: a version that is deleted meanwhile must be known to be.
            pool = self._fleet.pool(invocation.version)
            self._nursery.start_soon(self._serve, pool, invocation, answer)
            await answer.given.wait()
            if answer.error is not None:
                raise answer.error
        except InvokeRefused:
            self._refused += 1
            raise
        assert answer.outcome is not None  # noqa: S101 - one of the two was given
        if answer.outcome.function_error:
            self._failed += 1
        else:
            self._succeeded += 1
        return answer.outcome

    async def _serve(self, pool: Pool, invocation: Invocation, answer: _Answer) -> None:
        self._running += 1
        version = invocation.version
        try:
            await self._run_somewhere(pool, invocation, answer)
        except InitFailure as failure:
            body = failure.body or json.dumps(
                {
                    "errorType": failure.error_type,
                    "errorMessage": f"RequestId: {invocation.request_id} Error: {failure.message}",
                }
            )
            answer.give(_function_error(invocation, body.encode()))
        except Deleted:
            message = f"Function not found: {invocation.invoked_arn}"
            answer.fail(InvokeRefused("ResourceNotFoundException", 404, message))
        except (StartTimeout, RestoreFailure, RuntimeExited, NoCapacity) as error:
            answer.fail(_refusal(error, version))
        except ThawError as error:
            _log.error("invocation.failed", request_id=invocation.request_id, reason=str(error))
            answer.fail(InvokeRefused("ServiceException", 500, str(error)))
        except Exception as error:  # noqa: BLE001
            # One invocation's trouble with our own code must not end the others.
            _log.exception("invocation.crashed", request_id=invocation.request_id)
            answer.fail(InvokeRefused("ServiceException", 500, f"internal error: {error!r}"))
        finally:
            self._running -= 1
            answer.fail(InvokeRefused("ServiceException", 500, "the daemon is shutting down"))

    async def _run_somewhere(self, pool: Pool, invocation: Invocation, answer: _Answer) -> None:
        """Run it on one of the version's machines, and on another while it has not begun."""
        for machine in range(1, _MOST_MACHINES + 1):
            async with pool.lease(wait_s=self.capacity_wait_s) as environment:
                try:
                    await self._run(environment, invocation, answer, last=machine == _MOST_MACHINES)
                except _NotBegun as lost:
                    _log.warning(
                        "invocation.moved",
                        request_id=invocation.request_id,
                        environment=environment.id,
                        reason=str(lost),
                    )
                else:
                    return

    async def _run(
        self, environment: Environment, invocation: Invocation, answer: _Answer, *, last: bool
    ) -> None:
        """Run it on this machine. Raises `_NotBegun` if it was lost before, unless it is the `last` one to be tried."""
        request_id, version, log = invocation.request_id, invocation.version, environment.log
        first = environment.start if environment.uses == 1 else None
        if invocation.log_tail:
            log.start_tail()
        began_s = time.time()
        began = trio.current_time()
        taken = trio.Event()

        def begin() -> None:
            if not taken.is_set():
                taken.set()
                log.write(start_line(request_id, version.version), at_s=began_s)

        guest: GuestInvocation | None = None
        try:
            with _elsewhere_unless(taken, last), trio.fail_after(version.timeout_s):
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
                    on_taken=begin,
                )
                await guest.taken()
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
            begin()
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
            begin()
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


@contextmanager
def _elsewhere_unless(taken: trio.Event, last: bool) -> Iterator[None]:  # noqa: FBT001
    """Raise `_NotBegun` for whatever ends an invocation that the agent has not taken."""
    try:
        yield
    except (ThawError, trio.TooSlowError) as error:
        if taken.is_set() or last:
            raise
        reason = str(error) or "the guest agent did not take the event within the time-out"
        raise _NotBegun(reason) from error


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

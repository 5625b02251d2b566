"""One invocation on one machine: the event goes in, the answer comes out, the platform's lines are written."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import evolve

from thaw_agent import wire
from thawd.environments.init import finish_init
from thawd.environments.limits import InitTimeout
from thawd.environments.lines import end_line, report_line, start_line, timeout_line
from thawd.errors import ThawError
from thawd.guest.failures import AgentFault, InitFailure, RuntimeExited
from thawd.invoke.outcome import Answered, Invocation, function_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thawd.environments.environment import Environment, Start
    from thawd.guest.invocation import GuestInvocation

_RETIRING_ERRORS: Final = frozenset({"Function.ResponseSizeTooLarge"})
"""Posted errors after which the runtime is in no state to go on."""


class NotBegun(ThawError):
    """The machine was lost before the agent had taken the event: another one may have it."""


async def run(
    environment: Environment,
    invocation: Invocation,
    answer: Callable[[Answered], None],
    *,
    last: bool,
) -> None:
    """Run an invocation on a leased environment; says whether it may be used again (`reusable`).

    `answer` is called once, as soon as there is one: END, REPORT and the environment's return wait for the runtime to
    ask for its next invocation. Raises `NotBegun`, unless this is the `last` machine to be tried, and the error that
    ended the session.
    """
    request_id, version, log = invocation.request_id, invocation.version, environment.log
    lines = _Lines(environment, invocation)
    if invocation.log_tail:
        log.start_tail()
    guest: GuestInvocation | None = None
    answered: Answered | None = None
    tail = b""
    try:
        init_s = await _init(environment, lines)
        left_s = max(0.0, version.timeout_s - init_s)
        with _unless_begun(lines, last=last), trio.fail_after(left_s):
            guest = await environment.session.invoke(
                wire.Invoke(
                    request_id=request_id,
                    deadline_ms=round((time.time() + left_s) * 1e3),
                    function_arn=invocation.invoked_arn,
                    trace_id=invocation.trace_id,
                    client_context=invocation.client_context,
                    clock_ns=time.time_ns(),
                ),
                invocation.payload,
                on_taken=lines.begin,
            )
            await guest.taken()
            reply = await guest.reply()
            outcome = answered = Answered(
                payload=reply.body,
                function_error="Unhandled" if reply.error_type is not None else None,
                executed_version=version.version,
            )
            if not invocation.log_tail:
                answer(outcome)
            done = await guest.done()
        environment.reusable = reply.error_type not in _RETIRING_ERRORS
        duration_ms = init_s * 1e3 + done.duration_us / 1e3
        lines.end(duration_ms=duration_ms, max_memory_bytes=done.max_memory_bytes)
    except (trio.TooSlowError, InitTimeout):
        lines.timed_out()
        outcome = function_error(
            invocation,
            "Sandbox.Timedout",
            f"Task timed out after {version.timeout_s:.2f} seconds",
        )
    except InitFailure as failure:
        lines.end(status="error", error_type=failure.error_type)
        raise
    except RuntimeExited as exited:
        lines.end(
            max_memory_bytes=exited.exited.max_memory_bytes,
            status="error",
            error_type="Runtime.ExitError",
        )
        outcome = function_error(invocation, "Runtime.ExitError", exit_message(exited.exited))
    except AgentFault:
        if not lines.begun:
            raise
        # The function had begun, and nothing else runs beside the agent: a client that tries again on a 500, as SDKs do,
        # would do to the next machine what was done to this one.
        lines.end(status="error", error_type="Runtime.ExitError")
        outcome = function_error(
            invocation, "Runtime.ExitError", "Runtime exited without providing a reason"
        )
    except trio.Cancelled:
        # The daemon stops, and has waited for this invocation as long as it may.
        lines.end(status="failure")
        raise
    finally:
        if guest is not None:
            environment.session.forget(guest)
        if invocation.log_tail:
            tail = log.take_tail()
        if answered is not None:
            # Whatever became of the runtime or the machine since: the response was complete.
            answer(evolve(answered, log_tail=tail))
    if answered is None:
        answer(evolve(outcome, log_tail=tail))


async def _init(environment: Environment, lines: _Lines) -> float:
    """Do what the start left of the init; the seconds of the time-out that it took. Raises as `finish_init`."""
    if environment.init_left is None:
        return 0.0
    lines.begin()
    return await finish_init(environment)


def exit_message(exited: wire.Exited) -> str:
    """How Lambda words the end of a runtime process."""
    if exited.code == 0 or not exited.reason:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {exited.reason}"


class _Lines:
    """The platform's lines around one invocation: START when the agent has taken it, END and REPORT."""

    def __init__(self, environment: Environment, invocation: Invocation) -> None:
        self._log = environment.log
        self._invocation = invocation
        self._start: Start | None = environment.start if environment.uses == 1 else None
        self._began = trio.current_time()
        self.began_s = time.time()
        self.begun = False

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            line = start_line(self._invocation.request_id, self._invocation.version.version)
            self._log.write(line, at_s=self.began_s)

    def timed_out(self) -> None:
        self.begin()
        timeout_s, now = self._invocation.version.timeout_s, time.time()
        self._log.write(timeout_line(self._invocation.request_id, timeout_s, at_s=now), at_s=now)
        self.end(duration_ms=timeout_s * 1e3, status="timeout")

    def end(
        self,
        *,
        duration_ms: float | None = None,
        max_memory_bytes: int = 0,
        status: str = "",
        error_type: str = "",
    ) -> None:
        """END and REPORT; without a duration, as long as it took until now."""
        self.begin()
        now = time.time()
        self._log.write(end_line(self._invocation.request_id), at_s=now)
        if duration_ms is None:
            duration_ms = (trio.current_time() - self._began) * 1e3
        line = report_line(
            self._invocation.request_id,
            duration_ms=duration_ms,
            memory_mib=self._invocation.version.memory_mib,
            max_memory_bytes=max_memory_bytes,
            start=self._start,
            status=status,
            error_type=error_type,
        )
        self._log.write(line, at_s=now)


@contextmanager
def _unless_begun(lines: _Lines, *, last: bool) -> Iterator[None]:
    """Raise `NotBegun` for an error that ends an invocation which the agent has not taken."""
    try:
        yield
    except (ThawError, trio.TooSlowError) as error:
        if lines.begun or last:
            raise
        reason = str(error) or "the guest agent did not take the event within the time-out"
        raise NotBegun(reason) from error

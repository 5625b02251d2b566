"""A start by init: a clone of the base snapshot, or a booted machine, in which the function is initialised."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from thaw_agent import wire
from thawd.guest.failures import InitFailure, RuntimeExited
from thawd.guest.session import GuestSession, open_session
from thawd.snapshots.base import guest_memory_mib

from .environment import Environment, Start
from .identity import Identity
from .limits import ON_DEMAND_INIT_LIMIT_S, InitTimeout, StartTimeout
from .lines import init_report_line, init_start_line, into

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Machine
    from thawd.logs.book import EnvironmentLog

    from .host import Host


@asynccontextmanager
async def initialised(host: Host, version: FunctionVersion) -> AsyncIterator[Environment]:
    """A clone of the base snapshot in which the function was initialised: `$LATEST`, or no SnapStart.

    An init over its limit is given up. As on Lambda it begins anew within the environment's first invocation, and under
    the function's time-out: then the environment comes up with `init_left`. Raises `InitFailure`, `StartTimeout`,
    `EngineError`.
    """
    disk = await host.ready_disk(version.code.sha256)
    await host.ensure_base(version)  # made once for an image: not a part of this start's time

    @asynccontextmanager
    async def machine() -> AsyncIterator[Machine]:
        async with host.base_clone(version, code=disk.path) as clone:
            await clone.resume()
            yield clone

    async with _on_demand(host, version, machine, how="init") as environment:
        yield environment


@asynccontextmanager
async def cold(host: Host, version: FunctionVersion) -> AsyncIterator[Environment]:
    """A kernel boot and an init, which every start would need without snapshots. For comparison only."""
    image = host.images.find(version.runtime)
    memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
    disk = await host.ready_disk(version.code.sha256)
    spec = host.bases.spec(image, memory)

    @asynccontextmanager
    async def machine() -> AsyncIterator[Machine]:
        async with (
            host.snapshots.scratch() as scratch,
            host.engine.boot(spec, code=disk.path, scratch=scratch) as booted,
        ):
            yield booted

    async with _on_demand(host, version, machine, how="cold") as environment:
        yield environment


@asynccontextmanager
async def _on_demand(
    host: Host,
    version: FunctionVersion,
    machine: Callable[[], AbstractAsyncContextManager[Machine]],
    *,
    how: str,
) -> AsyncIterator[Environment]:
    """An environment in one of these machines, or in a second one, if the init was over its limit in the first."""
    log = host.open_log(version)
    image = host.images.find(version.runtime)
    began = trio.current_time()
    log.write(init_start_line(host.runtime_version(version, image.digest)), at_s=time.time())

    @asynccontextmanager
    async def attempt(*, with_init: bool) -> AsyncIterator[Environment]:
        identity = Identity()
        request = init_request(host, version, identity, log, initialization_type="on-demand")
        runtime_us = 0
        async with (
            machine() as mine,
            open_session(mine.channel(), on_log=into(log), last_words=mine.last_words) as session,
        ):
            await greet(session, deadline_s=host.boot_deadline_s)
            if with_init:
                request = replace(request, clock_ns=time.time_ns())
                limit_s = ON_DEMAND_INIT_LIMIT_S * host.slow_down
                runtime_us = (
                    await run_init(session, request, limit_s=limit_s, log=log)
                ).duration_us
            yield Environment(
                id=identity.id,
                generation=host.generation(),
                version=version,
                machine=mine,
                session=session,
                log=log,
                start=Start(
                    how=how,
                    took_ms=(trio.current_time() - began) * 1e3,
                    runtime_ms=runtime_us / 1e3,
                    engine_ms=dict(mine.timings_ms),
                ),
                init_left=None if with_init else request,
            )

    async with AsyncExitStack() as stack:
        try:
            environment = await stack.enter_async_context(attempt(with_init=True))
        except InitTimeout:
            environment = await stack.enter_async_context(attempt(with_init=False))
        yield environment


async def finish_init(environment: Environment) -> float:
    """Do the init that an environment's start left to its first invocation, if it did.

    Returns the seconds of the function's time-out that it took. Raises `InitTimeout` when that was not enough,
    `InitFailure`, `RuntimeExited`, `GuestError`.
    """
    left, environment.init_left = environment.init_left, None
    if left is None:
        return 0.0
    timeout_s = environment.version.timeout_s
    request = replace(left, clock_ns=time.time_ns(), limit_ms=timeout_s * 1000)
    limit_s = float(timeout_s * left.slow_down)
    done = await run_init(
        environment.session, request, limit_s=limit_s, log=environment.log, phase="invoke"
    )
    return done.counted_us / 1e6 if isinstance(done, wire.InitDone) else 0.0


def init_request(
    host: Host,
    version: FunctionVersion,
    identity: Identity,
    log: EnvironmentLog,
    *,
    initialization_type: str,
    trace: bool = False,
) -> wire.Init:
    """The INIT message for a version. Only the host limits an init before a snapshot."""
    snap_start = initialization_type == "snap-start"
    return wire.Init(
        function_name=version.function_name,
        function_version=version.version,
        handler=version.handler,
        runtime=version.runtime,
        memory_mib=version.memory_mib,
        ephemeral_mib=version.ephemeral_mib,
        timeout_s=version.timeout_s,
        initialization_type=initialization_type,
        environment=version.environment,
        region=host.region,
        log_format=version.log_format,
        log_level=_log_level(version),
        log_group=version.log_group or f"/aws/lambda/{version.function_name}",
        log_stream=log.stream,
        clock_ns=time.time_ns(),
        entropy=identity.entropy,
        hostname=identity.hostname,
        machine_id=identity.machine_id,
        boot_id=identity.boot_id,
        credentials=identity.credentials,
        skip_fixers=list(host.skip_fixers.get(version.function_name, ())),
        limit_ms=0 if snap_start else round(ON_DEMAND_INIT_LIMIT_S * 1e3),
        slow_down=host.slow_down,
        trace=trace,
    )


def _log_level(version: FunctionVersion) -> str:
    """What the runtime drops lines below. Only JSON lines have a level (Lambda, `ApplicationLogLevel`; INFO unless set)."""
    if version.log_format != "JSON":
        return ""
    return version.application_log_level or "INFO"


async def greet(session: GuestSession, *, deadline_s: float) -> None:
    """Wait until the agent answers: at once in a clone of the base, after a boot in a cold machine.

    Raises `StartTimeout`: an emulated processor that lost its way is silent for ever, and must not hold a place.
    """
    try:
        with trio.fail_after(deadline_s):
            await session.hello()
    except trio.TooSlowError:
        raise StartTimeout(
            f"the guest did not answer within {deadline_s:g} s",
            hint="Try again; `thaw doctor` says what this machine lacks",
        ) from None


async def run_init(
    session: GuestSession,
    request: wire.Init,
    *,
    limit_s: float,
    log: EnvironmentLog,
    phase: str = "init",
) -> wire.InitDone | wire.SnapshotReady:
    """INIT with its limit and its INIT_REPORT line. Raises `InitFailure`, `InitTimeout`, `GuestError`.

    `limit_s` is how long the host waits in any case; the agent may say earlier that the request's own limit is over.
    On-demand functions report their init only when it fails; SnapStart ones always do (Lambda, log format).
    """
    began = trio.current_time()

    def report(*, status: str = "", error_type: str = "") -> None:
        took_ms = (trio.current_time() - began) * 1e3
        line = init_report_line(took_ms, phase=phase, status=status, error_type=error_type)
        log.write(line, at_s=time.time())

    try:
        with trio.fail_after(limit_s):
            ready = await session.init(request)
    except trio.TooSlowError:
        report(status="timeout")
        raise _over(limit_s) from None
    except InitFailure as failure:
        if failure.error_type == wire.INIT_TIMED_OUT:
            report(status="timeout")
            raise _over(request.limit_ms / 1e3) from None
        report(status="error", error_type=failure.error_type)
        raise
    except RuntimeExited:
        report(status="error", error_type="Runtime.ExitError")
        raise
    if isinstance(ready, wire.SnapshotReady):
        report()
    return ready


def _over(limit_s: float) -> InitTimeout:
    return InitTimeout(
        f"the init did not end within {limit_s:g} s", hint="`thaw logs` shows how far it came"
    )

"""A start by init: a clone of the base snapshot, or a booted machine, in which the function is initialised."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from thaw_agent import wire
from thawd.guest.failures import InitFailure, RuntimeExited
from thawd.guest.session import GuestSession, open_session
from thawd.snapshots.base import guest_memory_mib

from .environment import Environment, Start
from .identity import Identity
from .limits import ON_DEMAND_INIT_LIMIT_S, StartTimeout
from .lines import init_report_line, init_start_line, into

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Machine
    from thawd.logs.book import EnvironmentLog

    from .host import Host


@asynccontextmanager
async def initialised(host: Host, version: FunctionVersion) -> AsyncIterator[Environment]:
    """A clone of the base snapshot in which the function was initialised: `$LATEST`, or no SnapStart.

    Raises `InitFailure`, `StartTimeout`, `EngineError`.
    """
    disk = await host.ready_disk(version.code.sha256)
    await host.ensure_base(version)  # made once for an image: not a part of this start's time
    began = trio.current_time()
    async with host.base_clone(version, code=disk.path) as machine:
        await machine.resume()
        async with _on_demand(host, version, machine, began, how="init") as environment:
            yield environment


@asynccontextmanager
async def cold(host: Host, version: FunctionVersion) -> AsyncIterator[Environment]:
    """A kernel boot and an init, which every start would need without snapshots. For comparison only."""
    image = host.images.find(version.runtime)
    memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
    disk = await host.ready_disk(version.code.sha256)
    spec = host.bases.spec(image, memory)
    began = trio.current_time()
    async with (
        host.snapshots.scratch() as scratch,
        host.engine.boot(spec, code=disk.path, scratch=scratch) as machine,
        _on_demand(host, version, machine, began, how="cold") as environment,
    ):
        yield environment


@asynccontextmanager
async def _on_demand(
    host: Host, version: FunctionVersion, machine: Machine, began: float, *, how: str
) -> AsyncIterator[Environment]:
    log = host.open_log(version)
    identity = Identity()
    image = host.images.find(version.runtime)
    log.write(init_start_line(host.runtime_version(version, image.digest)), at_s=time.time())
    async with open_session(machine.channel(), on_log=into(log)) as session:
        await greet(session, deadline_s=host.boot_deadline_s)
        limit_s = ON_DEMAND_INIT_LIMIT_S * host.init_limit_factor
        request = init_request(host, version, identity, log, initialization_type="on-demand")
        ready = await run_init(session, request, limit_s=limit_s, log=log)
        yield Environment(
            id=identity.id,
            generation=host.generation(),
            version=version,
            machine=machine,
            session=session,
            log=log,
            start=Start(
                how=how,
                took_ms=(trio.current_time() - began) * 1e3,
                runtime_ms=ready.duration_us / 1e3,
                engine_ms=dict(machine.timings_ms),
            ),
        )


def init_request(
    host: Host,
    version: FunctionVersion,
    identity: Identity,
    log: EnvironmentLog,
    *,
    initialization_type: str,
    trace: bool = False,
) -> wire.Init:
    """The INIT message for a version."""
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
    session: GuestSession, request: wire.Init, *, limit_s: float, log: EnvironmentLog
) -> wire.InitDone | wire.SnapshotReady:
    """INIT with its limit and its INIT_REPORT line. Raises `InitFailure`, `StartTimeout`, `GuestError`.

    On-demand functions report their init only when it fails; SnapStart ones always do (Lambda, log format).
    """
    began = trio.current_time()

    def report(*, status: str = "", error_type: str = "") -> None:
        took_ms = (trio.current_time() - began) * 1e3
        line = init_report_line(took_ms, status=status, error_type=error_type)
        log.write(line, at_s=time.time())

    try:
        with trio.fail_after(limit_s):
            ready = await session.init(request)
    except trio.TooSlowError:
        report(status="timeout")
        raise StartTimeout(
            f"the init did not end within {limit_s:g} s",
            hint="`thaw logs` shows how far it came",
        ) from None
    except InitFailure as failure:
        report(status="error", error_type=failure.error_type)
        raise
    except RuntimeExited:
        report(status="error", error_type="Runtime.ExitError")
        raise
    if isinstance(ready, wire.SnapshotReady):
        report()
    return ready

"""How execution environments start: restored from their version's snapshot, or initialised from the base snapshot.

Each function here is a scope that owns the machine: it is gone when the scope ends, whatever happened. The log lines
INIT_START, INIT_REPORT, RESTORE_START and RESTORE_REPORT are written here, in Lambda's own form.
"""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from thaw_agent import wire
from thawd.errors import GuestError
from thawd.fleet.environment import Environment, Start
from thawd.fleet.identity import Identity
from thawd.guest.session import (
    GuestSession,
    InitFailure,
    LogLine,
    RestoreFailure,
    RuntimeExited,
    open_session,
)
from thawd.observe.logbook import EnvironmentLog, LogBook, new_stream_name
from thawd.snapshots.base import BaseSnapshots, guest_memory_mib

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path
    from uuid import UUID

    from thawd.catalog.models import Code, FunctionVersion
    from thawd.engines.machine import Engine, Machine, Snapshot
    from thawd.images.store import ImageStore
    from thawd.snapshots.store import SnapshotStore

RESTORE_LIMIT_S = 10.0
"""Runtime load and after-restore hooks (Lambda: restore limit 10 s)."""
ON_DEMAND_INIT_LIMIT_S = 10.0
"""Init of a function without SnapStart (Lambda: 10 s). Emulated processors get more, see `Starter`."""
SNAPSTART_INIT_LIMIT_S = 130.0
"""Init before a snapshot, before-snapshot hooks included: at least this, or the function's time-out."""


class StartTimeout(GuestError):
    """Init or restore took longer than its limit."""


def runtime_version(runtime: str, digest: str, region: str) -> str:
    """The fields that INIT_START and RESTORE_START name a runtime by; the image's digest stands for AWS's."""
    family = runtime.replace("python", "python:", 1) if runtime.startswith("python") else runtime
    return (
        f"Runtime Version: {family}.v1\t"
        f"Runtime Version ARN: arn:aws:lambda:{region}::runtime:{digest.removeprefix('sha256:')}"
    )


@define
class Starter:
    """Starts environments.

    `find_disk` finds the code disk of a deployment package (raises `BundleError`); `init_limit_factor` stretches
    Lambda's 10 s init limit on emulated processors. `skip_fixers` names, by function, fixers that its clones go without.
    """

    engine: Engine
    snapshots: SnapshotStore
    bases: BaseSnapshots
    images: ImageStore
    find_disk: Callable[[Code], Path]
    logs: LogBook
    region: str
    restore_limit_s: float = RESTORE_LIMIT_S
    init_limit_factor: float = 1.0
    boot_deadline_s: float = 120.0
    skip_fixers: Mapping[str, tuple[str, ...]] = field(factory=dict)
    _generations: count[int] = field(factory=lambda: count(time.time_ns() // 1_000_000))

    def open_log(self, version: FunctionVersion, *, kept: bool = True) -> EnvironmentLog:
        """A new log stream for one environment."""
        stream = new_stream_name(version.version, datetime.now(UTC))
        book = self.logs if kept else None
        return EnvironmentLog(book, version.function_name, version.version, stream)

    def start(self, version: FunctionVersion) -> AbstractAsyncContextManager[Environment]:
        """The scope that starts this version the way it starts in service."""
        return self.restored(version) if version.snapshotted else self.initialised(version)

    @asynccontextmanager
    async def restored(
        self,
        version: FunctionVersion,
        *,
        snapshot: Snapshot | None = None,
        reseed_kernel: bool = True,
        generation_id: UUID | None = None,
        listener: Callable[[LogLine], None] | None = None,
    ) -> AsyncIterator[Environment]:
        """A clone of the version's snapshot, or of another one made of it; unique, its after-restore hooks run.

        `listener` gets the guest's lines instead of the version's log. Without `reseed_kernel`, and with the
        `generation_id` that the template had, the kernel's generator goes on as it was in the snapshot: for
        `thaw check`, never for service.

        Raises `RestoreFailure`, `StartTimeout`, `SnapshotError`, `EngineError`.
        """
        log = self.open_log(version, kept=listener is None)
        identity = Identity()
        generation = next(self._generations)
        if snapshot is None:
            snapshot = await self.snapshots.load(
                self.snapshots.version_path(version.function_name, version.version)
            )
        image = self.images.find(version.runtime)
        log.write(
            f"RESTORE_START {runtime_version(version.runtime, image.digest, self.region)}",
            at_s=time.time(),
        )
        began = trio.current_time()
        async with (
            self.engine.restore(
                snapshot, code=self.find_disk(version.code), generation=generation_id
            ) as machine,
            open_session(machine.channel(), on_log=listener or into(log)) as session,
        ):
            await machine.resume()
            try:
                with trio.fail_after(self.restore_limit_s):
                    restored = await session.restore(
                        wire.Restore(
                            generation=generation,
                            clock_ns=time.time_ns(),
                            entropy=identity.entropy,
                            hostname=identity.hostname,
                            machine_id=identity.machine_id,
                            boot_id=identity.boot_id,
                            credentials=identity.credentials,
                            restore_limit_ms=round(self.restore_limit_s * 1e3),
                            reseed_kernel=reseed_kernel,
                        )
                    )
            except trio.TooSlowError:
                _report_restore(log, began, status="timeout")
                raise StartTimeout(
                    f"the restore did not end within {self.restore_limit_s:g} s",
                    hint="An after-restore hook is too slow; `thaw logs` shows what it printed",
                ) from None
            except (RestoreFailure, RuntimeExited) as failure:
                kind = (
                    failure.error_type
                    if isinstance(failure, RestoreFailure)
                    else "Runtime.ExitError"
                )
                _report_restore(log, began, status="error", error_type=kind)
                raise
            _report_restore(log, began)
            yield Environment(
                id=identity.id,
                generation=generation,
                version=version,
                machine=machine,
                session=session,
                log=log,
                start=Start(
                    how="restore",
                    took_ms=(trio.current_time() - began) * 1e3,
                    runtime_ms=restored.runtime_us / 1e3,
                    steps_us=restored.steps,
                    engine_ms=dict(machine.timings_ms),
                    report=restored.report,
                    clock_off_ms=restored.clock_off_ms,
                ),
            )

    @asynccontextmanager
    async def initialised(self, version: FunctionVersion) -> AsyncIterator[Environment]:
        """A clone of the base snapshot in which the function was initialised: `$LATEST`, or no SnapStart.

        Raises `InitFailure`, `StartTimeout`, `EngineError`.
        """
        base = await self.ensure_base(version)
        began = trio.current_time()
        async with self.engine.restore(base, code=self.find_disk(version.code)) as machine:
            await machine.resume()
            async with self._init_on_demand(version, machine, began, how="init") as environment:
                yield environment

    async def ensure_base(self, version: FunctionVersion) -> Snapshot:
        """The base snapshot this version starts from."""
        memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
        return await self.bases.ensure(version.runtime, memory)

    @asynccontextmanager
    async def cold(self, version: FunctionVersion) -> AsyncIterator[Environment]:
        """A kernel boot and an init: what every start would cost without snapshots. For comparison only."""
        image = self.images.find(version.runtime)
        memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
        spec = self.bases.spec(image, memory)
        code = self.find_disk(version.code)
        began = trio.current_time()
        async with (
            self.snapshots.scratch() as scratch,
            self.engine.boot(spec, code=code, scratch=scratch) as machine,
            self._init_on_demand(version, machine, began, how="cold") as environment,
        ):
            yield environment

    @asynccontextmanager
    async def _init_on_demand(
        self, version: FunctionVersion, machine: Machine, began: float, *, how: str
    ) -> AsyncIterator[Environment]:
        log = self.open_log(version)
        identity = Identity()
        image = self.images.find(version.runtime)
        log.write(
            f"INIT_START {runtime_version(version.runtime, image.digest, self.region)}",
            at_s=time.time(),
        )
        async with open_session(machine.channel(), on_log=into(log)) as session:
            await self.greet(session)
            limit = ON_DEMAND_INIT_LIMIT_S * self.init_limit_factor
            request = self.init_request(version, identity, log, initialization_type="on-demand")
            ready = await self.run_init(session, request, limit_s=limit, log=log)
            yield Environment(
                id=identity.id,
                generation=next(self._generations),
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
        self,
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
            region=self.region,
            log_format=version.log_format,
            log_group=version.log_group or f"/aws/lambda/{version.function_name}",
            log_stream=log.stream,
            clock_ns=time.time_ns(),
            entropy=identity.entropy,
            hostname=identity.hostname,
            machine_id=identity.machine_id,
            boot_id=identity.boot_id,
            credentials=identity.credentials,
            skip_fixers=list(self.skip_fixers.get(version.function_name, ())),
            trace=trace,
        )

    async def greet(self, session: GuestSession) -> None:
        """Wait until the agent answers: at once in a clone of the base, after a boot in a cold machine.

        Raises `StartTimeout`: an emulated processor that went astray is silent for ever, and must not hold a place.
        """
        try:
            with trio.fail_after(self.boot_deadline_s):
                await session.hello()
        except trio.TooSlowError:
            raise StartTimeout(
                f"the guest did not answer within {self.boot_deadline_s:g} s",
                hint="Try again; `thaw doctor` says what this machine lacks",
            ) from None

    async def run_init(
        self, session: GuestSession, request: wire.Init, *, limit_s: float, log: EnvironmentLog
    ) -> wire.InitDone | wire.SnapshotReady:
        """INIT with its limit and its INIT_REPORT line. Raises `InitFailure`, `StartTimeout`, `GuestError`.

        On-demand functions report their init only when it fails; SnapStart ones always do (Lambda, log format).
        """
        began = trio.current_time()

        def report(suffix: str) -> None:
            took_ms = (trio.current_time() - began) * 1e3
            log.write(
                f"INIT_REPORT Init Duration: {took_ms:.2f} ms\tPhase: init{suffix}",
                at_s=time.time(),
            )

        try:
            with trio.fail_after(limit_s):
                ready = await session.init(request)
        except trio.TooSlowError:
            report("\tStatus: timeout")
            raise StartTimeout(
                f"the init did not end within {limit_s:g} s",
                hint="`thaw logs` shows how far it came",
            ) from None
        except (InitFailure, RuntimeExited) as failure:
            kind = failure.error_type if isinstance(failure, InitFailure) else "Runtime.ExitError"
            report(f"\tStatus: error\tError Type: {kind}")
            raise
        if isinstance(ready, wire.SnapshotReady):
            report("")
        return ready


def into(log: EnvironmentLog) -> Callable[[LogLine], None]:
    """A sink that puts the guest's lines into an environment's log; a traced function's records are no lines of it."""

    def take(line: LogLine) -> None:
        if line.source is not wire.LogSource.RECORD:
            log.write(line.text, at_s=line.timestamp_us / 1e6)

    return take


def _report_restore(
    log: EnvironmentLog, began: float, *, status: str = "", error_type: str = ""
) -> None:
    line = f"RESTORE_REPORT Restore Duration: {(trio.current_time() - began) * 1e3:.2f} ms"
    if status:
        line += f"\tStatus: {status}"
    if error_type:
        line += f"\tError Type: {error_type}"
    log.write(line, at_s=time.time())

"""A start by restore: a clone of a version's snapshot, made unique, its after-restore hooks run."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from thaw_agent import wire
from thawd.guest.failures import RestoreFailure, RuntimeExited
from thawd.guest.session import open_session

from .environment import Environment, Start
from .identity import Identity
from .limits import StartTimeout
from .lines import into, restore_report_line, restore_start_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Snapshot
    from thawd.guest.lines import LogLine
    from thawd.guest.session import GuestSession
    from thawd.logs.book import EnvironmentLog

    from .host import Host


@asynccontextmanager
async def restored(
    host: Host,
    version: FunctionVersion,
    *,
    snapshot: Snapshot | None = None,
    reseed_kernel: bool = True,
    generation_id: UUID | None = None,
    listener: Callable[[LogLine], None] | None = None,
) -> AsyncIterator[Environment]:
    """A clone of the version's snapshot, or of another one made of it.

    `listener` gets the guest's lines instead of the version's log. Without `reseed_kernel`, and with the
    `generation_id` that the template had, the kernel's generator goes on as it was in the snapshot: for
    `thaw check`, never for service.

    Raises `RestoreFailure`, `StartTimeout`, `SnapshotError`, `EngineError`.
    """
    log = host.open_log(version, kept=listener is None)
    identity = Identity()
    generation = host.generation()
    disk = await host.ready_disk(version.code.sha256)
    if snapshot is None:
        path = host.snapshots.version_path(version.function_name, version.version)
        loaded = await host.snapshots.load(path, code_disk=disk.digest)
        snapshot, image_digest = loaded.snapshot, loaded.image_digest
    else:
        image_digest = host.images.find(version.runtime).digest
    log.write(restore_start_line(host.runtime_version(version, image_digest)), at_s=time.time())
    began = trio.current_time()
    with host.doubting(snapshot.directory):
        async with (
            host.engine.restore(snapshot, code=disk.path, generation=generation_id) as machine,
            open_session(
                machine.channel(), on_log=listener or into(log), last_words=machine.last_words
            ) as session,
        ):
            await machine.resume()
            request = wire.Restore(
                generation=generation,
                clock_ns=time.time_ns(),
                entropy=identity.entropy,
                hostname=identity.hostname,
                machine_id=identity.machine_id,
                boot_id=identity.boot_id,
                credentials=identity.credentials,
                restore_limit_ms=round(host.restore_limit_s * 1e3),
                reseed_kernel=reseed_kernel,
            )
            answer = await _wake(
                session, request, limit_s=host.restore_limit_s, log=log, began=began
            )
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
                    runtime_ms=answer.runtime_us / 1e3,
                    steps_us=answer.steps,
                    engine_ms=dict(machine.timings_ms),
                    report=answer.report,
                    clock_off_ms=answer.clock_off_ms,
                ),
            )


async def _wake(
    session: GuestSession,
    request: wire.Restore,
    *,
    limit_s: float,
    log: EnvironmentLog,
    began: float,
) -> wire.Restored:
    """RESTORE with its limit and its RESTORE_REPORT line. Raises as `restored`."""

    def report(*, status: str = "", error_type: str = "") -> None:
        took_ms = (trio.current_time() - began) * 1e3
        line = restore_report_line(took_ms, status=status, error_type=error_type)
        log.write(line, at_s=time.time())

    try:
        with trio.fail_after(limit_s):
            answer = await session.restore(request)
    except trio.TooSlowError:
        report(status="timeout")
        raise StartTimeout(
            f"the restore did not end within {limit_s:g} s",
            hint="An after-restore hook is too slow; `thaw logs` shows what it printed",
        ) from None
    except RestoreFailure as failure:
        report(status="error", error_type=failure.error_type)
        raise
    except RuntimeExited:
        report(status="error", error_type="Runtime.ExitError")
        raise
    report()
    return answer

"""One cold start up to its snapshot: a clone of the base snapshot, init, before-snapshot hooks, freeze, snapshot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import frozen

from thaw_agent import wire
from thawd.errors import GuestError
from thawd.fleet.identity import Identity
from thawd.fleet.start import SNAPSTART_INIT_LIMIT_S, Starter, into, runtime_version
from thawd.guest.session import LogLine, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Snapshot


@frozen(kw_only=True)
class Taken:
    """A snapshot in its scratch directory, and what the guest said when it was ready for it."""

    snapshot: Snapshot
    ready: wire.SnapshotReady
    image_digest: str


async def take_snapshot(
    starter: Starter,
    version: FunctionVersion,
    scratch: Path,
    *,
    trace: bool = False,
    generation_id: UUID | None = None,
    listener: Callable[[LogLine], None] | None = None,
) -> Taken:
    """Initialise a version in a clone of the base snapshot, run its hooks, snapshot it into `scratch`/snapshot.

    With `trace` the function's process records what it asks for, keeps and sends, and so does every clone of it.
    `listener` gets the guest's lines instead of the version's log.

    Raises `InitFailure`, `StartTimeout`, `RuntimeExited`, `GuestError`, `EngineError`, `ImageError`, `BundleError`.
    """
    base = await starter.ensure_base(version)
    image = starter.images.find(version.runtime)
    limit_s = max(SNAPSTART_INIT_LIMIT_S, float(version.timeout_s))
    log = starter.open_log(version, kept=listener is None)
    log.write(
        f"INIT_START {runtime_version(image, starter.region)}",
        at_s=time.time(),
    )
    target = scratch / "snapshot"
    target.mkdir(mode=0o700)
    async with (
        starter.engine.restore(
            base,
            code=starter.find_disk(version.code),
            scratch=scratch,
            generation=generation_id,
        ) as machine,
        open_session(machine.channel(), on_log=listener or into(log)) as session,
    ):
        await machine.resume()
        await starter.greet(session)
        request = starter.init_request(
            version, Identity(), log, initialization_type="snap-start", trace=trace
        )
        ready = await starter.run_init(session, request, limit_s=limit_s, log=log)
        if not isinstance(ready, wire.SnapshotReady):
            raise GuestError("the guest agent did not make itself ready for a snapshot")
        if image.must_report and not ready.report:
            raise GuestError(
                f"{image.must_report} did not say what it froze: clones would not be unique",
                hint=f"Build the guest image again: thaw image build {image.runtime}",
            )
        made = await machine.snapshot(target)
    return Taken(snapshot=made, ready=ready, image_digest=image.digest)

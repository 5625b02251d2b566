"""One cold start up to its snapshot: a clone of the base snapshot, init, before-snapshot hooks, freeze, snapshot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from attrs import frozen

from thaw_agent import wire
from thawd.errors import GuestError
from thawd.files import telling_a_full_disk
from thawd.guest.failures import InitFailure
from thawd.guest.session import open_session

from .identity import Identity
from .init import greet, init_request, run_init
from .limits import SNAPSTART_INIT_LIMIT_S
from .lines import init_start_line, into, snapshot_note_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Snapshot
    from thawd.guest.lines import LogLine

    from .host import Host


@frozen(kw_only=True)
class Taken:
    """A snapshot in its scratch directory, and the guest's report when it was ready for it."""

    snapshot: Snapshot
    ready: wire.SnapshotReady
    image_digest: str
    code_disk: str
    """Digest of the code disk the machine had: every clone must have the same."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the runtime's part noticed while it froze the function. It comes from the function's own process."""
        notes = self.ready.report.get("notes")
        return tuple(map(str, notes)) if isinstance(notes, list) else ()


async def take_snapshot(
    host: Host,
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
    disk = await host.ready_disk(version.code.sha256)
    await host.ensure_base(version)
    image = host.images.find(version.runtime)
    log = host.open_log(version, kept=listener is None)
    log.write(init_start_line(host.runtime_version(version, image.digest)), at_s=time.time())
    with telling_a_full_disk(host.snapshots.directory):
        target = scratch / "snapshot"
        target.mkdir(mode=0o700)
        async with (
            host.base_clone(
                version, code=disk.path, scratch=scratch, generation=generation_id
            ) as machine,
            open_session(
                machine.channel(), on_log=listener or into(log), last_words=machine.last_words
            ) as session,
        ):
            await machine.resume()
            await greet(session, deadline_s=host.boot_deadline_s)
            request = init_request(
                host, version, Identity(), log, initialization_type="snap-start", trace=trace
            )
            limit_s = max(SNAPSTART_INIT_LIMIT_S, float(version.timeout_s))
            # Inside too: when the machine is gone, so is the file that filled the disk.
            with telling_a_full_disk(host.snapshots.directory):
                ready = await run_init(session, request, limit_s=limit_s, log=log)
            if not isinstance(ready, wire.SnapshotReady):
                raise GuestError("the guest agent did not make itself ready for a snapshot")
            if image.must_report and not ready.report:
                raise InitFailure(_early(image.must_report))
            with telling_a_full_disk(host.snapshots.directory):
                made = await machine.snapshot(target)
    taken = Taken(snapshot=made, ready=ready, image_digest=image.digest, code_disk=disk.digest)
    for note in taken.notes:
        log.write(snapshot_note_line(note), at_s=time.time())
    return taken


def _early(reporter: str) -> wire.InitFailed:
    """What a function did whose language's part had no chance to speak: images are verified, so it is not missing."""
    return wire.InitFailed(
        error_type="Runtime.InvalidStateTransition",
        message=(
            "the function asked for its next invocation before its init was over, or closed descriptors of its runtime: "
            f"{reporter} did not say what it froze, and clones would not be unique. Leave the Runtime API to the runtime"
        ),
    )

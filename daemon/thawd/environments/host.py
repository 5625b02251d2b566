"""The parts of this host that a start uses: engine, image, snapshots, code, logs, and the limits that are configured."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from attrs import field, frozen

from thawd.errors import EngineError, GuestError, SnapshotError
from thawd.guest.failures import InitFailure, RestoreFailure, RuntimeExited
from thawd.logs.book import EnvironmentLog, LogBook, new_stream_name
from thawd.snapshots.base import BaseSnapshots, guest_memory_mib

from .limits import RESTORE_LIMIT_S, InitTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from thawd.catalog.models import FunctionVersion
    from thawd.code.bundles import Disk
    from thawd.engines.machine import Engine, Machine, Snapshot
    from thawd.images.store import ImageStore
    from thawd.snapshots.store import SnapshotStore


@frozen(kw_only=True)
class Host:
    """Given to every start. Made by the daemon; its members are read in this package alone.

    `ready_disk` proves the code disk of a deployment package, or makes it again (raises `BundleError`).
    `slow_down` is how much slower than a real processor an emulated one is taken to be: by this the function's processor
    time is divided before it counts for Lambda's 10 s init limit (`thaw_agent.init_limit`). `skip_fixers` names, by function, the
    fixers that its clones go without.
    """

    engine: Engine
    images: ImageStore
    snapshots: SnapshotStore
    bases: BaseSnapshots
    ready_disk: Callable[[str], Awaitable[Disk]]
    logs: LogBook
    region: str
    restore_limit_s: float = RESTORE_LIMIT_S
    slow_down: int = 1
    boot_deadline_s: float = 120.0
    skip_fixers: Mapping[str, tuple[str, ...]] = field(factory=dict)
    _generations: count[int] = field(factory=lambda: count(time.time_ns() // 1_000_000))

    def generation(self) -> int:
        """A number that no restore on this host has had: larger than every earlier one."""
        return next(self._generations)

    def open_log(self, version: FunctionVersion, *, kept: bool = True) -> EnvironmentLog:
        """A new log stream for one environment."""
        stream = new_stream_name(version.version, datetime.now(UTC))
        book = self.logs if kept else None
        return EnvironmentLog(book, version.function_name, version.version, stream)

    @contextmanager
    def doubting(self, snapshot: Path) -> Iterator[None]:
        """The scope of a start from this snapshot. If it fails, the snapshot is proved again before its next use.

        A file may be damaged after it was proved. Then the engine refuses to load it, the machine dies, or its guest says
        nothing or nonsense. What the function itself failed at says nothing about the snapshot, and would cost a look at
        each start.
        """
        try:
            yield
        except (InitFailure, InitTimeout, RestoreFailure, RuntimeExited):
            raise
        except (EngineError, GuestError):
            self.snapshots.doubt(snapshot)
            raise

    async def ensure_base(self, version: FunctionVersion) -> Snapshot:
        """The base snapshot this version starts from, made now if need be.

        Raises `ImageError`, `EngineError`, `GuestError`.
        """
        memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
        return await self.bases.ensure(version.runtime, memory)

    @asynccontextmanager
    async def base_clone(
        self,
        version: FunctionVersion,
        *,
        code: Path,
        scratch: Path | None = None,
        generation: UUID | None = None,
    ) -> AsyncIterator[Machine]:
        """A clone of the base snapshot, paused. A base that the engine refuses is made again, once.

        What goes wrong in this scope makes the base doubtful (`doubting`).

        Arguments as of `Engine.restore`. Raises `ImageError`, `EngineError`, `GuestError`, `SnapshotError`.
        """
        async with AsyncExitStack() as stack:

            async def restore() -> Machine:
                base = await self.ensure_base(version)
                stack.enter_context(self.doubting(base.directory))
                scope = self.engine.restore(base, code=code, scratch=scratch, generation=generation)
                try:
                    return await stack.enter_async_context(scope)
                except SnapshotError:
                    self.bases.discard(base.directory)
                    raise

            try:
                machine = await restore()
            except SnapshotError:
                machine = await restore()
            yield machine

    def runtime_version(self, version: FunctionVersion, image_digest: str) -> str:
        """The runtime's fields in INIT_START and RESTORE_START, with the image's digest in place of AWS's."""
        name = self.images.find(version.runtime).log_name
        digest = image_digest.removeprefix("sha256:")
        return (
            f"Runtime Version: {name}.v1\t"
            f"Runtime Version ARN: arn:aws:lambda:{self.region}::runtime:{digest}"
        )

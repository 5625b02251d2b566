"""What a start uses of this host: engine, image, snapshots, code, logs, and the limits that are configured."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from attrs import field, frozen

from thawd.logs.book import EnvironmentLog, LogBook, new_stream_name
from thawd.snapshots.base import BaseSnapshots, guest_memory_mib

from .limits import RESTORE_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from thawd.catalog.models import Code, FunctionVersion
    from thawd.engines.machine import Engine, Snapshot
    from thawd.images.store import ImageStore
    from thawd.snapshots.store import SnapshotStore


@frozen(kw_only=True)
class Host:
    """Given to every start. Made by the daemon; its members are read in this package alone.

    `find_disk` finds the code disk of a deployment package (raises `BundleError`); `init_limit_factor` stretches
    Lambda's 10 s init limit on emulated processors. `skip_fixers` names, by function, fixers that its clones go without.
    """

    engine: Engine
    images: ImageStore
    snapshots: SnapshotStore
    bases: BaseSnapshots
    find_disk: Callable[[Code], Path]
    logs: LogBook
    region: str
    restore_limit_s: float = RESTORE_LIMIT_S
    init_limit_factor: float = 1.0
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

    async def base(self, version: FunctionVersion) -> Snapshot:
        """The base snapshot this version starts from, made now if need be.

        Raises `ImageError`, `EngineError`, `GuestError`.
        """
        memory = guest_memory_mib(version.memory_mib, version.ephemeral_mib)
        return await self.bases.ensure(version.runtime, memory)

    def runtime_version(self, version: FunctionVersion) -> str:
        """The fields that INIT_START and RESTORE_START name a runtime by; the image's digest stands for AWS's."""
        runtime = version.runtime
        digest = self.images.find(runtime).digest.removeprefix("sha256:")
        family = (
            runtime.replace("python", "python:", 1) if runtime.startswith("python") else runtime
        )
        return (
            f"Runtime Version: {family}.v1\t"
            f"Runtime Version ARN: arn:aws:lambda:{self.region}::runtime:{digest}"
        )

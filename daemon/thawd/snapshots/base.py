"""Base snapshots: a booted guest whose agent is up, and nothing of any function.

There is one for each image, engine and size of machine. Every start begins with one, so that a kernel boots once for an
image and not at each start.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field

from thawd.engines.machine import CODE_DISK_BYTES, Engine, MachineSpec, Snapshot
from thawd.errors import EngineError, GuestError, MachineDied, SnapshotError
from thawd.files import require_room, telling_a_full_disk
from thawd.guest.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thawd.images.store import Image, ImageStore
    from thawd.snapshots.store import SnapshotStore

_log = structlog.get_logger()

_GUEST_OVERHEAD_MIB: Final = 128
"""Kernel and agent: 60 to 80 MiB measured in a guest of 768 MiB, and room for page cache."""

_BOOTED_BYTES: Final = 64 << 20
"""What a booted guest has written into its memory file at least: 70 to 90 MiB were seen."""

_ATTEMPTS: Final = 3
"""A guest that hangs in its boot is started again: seen in 2 of 12 boots of the microvm machine under TCG."""


def guest_memory_mib(memory_mib: int, ephemeral_mib: int) -> int:
    """RAM in MiB of the machine for a function of this MemorySize and EphemeralStorage.

    /tmp is memory here, so its size is added. MemorySize itself is held by the function's cgroup; the machine is
    rounded up to a few sizes, so that functions share base snapshots. Untouched memory costs nothing.
    """
    size = 128
    while size < memory_mib:
        size *= 2
    return size + ephemeral_mib + _GUEST_OVERHEAD_MIB


@define
class BaseSnapshots:
    """Makes base snapshots when they are first needed."""

    _store: SnapshotStore
    _engine: Engine
    _images: ImageStore
    _placeholder: Path
    _boot_deadline_s: float = 60.0
    _vcpus: int = 1
    _making: dict[str, trio.Lock] = field(factory=lambda: defaultdict(trio.Lock))

    def spec(self, image: Image, memory_mib: int) -> MachineSpec:
        """The machine every function of this image and memory size runs on."""
        return MachineSpec(
            kernel=image.kernel,
            initrd=image.initrd,
            root=image.root,
            memory_mib=memory_mib,
            vcpus=self._vcpus,
        )

    async def ensure(self, runtime: str, memory_mib: int) -> Snapshot:
        """The base snapshot for a runtime and a guest memory size in MiB, made now if it does not exist.

        Raises `ImageError`, `EngineError`, `GuestError`.
        """
        image = self._images.find(runtime)
        spec = self.spec(image, memory_mib)
        size = f"{memory_mib} MiB, {spec.vcpus} processors"
        identity = (
            f"{self._engine.identity}\n{image.digest}\n{size}\n{spec.command_line}\n{spec.kernel}"
        )
        path = self._store.base_path(hashlib.blake2b(identity.encode(), digest_size=12).hexdigest())
        async with self._making[path.name]:
            if self._store.exists(path):
                try:
                    return (await self._store.load(path)).snapshot
                except SnapshotError as error:
                    _log.warning("base.made_again", path=str(path), reason=error.message)
                    self.discard(path)
            return await self._make(spec, path, image)

    def discard(self, path: Path) -> None:
        """Remove a base snapshot that was refused: it is a cache, and made again when it is next needed."""
        self._store.remove(path)

    def is_wanted(self, path: Path) -> bool:
        """Whether a start on this host could use the base snapshot in `path`: its image is there, its engine is ours."""
        try:
            manifest = self._store.manifest(path)
        except SnapshotError:
            return False
        images = {image.digest for image in self._images.list()}
        return manifest.engine == self._engine.identity and manifest.about.get("image") in images

    async def _make(self, spec: MachineSpec, path: Path, image: Image) -> Snapshot:
        started = trio.current_time()
        require_room(self._store.directory, _BOOTED_BYTES)
        with telling_a_full_disk(self._store.directory):
            self._make_placeholder()
        console = ""

        def keep(text: str) -> None:
            nonlocal console
            console = text

        for attempt in range(1, _ATTEMPTS + 1):
            async with self._store.scratch() as scratch:
                try:
                    made = await self._boot(spec, scratch, keep)
                except (trio.TooSlowError, GuestError, MachineDied) as error:
                    reason = str(error) or f"no answer within {self._boot_deadline_s:g} s"
                    _log.warning(
                        "base.boot_failed", attempt=attempt, reason=reason, console=console[-2000:]
                    )
                    continue
                about = {"kind": "base", "image": image.digest, "runtime": image.runtime}
                with telling_a_full_disk(self._store.directory):
                    snapshot = await self._store.commit(made, path, about=about)
            boot_ms = round((trio.current_time() - started) * 1e3, 1)
            _log.info("base.made", memory_mib=spec.memory_mib, took_ms=boot_ms, attempts=attempt)
            return snapshot
        raise EngineError(
            f"the guest image did not come up in {_ATTEMPTS} attempts; its console ends with: {console[-500:]!r}",
            hint="Look at `thaw doctor`, then build the image again: thaw image build",
        )

    async def _boot(
        self, spec: MachineSpec, scratch: Path, keep_console: Callable[[str], None]
    ) -> Snapshot:
        """Boot a guest once and save it. Raises `EngineError`, `GuestError`, `trio.TooSlowError`."""
        target = scratch / "snapshot"
        with telling_a_full_disk(self._store.directory):
            target.mkdir(mode=0o700)
            async with (
                self._engine.boot(spec, code=self._placeholder, scratch=scratch) as machine,
                open_session(machine.channel(), last_words=machine.last_words) as session,
            ):
                try:
                    # Inside too: when the machine is gone, so is the file that filled the disk.
                    with (
                        telling_a_full_disk(self._store.directory),
                        trio.fail_after(self._boot_deadline_s),
                    ):
                        await session.hello()
                        # One exchange warms the agent's own paths before they are frozen for all clones.
                        await session.ping(b"warm")
                finally:
                    keep_console(machine.console_tail())
                with telling_a_full_disk(self._store.directory):
                    return await machine.snapshot(target)

    def _make_placeholder(self) -> None:
        """The code disk of a machine that has no function yet: a hole of the size every code disk has."""
        if not self._placeholder.exists():
            self._placeholder.parent.mkdir(parents=True, exist_ok=True)
            with self._placeholder.open("wb") as file:
                file.truncate(CODE_DISK_BYTES)

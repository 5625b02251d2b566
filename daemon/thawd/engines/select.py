"""Which engine this host runs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from thawd.engines.machine import Engine
from thawd.engines.probe import remembered_probe
from thawd.engines.process import reap_orphans
from thawd.engines.qemu.command import Platform
from thawd.engines.qemu.engine import QemuEngine
from thawd.errors import EngineError

if TYPE_CHECKING:
    from thawd.images.store import Image, ImageStore

_log = structlog.get_logger()

Find = Callable[[Platform], Awaitable[Engine]]


async def select_engine(
    *, runtime_directory: Path, preference: str, cache_file: Path, images: ImageStore
) -> Engine:
    """The engine to use, after every VMM that an earlier daemon of `runtime_directory` left has been killed.

    `auto`: KVM if a guest boots on it, else emulation. A named engine is used or refused. Raises `EngineError`.
    """
    orphans = await reap_orphans(runtime_directory)
    if orphans:
        _log.warning("machine.orphans_reaped", pids=orphans)

    async def find(platform: Platform) -> Engine:
        return await QemuEngine.find(platform, runtime_directory=runtime_directory)

    image = next(iter(images.list()), None)
    engine = await choose(preference, find=find, image=image, cache_file=cache_file)
    _log.info("engine.selected", engine=engine.name, identity=engine.identity)
    return engine


async def choose(
    preference: str,
    *,
    find: Find,
    image: Image | None,
    cache_file: Path,
    kvm: Path = Path("/dev/kvm"),
) -> Engine:
    """The engine for a preference. Without an image nothing can be booted, so `auto` is emulation then."""
    if preference == Platform.TCG.value:
        return await find(Platform.TCG)
    wanted = preference == Platform.KVM.value
    try:
        return await _working_kvm(find, image, cache_file, kvm, wanted=wanted)
    except EngineError as error:
        if wanted:
            raise
        _log.info("engine.kvm_unusable", reason=error.message)
    return await find(Platform.TCG)


async def _working_kvm(
    find: Find, image: Image | None, cache_file: Path, kvm: Path, *, wanted: bool
) -> Engine:
    if not os.access(kvm, os.R_OK | os.W_OK):
        raise EngineError(
            f"{kvm} cannot be opened",
            hint="Switch virtualisation on, and let the daemon's user into the group kvm",
        )
    engine = await find(Platform.KVM)
    if image is None:
        if wanted:
            return engine
        raise EngineError(
            "KVM was not tried", hint="Build an image, then restart thawd: thaw image build"
        )
    found = await remembered_probe(engine, image, cache_file=cache_file)
    if not found.usable:
        raise EngineError(
            f"KVM does not work here: {found.reason}",
            hint="Set engine = auto or qemu-tcg to run by emulation",
        )
    return engine

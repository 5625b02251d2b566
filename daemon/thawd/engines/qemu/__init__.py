"""QEMU as the engine: its command lines, its machine protocol (QMP), its process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thawd.engines.registry import Offer
from thawd.errors import EngineError

if TYPE_CHECKING:
    from thawd.engines.machine import Engine


async def find_kvm(runtime_directory: Path, *, device: Path = Path("/dev/kvm")) -> Engine:
    """QEMU with hardware virtualisation. Raises `EngineError`."""
    if not os.access(device, os.R_OK | os.W_OK):
        raise EngineError(
            f"{device} cannot be opened",
            hint="Switch virtualisation on, and let the daemon's user into the group kvm",
        )
    return await _find("qemu-kvm", runtime_directory)


async def find_tcg(runtime_directory: Path) -> Engine:
    """QEMU by emulation. Raises `EngineError`."""
    return await _find("qemu-tcg", runtime_directory)


async def _find(name: str, runtime_directory: Path) -> Engine:
    # Imported when wanted: the configuration only asks for names.
    from thawd.engines.qemu.command import Platform  # noqa: PLC0415
    from thawd.engines.qemu.engine import QemuEngine  # noqa: PLC0415

    return await QemuEngine.find(Platform(name), runtime_directory=runtime_directory)


OFFERS: Final = (
    Offer(name="qemu-kvm", rank=20, find=find_kvm),
    Offer(name="qemu-tcg", rank=90, find=find_tcg),
)

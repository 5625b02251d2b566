"""Which engine this host runs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  part of this module's types
from typing import TYPE_CHECKING

import structlog

from thawd.engines.probe import remembered_probe
from thawd.engines.process import reap_orphans
from thawd.engines.registry import Offer, offers
from thawd.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thawd.engines.machine import Engine
    from thawd.images.store import Image, ImageStore

_log = structlog.get_logger()


async def select_engine(
    *, runtime_directory: Path, preference: str, cache_file: Path, images: ImageStore
) -> Engine:
    """The engine to use, after every VMM that an earlier daemon of `runtime_directory` left has been killed.

    `auto`: the first engine on whose hardware a guest boots, else emulation. A named engine is used or refused.
    Raises `EngineError`.
    """
    orphans = await reap_orphans(runtime_directory)
    if orphans:
        _log.warning("machine.orphans_reaped", pids=orphans)
    engine = await choose(
        preference,
        offers(),
        runtime_directory=runtime_directory,
        image=next(iter(images.list()), None),
        cache_file=cache_file,
    )
    _log.info("engine.selected", engine=engine.name, identity=engine.identity)
    return engine


async def choose(
    preference: str,
    offered: Sequence[Offer],
    *,
    runtime_directory: Path,
    image: Image | None,
    cache_file: Path,
) -> Engine:
    """The engine for a preference: `auto`, or the name of one that is offered.

    Emulation works wherever it is installed; any other engine has to boot `image` first. Without an image nothing can
    be booted, so `auto` is emulation then. Raises `EngineError`.
    """
    named = [offer for offer in offered if offer.name == preference]
    refusal = EngineError(f"there is no engine {preference}")
    for offer in named or offered:
        try:
            engine = await offer.find(runtime_directory)
            if not engine.emulated and not (named and image is None):
                await _try(engine, image, cache_file)
        except EngineError as error:
            if named:
                raise
            _log.info("engine.unusable", engine=offer.name, reason=error.message)
            refusal = error
        else:
            return engine
    raise refusal


async def _try(engine: Engine, image: Image | None, cache_file: Path) -> None:
    if image is None:
        raise EngineError(
            f"{engine.name} was not tried",
            hint="Build an image, then restart thawd: thaw image build",
        )
    found = await remembered_probe(engine, image, cache_file=cache_file)
    if not found.usable:
        raise EngineError(
            f"{engine.name} does not work here: {found.reason}",
            hint="Set engine = auto or qemu-tcg to run by emulation",
        )

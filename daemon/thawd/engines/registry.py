"""The engines. Each registers itself: a package beside this module lists its engines in `OFFERS`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from attrs import frozen

import thawd.engines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from thawd.engines.machine import Engine


@frozen(kw_only=True)
class Offer:
    """One engine of a package.

    `find` looks for what the engine needs on this host and makes it, for machines whose records are kept in the given
    runtime directory; it raises `EngineError` with what is missing. `auto` tries lower `rank` first.
    """

    name: str
    rank: int
    find: Callable[[Path], Awaitable[Engine]]


@cache
def offers() -> tuple[Offer, ...]:
    """Every engine's offer, the one that `auto` tries first at the front."""
    found: list[Offer] = []
    for module in pkgutil.iter_modules(thawd.engines.__path__):
        if module.ispkg:
            package = importlib.import_module(f"{thawd.engines.__name__}.{module.name}")
            found += package.OFFERS
    return tuple(sorted(found, key=lambda offer: offer.rank))


def names() -> tuple[str, ...]:
    """The names of all engines, in the same order."""
    return tuple(offer.name for offer in offers())

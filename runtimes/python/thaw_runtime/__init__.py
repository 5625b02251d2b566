"""thawd's part inside a function's Python process: it makes clones of one snapshot different again.

Every clone of a snapshot has the same bytes in memory, so every generator that lives in memory gives every clone the
same numbers. This package enters before the function's code (`start`, by way of a .pth line), watches who seeds what
(`provenance`), looks before the snapshot for everything that would repeat (`hooks.Session.freeze`) and renews it
after the restore (`hooks.Session.thaw`). Each library has one small module in `fixers`.

A function's author needs none of it. Two functions are for the rare generator whose purpose cannot be told from the
way it was seeded; both do nothing outside of thawd and return what they were given::

    from thaw_runtime import keep, reseed

    sampler = keep(random.Random())               # every clone shall continue this very stream
    jitter = reseed(random.Random(load_seed()))   # seeded by a value, but clones must differ
"""

from __future__ import annotations

from typing import TypeVar

from thaw_runtime.provenance import override

__all__ = ["keep", "reseed"]

_T = TypeVar("_T")


def keep(generator: _T) -> _T:
    """Leave this generator as it is in the snapshot: every clone continues the same stream.

    Takes a `random.Random`, a numpy Generator, BitGenerator, RandomState or SeedSequence, or one of the modules
    `random` and `numpy.random` for its global generator. Call it at init, before the snapshot.
    """
    override(generator, unique=False)
    return generator


def reseed(generator: _T) -> _T:
    """Give this generator a seed of its own in every clone, however it was seeded. Takes what `keep` takes."""
    override(generator, unique=True)
    return generator

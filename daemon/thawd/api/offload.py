"""Work on large bodies, in a thread: parsing 70 MB takes a second in which no other client would be served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio
from trio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

SMALL: Final = 128 << 10
"""Bytes up to which the work is done at once: JSON of this size takes 1 ms, about what a thread costs a busy machine."""

_MOST_AT_ONCE: Final = 2
"""Each takes several times its body in memory, and the interpreter runs one at a time anyway."""

_limiter: RunVar[trio.CapacityLimiter] = RunVar("limiter")


async def off_the_loop(work: Callable[[bytes], _T], data: bytes) -> _T:
    """`work(data)`: here when `data` is small, else in a thread. Raises what it raises."""
    if len(data) <= SMALL:
        return work(data)
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_MOST_AT_ONCE)
        _limiter.set(limiter)
    return await trio.to_thread.run_sync(work, data, limiter=limiter)

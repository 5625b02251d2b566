"""What libraries register with os.register_at_fork() to run in a forked child: their own repair of what repeats.

Python has no reader for it, so the calls are watched during init.

A restored process is not a forked child: its threads are alive and its locks are held. Most handlers assume the
opposite (they make new locks, start workers again, forget connections), so only those are called of which the kind
says that they do nothing of the sort.
"""

from __future__ import annotations

import functools
import os
import sys
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import plain

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 1000


class _TappedRegister:
    """Stands where os.register_at_fork stood."""

    def __init__(self, call: Callable[..., None]) -> None:
        self.__wrapped__ = call
        self.__name__ = self.__qualname__ = "register_at_fork"
        self.__module__ = call.__module__
        self.__doc__ = call.__doc__

    def __call__(self, **handlers: Any) -> None:
        self.__wrapped__(**handlers)
        handler = handlers.get("after_in_child")
        if handler is not None and _watching and len(_handlers) < _MOST:
            _handlers.append(handler)


_handlers: list[Callable[[], object]] = []
_watching = False


def start() -> None:
    """Begin to watch: what the standard library has registered by now has fixers of its own."""
    global _watching
    _watching = True
    if type(os.register_at_fork) is not _TappedRegister:
        os.register_at_fork = _TappedRegister(os.register_at_fork)


def stop() -> None:
    """End watching and forget."""
    global _watching
    _watching = False
    _handlers.clear()
    if type(os.register_at_fork) is _TappedRegister:
        os.register_at_fork = os.register_at_fork.__wrapped__


def handlers() -> list[Callable[[], object]]:
    """What runs in a forked child, in the order of its registration."""
    return list(_handlers)


def is_safe(handler: Any) -> bool:
    """Is this one of the kinds that only forget or renew a value, whatever else the process is doing?

    Emptying a function's cache (a cached id), and seeding a `random.Random` from the kernel: who registers that for
    one with a seed of its own says that processes shall differ in it.
    """
    if type(handler) is BuiltinMethodType:
        owner = handler.__self__
        return type(owner) is functools._lru_cache_wrapper and handler.__name__ == "cache_clear"
    if type(handler) is not MethodType:
        return False
    random = plain.module_dict(plain.lookup(sys.modules, "random"))
    generator = handler.__self__
    return (
        type(generator) is plain.lookup(random, "Random")
        and generator
        is not plain.lookup(random, "_inst")  # fixers/random.py: a user's seed is kept
        and plain.origin(handler) == ("random", "Random.seed")
    )

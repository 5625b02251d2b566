"""Whether a generator is meant to be unique or meant to be reproducible: told from where its seed came from.

The rule: renew it unless the user seeded it with something reproducible. A seed is unique by intent when it is
nothing (the library asks the kernel), when the call's own expression asks the clock, the kernel or the process id
(`callsite`), when the value was drawn from `os.urandom` during this init (which is also what `secrets` and `uuid4`
use), or when it is the time. Every doubt counts as reproducible: a stream that a user wanted and lost is a wrong
result nobody sees; a generator left alone is reported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import callsite

if TYPE_CHECKING:
    from types import FrameType

_CLOCK_SLACK_S: Final = 60
_REMEMBERED: Final = 65_536
_SHORTEST: Final = 4
"""Bytes: a shorter draw equals somebody's constant too easily to prove anything."""


class _DrawnValues:
    """Hashes of what os.urandom gave out. Hashes, since many of these values are somebody's keys."""

    def __init__(self) -> None:
        self._hashes: dict[int, None] = {}

    def remember(self, value: bytes) -> None:
        if len(value) < _SHORTEST:
            return
        self._add(hash(value))
        self._add(hash(value[::-1]))  # int.from_bytes(value, "little")
        if len(value) == 16:
            self._add(hash(_as_uuid4(value)))

    def _add(self, key: int) -> None:
        if len(self._hashes) >= _REMEMBERED:
            del self._hashes[next(iter(self._hashes))]
        self._hashes[key] = None

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bytes | bytearray):
            return hash(bytes(value)) in self._hashes
        if isinstance(value, int) and value > 0:
            shortest = (value.bit_length() + 7) // 8
            lengths = {length for length in (4, 8, 16, 20, 32, 64) if length > shortest}
            lengths.update(range(max(shortest, _SHORTEST), shortest + 3))
            return any(hash(value.to_bytes(n, "big")) in self._hashes for n in lengths)
        if isinstance(value, str):
            try:
                return bytes.fromhex(value.replace("-", "")) in self
            except ValueError:
                return False
        return False


def _as_uuid4(value: bytes) -> bytes:
    """The same 16 bytes with RFC 9562's version and variant bits, as uuid.uuid4() sets them."""
    return b"".join(
        (value[:6], bytes((value[6] & 0x0F | 0x40, value[7], value[8] & 0x3F | 0x80)), value[9:])
    )


class _TappedUrandom:
    """Stands where os.urandom stood. An object and not a function, so that it does not bind as a method either."""

    def __init__(self, call: Callable[[int], bytes]) -> None:
        self.__wrapped__ = call
        self.__name__ = self.__qualname__ = "urandom"
        self.__module__ = call.__module__
        self.__doc__ = call.__doc__

    def __call__(self, size: int, /) -> bytes:
        value = self.__wrapped__(size)
        if _recording:
            _drawn.remember(value)
        return value

    def __reduce__(self) -> str:
        return "urandom"  # by name, as the builtin is pickled


_drawn = _DrawnValues()
_recording = False
_started_s = 0.0
_started_monotonic_s = 0.0
_overrides: list[tuple[Any, bool]] = []


def start() -> None:
    """Begin to watch: from interpreter start, before anything has imported os.urandom by name."""
    global _recording, _started_s, _started_monotonic_s
    _recording = True
    _started_s = time.time()
    _started_monotonic_s = time.monotonic()
    if not isinstance(os.urandom, _TappedUrandom):
        os.urandom = _TappedUrandom(os.urandom)
    random: Any = sys.modules.get("random")
    if random is not None:
        # Imported before us, by another .pth line: it took the untapped function by name.
        random._urandom = os.urandom


def stop() -> None:
    """End watching and forget everything. Who holds the tap by name keeps a call that adds nothing."""
    global _recording, _drawn
    _recording = False
    _drawn = _DrawnValues()
    _overrides.clear()
    if isinstance(os.urandom, _TappedUrandom):
        os.urandom = os.urandom.__wrapped__


def recording() -> bool:
    """Between `start()` and `stop()`."""
    return _recording


def override(generator: Any, *, unique: bool) -> None:
    """The user's own word on a generator (`keep`, `reseed`)."""
    if _recording:
        _overrides.append((generator, unique))


def overridden(*generators: Any) -> bool | None:
    """What the user last said of any of these objects; None when nothing was said."""
    said = [unique for known, unique in _overrides if any(known is g for g in generators)]
    return said[-1] if said else None


def seed_is_unique(seed: Any, caller: FrameType | None) -> bool:
    """Is a generator with this seed, given at this call, meant to be unique?"""
    if seed is None:
        return True
    if caller is not None:
        where = callsite.origin(caller)
        if where is not callsite.Origin.UNKNOWN:
            return where is callsite.Origin.VOLATILE
    return value_is_unique(seed)


def value_is_unique(seed: Any) -> bool:
    """The same from the value alone: drawn from the kernel during this init, or the time during this init."""
    if isinstance(seed, Iterable) and not isinstance(seed, str | bytes | bytearray):
        return any(value_is_unique(item) for item in seed)
    return seed in _drawn or _is_a_time_of_this_init(seed)


def _is_a_time_of_this_init(seed: Any) -> bool:
    if isinstance(seed, str):
        try:
            seed = float(seed)
        except ValueError:
            return False
    if isinstance(seed, bool) or not isinstance(seed, int | float):
        return False
    now = time.time()
    earliest = _started_s - _CLOCK_SLACK_S
    if any(earliest * unit <= seed <= (now + 1) * unit for unit in (1, 10**3, 10**6, 10**9)):
        return True
    # Of the monotonic clock only what cannot be a number somebody chose: many decimals, or nanoseconds.
    if isinstance(seed, float):
        return _started_monotonic_s <= seed <= time.monotonic() and not (seed * 10**6).is_integer()
    return seed > 10**9 and _started_monotonic_s * 10**9 <= seed <= time.monotonic_ns()


def caller_outside(module: str, depth: int = 2) -> FrameType | None:
    """The nearest calling frame whose code is not this module's (`depth` frames up is the first looked at)."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_globals.get("__name__") == module:
        frame = frame.f_back
    return frame

"""Whether a generator is meant to be unique or meant to be reproducible: told from where its seed came from.

The rule: renew it unless the user seeded it with something reproducible. A seed is unique by intent when it is
nothing (the library asks the kernel), when the call's own expression asks the clock, the kernel or the process id
(`callsite`), when the value was drawn from `os.urandom` during this init (which is also what `secrets` and `uuid4`
use), or when it is the time. Every doubt counts as reproducible: a stream that a user wanted and lost is a wrong
result that is not noticed; a generator left alone is reported.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, monotonic_ns, time
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import callsite, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_CLOCK_SLACK_S: Final = 60
_REMEMBERED: Final = 65_536
_SHORTEST: Final = 4
"""Bytes: a shorter draw equals some constant too easily to prove anything."""
_LONGEST: Final = 64 * 1024
"""Bytes or characters: a longer value is not looked at."""
_LONGEST_TIME: Final = 40
"""Characters of a time written as a number."""
_MOST_PARTS: Final = 1024
_DEPTH: Final = 3
"""Of a seed that is made of parts, such as a list of words."""


class _DrawnValues:
    """Hashes of the bytes that os.urandom gave out. Hashes, since many of them are keys."""

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

    def holds(self, value: str | bytes | float) -> bool:
        """Was this value given out, in one of the forms in which programs keep it? Takes exact types only."""
        if type(value) is bytes:
            return hash(value) in self._hashes
        if type(value) is int and value > 0:
            shortest = (value.bit_length() + 7) // 8
            lengths = {length for length in (4, 8, 16, 20, 32, 64) if length > shortest}
            lengths.update(range(max(shortest, _SHORTEST), shortest + 3))
            return any(hash(value.to_bytes(n, "big")) in self._hashes for n in lengths)
        if type(value) is str:
            try:
                return hash(bytes.fromhex(value.replace("-", ""))) in self._hashes
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
        if _recording and type(value) is bytes:
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
    _started_s = time()
    _started_monotonic_s = monotonic()
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
    if type(os.urandom) is _TappedUrandom:
        os.urandom = os.urandom.__wrapped__


def recording() -> bool:
    """Between `start()` and `stop()`."""
    return _recording


def override(generator: Any, *, unique: bool) -> None:
    """The user's own word on a generator (`keep`, `reseed`)."""
    if _recording:
        _overrides.append((generator, unique))


def overridden(*generators: Any) -> bool | None:
    """The user's last word on any of these objects (`keep`, `reseed`); None if there was none."""
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


def value_is_unique(seed: Any, depth: int = _DEPTH) -> bool:
    """The same from the value alone: drawn from the kernel during this init, or the time during this init.

    Runs no code of the value's: of objects only lists, tuples and sets are looked into.
    """
    parts = plain.members(seed, _MOST_PARTS)
    if parts is not None:
        return depth > 0 and any(value_is_unique(part, depth - 1) for part in parts)
    value = plain.scalar(seed, _LONGEST + 1)
    if value is None or (type(value) in (str, bytes) and len(value) > _LONGEST):  # type: ignore[arg-type]
        return False
    return _drawn.holds(value) or _is_a_time_of_this_init(value)


def _is_a_time_of_this_init(seed: str | bytes | float) -> bool:
    if type(seed) is str:
        if len(seed) > _LONGEST_TIME:
            return False
        try:
            seed = float(seed)
        except ValueError:
            return False
    if type(seed) not in (int, float):
        return False
    number: Any = seed
    # The clocks are those that `time` had when this was imported: the function may have put others in their place.
    earliest, latest = _started_s - _CLOCK_SLACK_S, time() + 1
    if any(earliest * unit <= number <= latest * unit for unit in (1, 10**3, 10**6, 10**9)):
        return True
    # Of the monotonic clock only values that nobody would choose: many decimals, or nanoseconds.
    if type(number) is float:
        return _started_monotonic_s <= number <= monotonic() and (number * 10**6) % 1 != 0
    return bool(number > 10**9 and _started_monotonic_s * 10**9 <= number <= monotonic_ns())


def caller_outside(module: str, depth: int = 2) -> FrameType | None:
    """The nearest calling frame whose code is not this module's (`depth` frames up is the first looked at)."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and _module_of(frame) == module:
        frame = frame.f_back
    return frame


def _module_of(frame: FrameType) -> str | None:
    return plain.text(plain.lookup(frame.f_globals, "__name__"))

"""The integer that a Mersenne Twister was seeded with, read back from its state.

`RandomState(seed)` keeps no trace of its seed but the state itself. `init_genrand` (Matsumoto and Nishimura, 2002)
fills the state with a linear congruential sequence, and both it and the twist can be run backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_N: Final = 624
_M: Final = 397
_MATRIX: Final = 0x9908B0DF
_UPPER: Final = 0x80000000
_LOWER: Final = 0x7FFFFFFF
_WORD: Final = 0xFFFFFFFF
_FACTOR: Final = 1812433253
_INVERSE: Final = pow(_FACTOR, -1, 1 << 32)
_TWISTS: Final = 4
"""Blocks of 624 outputs that may have been drawn since: each costs a millisecond to run back."""


def seed_of(key: Sequence[int]) -> int | None:
    """The 32-bit seed of a state of 624 words, or None for one seeded in another way or used for long."""
    state = [int(word) for word in key]
    if len(state) != _N:
        return None
    for _ in range(_TWISTS + 1):
        seed = _seed_of_fresh(state)
        if seed is not None:
            return seed
        state = _untwist(state)
    return None


def _next(word: int, index: int) -> int:
    return (_FACTOR * (word ^ word >> 30) + index) & _WORD


def _seed_of_fresh(state: list[int]) -> int | None:
    # The first word is checked last: a twist keeps of it only the top bit.
    if any(_next(state[i - 1], i) != state[i] for i in range(2, _N)):
        return None
    mixed = (state[1] - 1) * _INVERSE & _WORD
    seed = mixed ^ mixed >> 30
    return seed if (seed ^ state[0]) & _UPPER == 0 else None


def _untwist(state: list[int]) -> list[int]:
    before = list(state)
    for i in range(_N - 1, -1, -1):
        word = before[i] ^ before[(i + _M) % _N]
        if word & _UPPER:
            word ^= _MATRIX
        upper = word << 1 & _UPPER
        word = before[i - 1] ^ before[(i + _M - 1) % _N]
        if word & _UPPER:
            word ^= _MATRIX
            upper |= 1
        before[i] = upper | word << 1 & _LOWER
    return before

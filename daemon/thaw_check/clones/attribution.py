"""Which call during init, and which global, a cloned value came from."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .observation import ColdStart, Global, Tap

_Source = TypeVar("_Source")

_PART_LENGTH: Final = 8
"""Characters from which a part of a value identifies it."""
_SEPARATOR: Final = re.compile(r"[^0-9A-Za-z]+")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")


def made_by(values: Sequence[str], starts: Sequence[ColdStart]) -> tuple[Tap, ...]:
    """The calls that made a value, given what it was in each cold start: the call must fit in all of them.

    One start's value may fit by accident; the same call at the same line fitting each start's value does not.
    """
    recorded = [start.taps for start in starts]
    if not all(recorded):
        return ()
    return _common(
        [
            [((tap.source, tap.at), tap, _fit(value, tap.value)) for tap in taps]
            for value, taps in zip(values, recorded, strict=True)
        ]
    )


def drawn_by(values: Sequence[str], starts: Sequence[ColdStart]) -> tuple[Tap, ...]:
    """The calls after the restore that several clones of a start made with the same result, if it is this value."""
    shared = [
        Counter(tap for clone in start.clones for tap in set(clone.draws)) for start in starts
    ]
    return _common(
        [
            [
                ((tap.source, tap.at), tap, _fit(value, tap.value))
                for tap, clones in counts.items()
                if clones > 1
            ]
            for value, counts in zip(values, shared, strict=True)
        ]
    )


def kept_in(values: Sequence[str], starts: Sequence[ColdStart]) -> tuple[Global, ...]:
    """The globals that hold a value, given what it was in each cold start."""
    recorded = [start.globals for start in starts]
    if not all(recorded):
        return ()
    return _common(
        [
            [(each.name, each, _fit(value, each.value)) for each in names]
            for value, names in zip(values, recorded, strict=True)
        ]
    )


class _Fit(IntEnum):
    """How well a value and where it may come from go together."""

    NOT = 0
    PARTLY = 1
    WHOLLY = 2


def _common(starts: Sequence[Sequence[tuple[object, _Source, _Fit]]]) -> tuple[_Source, ...]:
    """The sources that fit in every start; those that fit wholly, where there are any.

    Two times of one second have ten digits in common, and only one of them is the value.
    """
    for least in (_Fit.WHOLLY, _Fit.PARTLY):
        fitting = [{key: source for key, source, fit in start if fit >= least} for start in starts]
        common = [key for key in fitting[0] if all(key in others for others in fitting[1:])]
        if common:
            return tuple(fitting[0][key] for key in common)
    return ()


def _fit(said: str, made: str) -> _Fit:
    ours, theirs = set(_whole(said)), set(_whole(made))
    if ours & theirs:
        return _Fit.WHOLLY
    ours.update(_parts(said))
    theirs.update(_parts(made))
    partly = bool(ours & theirs) or any(
        len(short) >= _PART_LENGTH and short in long
        for a in ours
        for b in theirs
        for short, long in ((a, b), (b, a))
    )
    return _Fit.PARTLY if partly else _Fit.NOT


def _parts(value: str) -> Iterable[str]:
    """The parts of a value that are long enough to be recognised."""
    return (part.lower() for part in _SEPARATOR.split(value.strip()) if len(part) >= _PART_LENGTH)


def _whole(value: str) -> Iterable[str]:
    """The ways one value is written: with and without dashes, in hexadecimal, base64, decimal."""
    text = value.strip()
    yield text
    plain = text.replace("-", "").lower()
    yield plain
    raw = _bytes(text, plain)
    if raw is not None:
        yield raw.hex()
        yield base64.b64encode(raw).decode().rstrip("=")
        yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
        if len(raw) <= 64:
            yield str(int.from_bytes(raw, "big"))
    if plain.isdigit() and len(plain) < 400:
        number = int(plain)
        if number > 0xFFFF:
            yield f"{number:x}"


def _bytes(text: str, plain: str) -> bytes | None:
    if len(plain) >= _PART_LENGTH and _HEX.fullmatch(plain) and not plain.isdigit():
        return bytes.fromhex(plain)
    if len(text) >= _PART_LENGTH and len(text) % 4 == 0 and ("=" in text or not text.isalpha()):
        try:
            return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        except binascii.Error:
            return None
    return None

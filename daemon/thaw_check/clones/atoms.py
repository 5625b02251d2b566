"""The parts of a text that can be unique: numbers, identifiers, times, addresses; and how much chance is in them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from attrs import frozen

_ISO: Final = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_UUID: Final = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_ATOM: Final = re.compile(
    rf"""
      (?P<uuid>    {_UUID} )
    | (?P<time>    (?<![\w-]) {_ISO} (?![\w-]) )
    | (?P<address> \b0x[0-9a-fA-F]{{6,16}}\b )
    | (?P<number>  (?<![\w.+/-]) -?\d+ (?:\.\d+)? (?:[eE][+-]?\d+)? (?![\w+/]|\.\d) )
    | (?P<word>    [A-Za-z0-9+/_-]+ (?:={{1,2}} (?![\w.="']))? )
    """,
    re.VERBOSE,
)
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+=*")

_EPOCH_FROM_S, _EPOCH_TO_S = 1_500_000_000.0, 4_000_000_000.0
"""2017 to 2096: numbers in this range may be times."""
_MILLISECOND_DIGITS: Final = 13
"""Of a time since 1970, whatever its unit."""
_HEAP_FROM, _HEAP_TO = 0x5500_0000_0000, 0x7FFF_FFFF_FFFF
"""Where Linux on x86-64 and arm64 puts heaps and mappings of a position-independent program."""


class AtomKind(Enum):
    """The form of an atom."""

    UUID = auto()
    TIME = auto()
    ADDRESS = auto()
    NUMBER = auto()
    WORD = auto()


@frozen
class Atom:
    """One part of a text."""

    text: str
    kind: AtomKind

    @property
    def instants_s(self) -> tuple[float, ...]:
        """The times it may mean, in seconds since 1970: none for most atoms."""
        if self.kind is AtomKind.TIME:
            return _iso(self.text)
        if self.kind is not AtomKind.NUMBER:
            return ()
        number = float(self.text)
        return tuple(
            number / unit
            for unit in (1, 1e3, 1e6, 1e9)
            if _EPOCH_FROM_S <= number / unit <= _EPOCH_TO_S
        )

    @property
    def is_fine(self) -> bool:
        """Whether a time is told to the millisecond or finer."""
        if self.kind is AtomKind.TIME:
            return bool(re.search(r"[.,]\d{3}", self.text))
        return len(self.text.replace(".", "").lstrip("-")) >= _MILLISECOND_DIGITS

    @property
    def is_address(self) -> bool:
        """Whether it may be where an object lies in memory."""
        if self.kind is AtomKind.ADDRESS:
            value = int(self.text, 16)
        elif self.kind is AtomKind.NUMBER and self.text.isdigit():
            value = int(self.text)
        else:
            return False
        return _HEAP_FROM <= value <= _HEAP_TO and value % 8 == 0


def atoms(text: str) -> tuple[Atom, ...]:
    """The atoms of `text`, in order. A text without spaces that is one token stays whole."""
    return tuple(
        Atom(match.group(), AtomKind[match.lastgroup.upper()])
        for match in _ATOM.finditer(text)
        if match.lastgroup is not None
    )


def shape(text: str) -> str:
    """`text` with everything replaced that may differ from run to run: lines of one shape come from one statement."""
    return _ATOM.sub(lambda match: match.group() if _is_plain(match) else "#", text)


def _is_plain(match: re.Match[str]) -> bool:
    return (
        match.lastgroup == "word"
        and match.group().replace("-", "").replace("_", "").isalpha()
        and len(match.group()) < 20
    )


def chance_bits(one: str, other: str) -> float:
    """How many bits of chance lie between two texts of the same kind: 0 if they are equal.

    An estimate from below: what both have in common counts nothing, nor does a counter's low step count its digits.
    """
    if one == other:
        return 0.0
    if _is_number(one) and _is_number(other):
        return _number_bits(one, other)
    first, second = one.replace("-", ""), other.replace("-", "")
    per_character = min(_bits_per_character(first), _bits_per_character(second))
    if len(first) == len(second):
        different = sum(a != b for a, b in zip(first, second, strict=True))
        # Some of the characters that are equal are so by accident: one in the alphabet's size.
        by_accident = different / (2**per_character - 1) if different > 2 else 0
        return min(len(first), different + by_accident) * per_character
    start = _common(first, second)
    end = _common(first[start:][::-1], second[start:][::-1])
    return max(1, min(len(first), len(second)) - start - end) * per_character


def capacity_bits(text: str) -> float:
    """How many bits of chance `text` can hold."""
    if _is_number(text):
        if text.lstrip("-").isdigit():
            return float(int(text).bit_length())
        return min(53.0, _digits(text) * math.log2(10))
    plain = text.replace("-", "")
    return len(plain) * _bits_per_character(plain)


def _is_number(text: str) -> bool:
    return len(text) <= 40 and _NUMBER.fullmatch(text) is not None


def _number_bits(one: str, other: str) -> float:
    a, b = float(one), float(other)
    if "." not in one + other and "e" not in (one + other).lower():
        x, y = int(one), int(other)
        wide, apart = max(x.bit_length(), y.bit_length()), abs(x - y).bit_length()
        return float(wide if apart >= wide - 4 else apart)
    digits = min(_digits(one), _digits(other))
    resolution = 10.0 ** -min(_decimals(one), _decimals(other))
    steps = abs(a - b) / resolution
    if digits >= 15 and abs(a - b) > 1e-3 * max(abs(a), abs(b)):
        return 53.0  # a whole random() of it
    return min(max(0.0, math.log2(steps)) if steps > 0 else 0.0, 53.0)


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text.partition("e")[0])


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    return max(0, min(len(mantissa.partition(".")[2]) - int(exponent or 0), 30))


def _bits_per_character(text: str) -> float:
    if text.isdigit():
        return math.log2(10)
    if _HEX.fullmatch(text) and any(character.isdigit() for character in text):
        return 4.0
    if text.isalpha() and (text.islower() or text.isupper() or text.istitle()):
        return 2.0  # a word of a language, or nearly
    if text.isalnum():
        return 5.0 if text.islower() or text.isupper() else 5.9
    return 6.0 if _BASE64.fullmatch(text) else 2.0


def _common(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _iso(text: str) -> tuple[float, ...]:
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return ()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment.timestamp(),)

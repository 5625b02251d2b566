"""The differential rule: a value that clones of one start share, and that differs in another start, was unique and was cloned.

A value that is equal everywhere is a constant, or reproducible on purpose. A value that differs between clones is as it
should be. The second cold start tells a cloned value from a constant.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from .atoms import AtomKind, capacity_bits, chance_bits
from .attribution import drawn_by, kept_in, made_by
from .fields import Alike, Field, alike, fields_of, files_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .atoms import Atom
    from .observation import Answer, ColdStart, Global, Tap

ENOUGH_BITS: Final = 32.0
"""From here on equal by accident is out of the question: 1 in 4 billion."""
PARTLY_BITS: Final = 64.0
"""Where only some clones, or only one start's clones, share a value."""
_CLOCK: Final = re.compile(r"\b(time|datetime|date|monotonic|perf_counter)\b")
_OLDEST_S: Final = 400 * 86_400.0
"""Snapshots do not live longer. A random number that happens to look like an older time is not a time."""
_APART_S: Final = 0.01
_LIVE_S: Final = 2.0
"""Seconds around an invocation in which a time that it reports is the time it ran."""


class Verdict(StrEnum):
    """The kind of a shared value."""

    VALUE = "value"
    """Made once and kept: the same for every event."""
    GENERATOR = "generator"
    """Not kept anywhere that was seen: made for each event by a generator that was cloned."""
    TIME = "time"
    """A time from before the snapshot."""
    ADDRESS = "address"
    """Where an object lies in memory: shared by nature."""
    HINT = "hint"
    """Too little chance in it to be sure."""
    EMPTY = "empty"
    """An id of zeros alone: nobody made one."""


@frozen
class CloneFinding:
    """One place where clones said the same, and should not have."""

    verdict: Verdict
    path: str
    bits: float
    """How much chance the shared values hold together, estimated from below."""
    values: tuple[str, ...]
    """An example from each cold start."""
    clones: str
    """How many shared it: `2 of 2`."""
    events: tuple[int, ...]
    """The events that showed it; empty for a value that was left behind after all of them."""
    made_by: tuple[Tap, ...] = ()
    kept_in: tuple[Global, ...] = ()


@frozen
class Comparison:
    """The outcome of a clone test."""

    findings: tuple[CloneFinding, ...]
    constant: int
    """Fields equal everywhere."""
    unique: int
    """Fields that differ between clones."""


@frozen
class _Sighting:
    """One shared part of one field, in one event."""

    path: str
    event: int
    part: int
    """Which atom."""
    values: tuple[str, ...]
    """By cold start."""
    bits: float
    clones: str
    verdict: Verdict


def compare(events: Sequence[Any], starts: Sequence[ColdStart]) -> Comparison:
    """Compare what clones did.

    Args:
        events: The events, as JSON's types, in the order in which every clone got them.
        starts: At least two cold starts with at least two clones each; every clone with one answer an event.

    Raises:
        ValueError: There is less than that to compare.
    """
    if len(starts) < 2 or any(len(start.clones) < 2 for start in starts):
        raise ValueError("a comparison needs two cold starts with two clones each")
    if any(len(clone.answers) != len(events) for start in starts for clone in start.clones):
        raise ValueError("every clone must have one answer for each event")
    tally: Counter[str] = Counter()
    sightings: list[_Sighting] = []
    for number, event in enumerate(events):
        known = alike(clone.answers[number].response for start in starts for clone in start.clones)
        rows = [
            [_row(clone.answers[number], event, known) for clone in start.clones]
            for start in starts
        ]
        sightings += _sightings(rows, number, tally)
    left: list[list[_Row]] = [
        [(files_of(clone), None) for clone in start.clones] for start in starts
    ]
    sightings += _sightings(left, -1, tally)
    found = [_finding(group, starts) for group in _grouped(sightings)]
    told = {(tap.source, tap.at) for finding in found for tap in finding.made_by}
    found += [finding for place, finding in _shared_draws(starts).items() if place not in told]
    found.sort(key=lambda finding: (-finding.bits, finding.path))
    return Comparison(tuple(found), tally["constant"], tally["unique"])


_Row = tuple[dict[str, Field], "Answer | None"]


def _row(answer: Answer, event: Any, known: Alike) -> _Row:
    return fields_of(event, answer, known), answer


def _sightings(rows: list[list[_Row]], event: int, tally: Counter[str]) -> Iterator[_Sighting]:
    everyone = [row for start in rows for row in start]
    paths = dict.fromkeys(path for fields, _ in everyone for path in fields)
    common = [path for path in paths if all(path in fields for fields, _ in everyone)]
    for path in common:
        table = [[fields[path] for fields, _ in start] for start in rows]
        if len({field.text for start in table for field in start}) == 1:
            tally["constant"] += 1
            yield from _empty(path, table, event)
            continue
        answers = [[answer for _, answer in start] for start in rows]
        found = list(_shared_parts(path, table, answers, event))
        if not found:
            tally["unique"] += 1
        yield from found
    # Values that not every clone has at the same place: lines that came and went, keys that are ids.
    for channel in dict.fromkeys(_channel(path) for path in paths.keys() - set(common)):
        loose = [
            [
                [
                    field
                    for path, field in fields.items()
                    if path not in common and _channel(path) == channel
                ]
                for fields, _ in start
            ]
            for start in rows
        ]
        yield from _strays(f"{channel} (anywhere)", loose, event)


def _empty(path: str, table: list[list[Field]], event: int) -> Iterator[_Sighting]:
    """Ids that are zeros alone, in a field that is equal everywhere."""
    for part, atom in enumerate(table[0][0].atoms):
        if atom.kind is AtomKind.UUID and not atom.text.strip("0-"):
            clones = f"{len(table[0])} of {len(table[0])}"
            values = tuple(atom.text for _ in table)
            yield _Sighting(path, event, part, values, 0.0, clones, Verdict.EMPTY)


def _channel(path: str) -> str:
    return path.partition(" ")[0].partition(".")[0].partition("[")[0]


def _shared_parts(
    path: str, table: list[list[Field]], answers: list[list[Answer | None]], event: int
) -> Iterator[_Sighting]:
    counts = {len(field.atoms) for start in table for field in start}
    if len(counts) != 1:
        yield from _strays(path, [[[field] for field in start] for start in table], event)
        return
    for part in range(counts.pop()):
        parts = [[field.atoms[part] for field in start] for start in table]
        verdict = _look(parts, answers)
        if verdict is not None:
            yield from _shared(
                path, [[atom.text for atom in start] for start in parts], event, part, verdict
            )


def _strays(path: str, fields: list[list[list[Field]]], event: int) -> Iterator[_Sighting]:
    """Parts that hold much chance, wherever they stand in texts that cannot be laid beside each other."""
    per_clone = [
        [
            {atom.text for field in clone for atom in field.atoms if _is_rich(atom)}
            for clone in start
        ]
        for start in fields
    ]
    shared = []
    for number, start in enumerate(per_clone):
        others = {
            text
            for other, clones in enumerate(per_clone)
            if other != number
            for texts in clones
            for text in texts
        }
        shared.append(sorted(set.intersection(*start) - others))
    for part, values in enumerate(zip(*shared, strict=False)):
        bits = min(capacity_bits(value) for value in values)
        yield _Sighting(
            path, event, part, values, bits, f"{len(fields[0])} of {len(fields[0])}", Verdict.VALUE
        )


def _is_rich(atom: Atom) -> bool:
    return not atom.instants_s and not atom.is_address and capacity_bits(atom.text) >= ENOUGH_BITS


def _look(parts: list[list[Atom]], answers: list[list[Answer | None]]) -> Verdict | None:
    """The verdict on a column of atoms; None if they are the times at which each ran."""
    atoms = [atom for start in parts for atom in start]
    if all(atom.is_address for atom in atoms):
        return Verdict.ADDRESS
    if not all(atom.instants_s for atom in atoms):
        return Verdict.VALUE
    flat = [answer for start in answers for answer in start]
    if any(answer is None or answer.began_s is None for answer in flat):
        return (
            Verdict.HINT
        )  # nobody looked at the clock, which the test may have set equal in all clones
    ages = [_age_s(atom, answer) for atom, answer in zip(atoms, flat, strict=True)]
    if any(age is None for age in ages):
        return Verdict.VALUE  # a number that could be a time, but of no time that matters here
    old = all(age for age in ages)
    shared = all(atom.is_fine for atom in atoms) and all(
        len({atom.text for atom in start}) == 1 and _ran_apart(own)
        for start, own in zip(parts, answers, strict=True)
    )
    return Verdict.TIME if old or shared else None


def _ran_apart(answers: list[Answer | None]) -> bool:
    """Whether clones ran at different moments: then, to the millisecond, they share no time but an old one."""
    began = sorted(answer.began_s or 0.0 for answer in answers if answer is not None)
    return all(later - earlier > _APART_S for earlier, later in pairwise(began))


def _age_s(atom: Atom, answer: Answer | None) -> float | None:
    """How long before the invocation the atom's time was: 0 for the time it ran, None for any other time."""
    if answer is None or answer.began_s is None:
        return None
    ended_s = answer.ended_s if answer.ended_s is not None else answer.began_s
    for instant in atom.instants_s:
        if answer.began_s - _LIVE_S <= instant <= ended_s + _LIVE_S:
            return 0.0
        if answer.began_s - _OLDEST_S < instant < answer.began_s:
            return answer.began_s - instant
    return None


def _shared(
    path: str, column: list[list[str]], event: int, part: int, verdict: Verdict
) -> Iterator[_Sighting]:
    common = [_most_common(start) for start in column]
    values = tuple(value for value, _ in common)
    if len(set(values)) == 1:
        return
    bits = max(chance_bits(a, b) for a, b in combinations(values, 2))
    whole = [count == len(start) for (_, count), start in zip(common, column, strict=True)]
    if all(whole):
        clones = f"{len(column[0])} of {len(column[0])}"
    else:
        # Some clones only, or the clones of one start only: a race, or an accident. Much chance rules the accident out.
        if bits < PARTLY_BITS or not any(count > 1 for _, count in common):
            return
        if verdict is not Verdict.VALUE:
            return
        best = max(range(len(common)), key=lambda index: common[index][1] / len(column[index]))
        clones = f"{common[best][1]} of {len(column[best])}"
        if not any(whole):
            clones = f"only {clones}"
    yield _Sighting(path, event, part, values, bits, clones, verdict)


def _most_common(values: list[str]) -> tuple[str, int]:
    return Counter(values).most_common(1)[0]


def _grouped(sightings: list[_Sighting]) -> list[list[_Sighting]]:
    """The parts of one field, in all events, are one finding; but not parts of different nature."""
    groups: dict[tuple[str, Verdict], list[_Sighting]] = {}
    for sighting in sightings:
        groups.setdefault((sighting.path, sighting.verdict), []).append(sighting)
    return list(groups.values())


def _finding(group: list[_Sighting], starts: Sequence[ColdStart]) -> CloneFinding:
    first = group[0]
    best = max(group, key=lambda sighting: sighting.bits)
    distinct = {sighting.values: sighting.bits for sighting in group}
    bits = sum(distinct.values())
    # By part and cold start: its text in each event.
    said: dict[tuple[int, int], set[str]] = {}
    for sighting in group:
        for start, value in enumerate(sighting.values):
            said.setdefault((sighting.part, start), set()).add(value)
    events = tuple(sorted({sighting.event for sighting in group if sighting.event >= 0}))
    kept = len(events) != 1 and any(len(values) == 1 for values in said.values())
    tried = sorted(group, key=lambda sighting: -sighting.bits)[:20]
    makers = _each_once(tap for s in tried for tap in made_by(s.values, starts))
    keepers = tuple(dict.fromkeys(each for s in tried for each in kept_in(s.values, starts)))
    verdict = first.verdict
    if verdict is Verdict.HINT and any(_CLOCK.search(tap.source) for tap in makers):
        verdict = Verdict.TIME
    elif verdict is Verdict.HINT and (makers or keepers) and bits >= ENOUGH_BITS:
        verdict = Verdict.VALUE
    elif verdict is Verdict.VALUE and bits < ENOUGH_BITS:
        verdict = Verdict.HINT
    elif verdict is Verdict.VALUE and not makers and not keepers and not kept:
        verdict = Verdict.GENERATOR
        makers = _each_once(tap for s in tried for tap in drawn_by(s.values, starts))
    return CloneFinding(
        verdict, first.path, bits, best.values, best.clones, events, makers, keepers
    )


def _each_once(taps: Iterable[Tap]) -> tuple[Tap, ...]:
    """One tap of each call."""
    return tuple({(tap.source, tap.at): tap for tap in taps}.values())


def _shared_draws(starts: Sequence[ColdStart]) -> dict[tuple[str, str], CloneFinding]:
    """Values that clones drew after the restore, whether or not they came out; by source and line."""
    found: dict[tuple[str, str], CloneFinding] = {}
    for start in starts:
        for one, other in combinations(start.clones, 2):
            theirs = {(tap.source, tap.at, tap.value) for tap in other.draws}
            for tap in one.draws:
                elsewhere = [s for s in starts if s is not start]
                if (tap.source, tap.at, tap.value) not in theirs or _drawn_in(tap, elsewhere):
                    continue
                bits = capacity_bits(tap.value)
                if bits >= PARTLY_BITS and (tap.source, tap.at) not in found:
                    found[tap.source, tap.at] = CloneFinding(
                        Verdict.GENERATOR, f"{tap.source} at {tap.at}", bits, (tap.value,),
                        f"{sum(tap in clone.draws for clone in start.clones)} of {len(start.clones)}", (), (tap,),
                    )  # fmt: skip
    return found


def _drawn_in(tap: Tap, starts: list[ColdStart]) -> bool:
    """The same value in another start too: seeded on purpose."""
    return any(tap in clone.draws for start in starts for clone in start.clones)

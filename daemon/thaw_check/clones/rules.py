"""The clone test's rules, in the words of a report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from thaw_check.findings import Finding, Level, Location, Rule

from .compare import CloneFinding, Comparison, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RULES: Final = {
    Verdict.VALUE: Rule(
        "CLONE001",
        "cloned-value",
        Level.ERROR,
        "Clones share a value that was meant to be unique",
        "It was made once, before the snapshot, and differs between cold starts but not between clones.",
        "Make it in the handler, or again in a function under @register_after_restore.",
    ),
    Verdict.GENERATOR: Rule(
        "CLONE002",
        "cloned-generator",
        Level.ERROR,
        "Clones draw the same from a random generator",
        "The generator's state is in the snapshot: every clone goes on with the same sequence.",
        "Reseed it in a function under @register_after_restore, draw from the secrets module, or let thawd's fixers "
        "do it.",
    ),
    Verdict.TIME: Rule(
        "CLONE003",
        "cloned-time",
        Level.ERROR,
        "Clones report a time from before the snapshot",
        "It was read once, before the snapshot; what is computed from it is wrong by the snapshot's age.",
        "Read the clock in the handler, or again after restore.",
    ),
    Verdict.HINT: Rule(
        "CLONE004",
        "maybe-cloned",
        Level.INFO,
        "Clones share something that cold starts do not",
        "It is too short to be sure: it may be equal by accident.",
        "Look whether it was meant to differ. More events, or more clones, would tell.",
    ),
    Verdict.ADDRESS: Rule(
        "CLONE005",
        "cloned-address",
        Level.INFO,
        "Clones report the same memory address",
        "Memory is laid out alike in all clones; nothing can change that.",
        "Do not use an address, or id(), to tell objects of different environments apart.",
    ),
    Verdict.EMPTY: Rule(
        "CLONE006",
        "empty-id",
        Level.INFO,
        "Every clone answers an id of zeros alone",
        "Nobody made it: `new Guid()` in C# is all zeros, and so is a uuid.UUID(int=0).",
        "Make it with Guid.NewGuid() or uuid.uuid4() after the restore, unless it is meant to say that there is none.",
    ),
}
RULES: Final = {rule.id: rule for rule in _RULES.values()}
_SHOWN: Final = 48
"""Characters of a value in a message. A secret should not be readable in a CI log."""
_INDEX: Final = re.compile(r"\[\d+\]")
_CHILD: Final = re.compile(r"a child process started at (?P<at>\S+) ")
"""How thaw_runtime's notes on child processes read (`children`)."""
_PLACE: Final = re.compile(r"(?P<path>.+\.py):(?P<line>\d+)")


def findings(comparison: Comparison, notes: Iterable[str] = ()) -> Iterator[Finding]:
    """The comparison's findings as a report takes them: the members of a list are one.

    `notes` are those of the snapshots. They name the child processes, which no tap is in: what has no other source
    may come from one.
    """
    children = tuple(dict.fromkeys(m["at"] for m in map(_CHILD.match, notes) if m))
    for found, others in _together(comparison.findings):
        rule = _RULES[found.verdict]
        yield Finding(
            rule.id,
            rule.level,
            f"{rule.summary}: {_described(found, others, children)}",
            rule.why,
            rule.fix,
            where=_where(found, children),
            what=found.path,
            target=", ".join(each.name for each in found.kept_in),
        )


def _together(found: Iterable[CloneFinding]) -> Iterator[tuple[CloneFinding, int]]:
    """Findings that differ in an index only, as the first of them and how many more there are."""
    groups: dict[object, list[CloneFinding]] = {}
    for each in found:
        makers = tuple((tap.source, tap.at) for tap in each.made_by)
        keepers = tuple(_INDEX.sub("[]", one.name) for one in each.kept_in)
        key = (each.verdict, _INDEX.sub("[]", each.path), makers, keepers)
        groups.setdefault(key, []).append(each)
    for group in groups.values():
        yield min(group, key=lambda each: each.path), len(group) - 1


def _described(found: CloneFinding, others: int, children: tuple[str, ...]) -> str:
    path = f"`{found.path}`" + (f" and {others} like it" if others else "")
    parts = [
        f"{path} in {found.clones} clones ({_shortened(found.values[0])}, {found.bits:.0f} bits)"
    ]
    if found.kept_in:
        parts.append("kept in " + ", ".join(f"`{each.name}`" for each in found.kept_in[:3]))
    if found.made_by:
        parts.append(
            "made by " + ", ".join(f"`{tap.source}` at {tap.at}" for tap in found.made_by[:3])
        )
    if not found.made_by and not found.kept_in and children:
        parts.append(f"perhaps in a child process started at {' or '.join(children[:3])}")
    return "; ".join(parts)


def _shortened(value: str) -> str:
    text = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return f"{text[: len(text) // 2]}\N{HORIZONTAL ELLIPSIS}" if len(text) > 8 else text


def _where(found: CloneFinding, children: tuple[str, ...]) -> Location | None:
    places = [tap.at for tap in found.made_by]
    if not places and not found.kept_in and len(children) == 1:
        places = [*children]
    for place in places:
        match = _PLACE.fullmatch(place)
        if match:
            return Location(match["path"], int(match["line"]))
    return None

"""An observation, taken apart into fields that can be laid beside those of another clone."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from .atoms import Atom, AtomKind, atoms, shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .observation import Answer, Observation

_DEPTH: Final = 40
_ECHO_LENGTH: Final = 6
"""Characters. Shorter parts of an event are found everywhere by accident."""
_WINDOW: Final = 8
"""Bytes of one atom of a binary message."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


@frozen
class Field:
    """One place in a clone's output, and its content."""

    path: str
    """`$.trace`, `log 'took # ms'[0]`, `/tmp`, `outbound[0].body`: the same for the same place in each clone."""
    text: str
    atoms: tuple[Atom, ...]


def fields_of(event: Any, answer: Answer, alike: Alike) -> dict[str, Field]:
    """The fields of one answer, echoes of the event taken out."""
    echoes = sorted({*_strings(event), *answer.given}, key=len, reverse=True)
    found: dict[str, Field] = {}
    for path, text in _leaves(answer.response, "$", alike):
        _put(found, path, text, echoes)
    _lines(found, "log", answer.logs, echoes)
    for number, sent in enumerate(answer.outbound):
        _message(found, f"outbound[{number}]", sent, echoes, alike)
    return found


def files_of(observation: Observation) -> dict[str, Field]:
    """The names under /tmp."""
    found: dict[str, Field] = {}
    _lines(found, "/tmp", sorted(observation.files), [])  # noqa: S108 - a label
    return found


@frozen
class Alike:
    """Common traits of a set of JSON answers: their keys, and the lists that differ only in their order."""

    keys: dict[str, frozenset[str]]
    unordered: frozenset[str]


def alike(responses: Iterable[Any]) -> Alike:
    """Look at all answers at once: a field can only be compared where each has it."""
    responses = list(responses)
    keys: dict[str, list[frozenset[str]]] = {}
    lists: dict[str, list[str]] = {}
    orders: dict[str, set[str]] = {}
    for response in responses:
        for path, value in _walk(response, "$"):
            if isinstance(value, dict):
                keys.setdefault(path, []).append(frozenset(value))
            elif isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
                members = Counter(json.dumps(v) for v in value)
                lists.setdefault(path, []).append(json.dumps(sorted(members.items())))
                orders.setdefault(path, set()).add(json.dumps(value))
    common = {path: frozenset.intersection(*found) for path, found in keys.items()}
    unordered = {
        path
        for path, members in lists.items()
        if len(set(members)) == 1 and len(members) == len(responses) and len(orders[path]) > 1
    }
    return Alike(common, frozenset(unordered))


def _walk(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    yield path, value
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, _member(path, key), depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{number}]", depth + 1)


def _leaves(value: Any, path: str, known: Alike, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _DEPTH:
        yield path, json.dumps(value, sort_keys=True, default=str)
    elif isinstance(value, dict):
        common = known.keys.get(path, frozenset(value))
        own = sorted(set(value) - common)
        if own:
            yield f"{path} (keys)", " ".join(own)
            for number, key in enumerate(own):
                yield from _leaves(value[key], f"{path}.<key {number}>", known, depth + 1)
        for key in value:
            if key in common:
                yield from _leaves(value[key], _member(path, key), known, depth + 1)
    elif isinstance(value, list):
        if path in known.unordered:
            return  # the same members in another order: a set, not chance
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]", known, depth + 1)
    elif isinstance(value, bool) or value is None:
        yield path, json.dumps(value)
    else:
        yield path, value if isinstance(value, str) else repr(value)


def _member(path: str, key: str) -> str:
    return (
        f"{path}.{key}"
        if _IDENTIFIER.fullmatch(key)
        else f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    )


def _lines(found: dict[str, Field], channel: str, lines: Sequence[str], echoes: list[str]) -> None:
    """Lines from threads come in any order: those of one shape are numbered among themselves."""
    seen: Counter[str] = Counter()
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            label = f"{channel} {{{', '.join(sorted(map(str, record))[:4])}}}"
            path = f"{label}[{seen[label]}]"
            seen[label] += 1
            for inner, text in _leaves(record, path, Alike({}, frozenset())):
                _put(found, inner, text, echoes)
            continue
        label = shape(_without(line, echoes))[:80]
        _put(found, f"{channel} {label!r}[{seen[label]}]", line, echoes)
        seen[label] += 1


def _message(
    found: dict[str, Field], path: str, sent: bytes, echoes: list[str], known: Alike
) -> None:
    try:
        text = sent.decode()
        if "\0" in text:
            raise UnicodeError  # noqa: TRY301 - a binary message that happens to decode
    except UnicodeError:
        windows = [sent[start : start + _WINDOW].hex() for start in range(0, len(sent), _WINDOW)]
        found[path] = Field(
            path, sent.hex(), tuple(Atom(window, AtomKind.WORD) for window in windows)
        )
        return
    head, _, body = text.partition("\r\n\r\n")
    _lines(found, path, head.splitlines(), echoes)
    try:
        leaves = list(_leaves(json.loads(body), f"{path}.body", known)) if body else []
    except (ValueError, RecursionError):
        _lines(found, f"{path}.body", body.splitlines(), echoes)
        return
    for inner, leaf in leaves:
        _put(found, inner, leaf, echoes)


def _put(found: dict[str, Field], path: str, text: str, echoes: list[str]) -> None:
    text = _without(text, echoes)
    found[path] = Field(path, text, atoms(text))


def _without(text: str, echoes: list[str]) -> str:
    for echo in echoes:
        if echo in text:
            text = text.replace(echo, "\N{HORIZONTAL ELLIPSIS}")
    return text


def _strings(event: Any) -> set[str]:
    return {
        text
        for _, value in _walk(event, "$")
        if isinstance(value, str | int | float) and len(text := str(value)) >= _ECHO_LENGTH
    }

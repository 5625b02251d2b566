"""The records between the agent and a runtime, as bytes: the agent's half of docs/runtime-protocol.md.

User code can find the descriptor and write anything to it. So everything that is read here is a stranger's word: it is
either a whole record of this protocol, with text that can be sent on and numbers in their ranges, or it is refused.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION: Final = 1
LARGEST: Final = 128 * 1024
"""Bytes of one record, its head included."""

START: Final = 0x01
FREEZE: Final = 0x02  # reserved: a barrier for clients that never ask for restore/next
THAW: Final = 0x03
FROZEN: Final = 0x81
THAWED: Final = 0x82
RECORD: Final = 0x83
BOOK: Final = 0x84
OPENED: Final = 0x85

TRACE: Final = 1
CUT: Final = 1
NO_HOOKS: Final = 2
"""Flag of OPENED: neither FROZEN nor THAWED will come, as the runtime is not called around the snapshot."""
_FIXER: Final = 1
_HOOK: Final = 2
_NOTE: Final = 3
_LANGUAGE: Final = 4
_RESULTS: Final = ("ok", "skipped", "failed", "absent")
_ESSENTIAL: Final = 0x80

_HEAD: Final = struct.Struct(">BBHI")
_ITEM: Final = struct.Struct(">BBIHHH")
_THAW: Final = struct.Struct(">QQ64s")
_ELAPSED: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">H")
_CANARY: Final = struct.Struct(">Q4Q")
_ENTRY: Final = struct.Struct(">BBHQ")

FOUR_WORDS: Final = 1
ONE_WORD: Final = 2
DERIVED: Final = 3
OPENSSL: Final = 4
"""Kinds of a book's entries."""
WORDS: Final = {FOUR_WORDS: 4, ONE_WORD: 1}
"""Random words of an object, by the kind of its entry."""
_MOST_ENTRIES: Final = 64
"""Of a book: each is a search through all of the process's memory."""

_CERTAINLY_SHORT: Final = 8 * 1024
"""Bytes. A byte of a report becomes at most nine of JSON (an empty fixer's members), so such a report needs no look."""
_CUT_NOTE: Final = "further notes did not fit"


class Malformed(Exception):
    """These bytes are no record of this protocol; who sent them is not heard."""


def split(data: bytes) -> tuple[int, int, bytes]:
    """Kind, flags and body of one record. Raises `Malformed`."""
    if len(data) < _HEAD.size:
        raise Malformed("shorter than a head")
    version, kind, flags, length = _HEAD.unpack_from(data)
    if version != VERSION or length != len(data) - _HEAD.size:
        raise Malformed("another version, or another length than its head says")
    return kind, flags, data[_HEAD.size :]


def start(leave_out: Iterable[str], *, trace: bool) -> bytes:
    """START: fixers by name that the function goes without, and whether to trace. Raises `ValueError` if too long."""
    body = b""
    for name in leave_out:
        text = name.encode()
        if len(text) > 0xFFFF:
            raise ValueError("the name of a fixer is too long")
        body += _LENGTH.pack(len(text)) + text
    if len(body) > LARGEST - _HEAD.size:
        raise ValueError("the names of fixers to leave out do not fit into one record")
    return _HEAD.pack(VERSION, START, TRACE if trace else 0, len(body)) + body


def thaw(generation: int, clock_ns: int, entropy: bytes) -> bytes:
    """THAW: the clone's number, its clock in nanoseconds since the epoch, and 64 secret bytes of its own."""
    if len(entropy) != 64:
        raise ValueError(f"{len(entropy)} bytes of entropy, not 64")
    body = _THAW.pack(generation, clock_ns, entropy)
    return _HEAD.pack(VERSION, THAW, 0, len(body)) + body


def report(flags: int, body: bytes) -> dict[str, Any]:
    """What FROZEN or THAWED says, in the form in which it goes to the host. Raises `Malformed`."""
    fixers: list[dict[str, Any]] = []
    hooks: list[dict[str, Any]] = []
    notes: list[str] = []
    found: dict[str, Any] = {"fixers": fixers, "notes": notes, "hooks": hooks}
    try:
        (found["us"],) = _ELAPSED.unpack_from(body)
        position = _ELAPSED.size
        while position < len(body):
            kind, result, elapsed_us, *lengths = _ITEM.unpack_from(body, position)
            position += _ITEM.size
            texts = []
            for length in lengths:
                end = position + length
                if end > len(body):
                    raise Malformed("a text is longer than its record")
                texts.append(body[position:end].decode(errors="replace"))
                position = end
            name, version, detail = texts
            if kind == _FIXER:
                fixers.append(
                    {
                        "name": name,
                        "version": version,
                        "result": _RESULTS[result & ~_ESSENTIAL],
                        "essential": bool(result & _ESSENTIAL),
                        "us": elapsed_us,
                        "detail": detail,
                    }
                )
            elif kind == _HOOK:
                hooks.append({"name": name, "us": elapsed_us, "ok": _RESULTS[result] == "ok"})
            elif kind == _NOTE:
                notes.append(detail)
            elif kind == _LANGUAGE:
                found |= {"runtime": name, "version": version}
    except (struct.error, IndexError) as error:
        raise Malformed(f"a report: {error}") from error
    if flags & CUT:
        notes.append(_CUT_NOTE)
    if len(body) > _CERTAINLY_SHORT:
        _shorten(found)
    return found


class Entry(NamedTuple):
    """Generators of one type, or all of OpenSSL's. `name` is the fixer's."""

    kind: int
    table: int
    name: str


class Book(NamedTuple):
    """What a runtime says of generators that the agent renews."""

    canary_table: int
    canary: bytes
    entries: list[Entry]

    @property
    def names(self) -> list[str]:
        """The fixers' names, each once."""
        return list(dict.fromkeys(one.name for one in self.entries if one.kind != DERIVED))


def book(body: bytes) -> Book:
    """What BOOK says. Entries of unknown kinds are left out. Raises `Malformed`."""
    entries: list[Entry] = []
    try:
        table, *words = _CANARY.unpack_from(body)
        position = _CANARY.size
        while position < len(body):
            kind, _flags, length, value = _ENTRY.unpack_from(body, position)
            position += _ENTRY.size + length
            if position > len(body):
                raise Malformed("a name is longer than its record")
            if kind in {FOUR_WORDS, ONE_WORD, DERIVED, OPENSSL}:
                if kind != OPENSSL and (value % 8 or not value):
                    raise Malformed("an address of a type that none can be")
                name = body[position - length : position].decode(errors="replace")
                entries.append(Entry(kind, value, name))
    except struct.error as error:
        raise Malformed(f"a book: {error}") from error
    if len(entries) > _MOST_ENTRIES:
        raise Malformed("a book of too many entries")
    return Book(table, struct.pack("<4Q", *words), entries)


def _shorten(report: dict[str, Any]) -> None:
    """Cut notes, then hooks until the report fits a message to the host, where it takes more room than here."""
    notes, hooks = report["notes"], report["hooks"]
    while len(json.dumps(report)) > LARGEST:
        if notes not in ([], [_CUT_NOTE]):
            notes[:] = [*notes[: (len(notes) - 1) // 2], _CUT_NOTE]
        elif hooks:
            hooks[:] = hooks[: len(hooks) // 2]
            notes[:] = [_CUT_NOTE]
        else:
            raise Malformed("a report too large for the host")


def record(body: bytes) -> dict[str, Any]:
    """The JSON object of a RECORD. Raises `Malformed`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"a record: {error}") from error
    if not isinstance(value, dict):
        raise Malformed("a record that is no JSON object")
    return value


def steps_of(report: dict[str, Any]) -> dict[str, int]:
    """What took time in the runtime, in microseconds: the language's own part, and the user's hooks together."""
    return {"thaw_runtime": report["us"], "hooks": sum(hook["us"] for hook in report["hooks"])}

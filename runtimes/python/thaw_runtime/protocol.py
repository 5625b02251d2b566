"""The records between the agent and a runtime, as bytes: the runtime's half of docs/runtime-protocol.md.

`runtimes/protocol/vectors.json` has examples that both halves, and those of every other language, are tested with.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION: Final = 1
LARGEST: Final = 128 * 1024
"""Bytes of one record, its head included. Well under Linux's default socket buffer (212,992), which bounds a datagram."""

START: Final = 0x01
THAW: Final = 0x03
FROZEN: Final = 0x81
THAWED: Final = 0x82
RECORD: Final = 0x83

TRACE: Final = 1
"""Flag of START: record what the function asks for, keeps and sends."""
CUT: Final = 1
"""Flag of FROZEN and THAWED: not everything fitted."""

FIXER: Final = 1
HOOK: Final = 2
NOTE: Final = 3
LANGUAGE: Final = 4
"""Kinds of the items in a report."""

RESULTS: Final = ("ok", "skipped", "failed", "absent")
ESSENTIAL: Final = 0x80

_HEAD: Final = struct.Struct(">BBHI")
_ITEM: Final = struct.Struct(">BBIHHH")
_THAW: Final = struct.Struct(">QQ64s")
_ELAPSED: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">H")
_LONGEST_TEXT: Final = 0xFFFF
_LONGEST_US: Final = 0xFFFFFFFF


class Malformed(Exception):
    """These bytes are not a record of this protocol."""


def split(data: bytes) -> tuple[int, int, bytes]:
    """Kind, flags and body of a datagram. Raises `Malformed`."""
    if len(data) < 8:
        raise Malformed(f"a record has a head of 8 bytes, this has {len(data)}")
    version, kind, flags, length = _HEAD.unpack_from(data)
    if version != VERSION:
        raise Malformed(f"a record of version {version}, not {VERSION}")
    if length != len(data) - 8:
        raise Malformed(f"a body of {len(data) - 8} bytes, its head says {length}")
    return kind, flags, data[8:]


def names(body: bytes) -> list[str]:
    """Names in the body of START: the fixers to leave out. Raises `Malformed`."""
    found: list[str] = []
    position = 0
    while position < len(body):
        start = position + 2
        if start > len(body):
            raise Malformed("half a length in START")
        position = start + _LENGTH.unpack_from(body, start - 2)[0]
        if position > len(body):
            raise Malformed("a name in START is longer than its record")
        found.append(body[start:position].decode(errors="replace"))
    return found


def entropy(body: bytes) -> bytes:
    """The 64 secret bytes in the body of THAW. Raises `Malformed`."""
    if len(body) < _THAW.size:
        raise Malformed(f"THAW has {len(body)} bytes, {_THAW.size} are needed")
    secret: bytes = _THAW.unpack_from(body)[2]
    return secret


def record(body: bytes) -> bytes:
    """A RECORD; `body` is a JSON object. Raises `ValueError` when it is too long for one."""
    if len(body) > LARGEST - _HEAD.size:
        raise ValueError(f"a record of {len(body)} bytes exceeds {LARGEST - _HEAD.size}")
    return _HEAD.pack(VERSION, RECORD, 0, len(body)) + body


def report(
    kind: int,
    elapsed_us: int,
    *,
    version: str,
    fixers: Iterable[dict[str, Any]] = (),
    hooks: Iterable[dict[str, Any]] = (),
    notes: Sequence[str] = (),
) -> bytes:
    """FROZEN or THAWED. From the first item on that does not fit all are left out, and the report is marked as cut."""
    room = LARGEST - _HEAD.size - _ELAPSED.size
    parts = [_ELAPSED.pack(elapsed_us)]
    flags = 0
    for item in _items(version, fixers, hooks, notes):
        room -= len(item)
        if room < 0:
            flags = CUT
            break
        parts.append(item)
    body = b"".join(parts)
    return _HEAD.pack(VERSION, kind, flags, len(body)) + body


def _items(
    version: str,
    fixers: Iterable[dict[str, Any]],
    hooks: Iterable[dict[str, Any]],
    notes: Sequence[str],
) -> Iterable[bytes]:
    yield _item(LANGUAGE, 0, 0, "thaw_runtime", version)
    for fixer in fixers:
        result = RESULTS.index(fixer["result"]) | (ESSENTIAL if fixer["essential"] else 0)
        yield _item(FIXER, result, fixer["us"], fixer["name"], fixer["version"], fixer["detail"])
    for hook in hooks:
        yield _item(HOOK, 0 if hook["ok"] else 2, hook["us"], hook["name"])
    for note in notes:
        yield _item(NOTE, 0, 0, "", "", note)


def _item(kind: int, result: int, elapsed_us: int, *texts: str) -> bytes:
    # A name may come from user code: half a surrogate pair has no UTF-8.
    data = [text.encode(errors="replace")[:_LONGEST_TEXT] for text in texts]
    lengths = [len(text) for text in data] + [0] * (3 - len(data))
    return b"".join((_ITEM.pack(kind, result, min(elapsed_us, _LONGEST_US), *lengths), *data))

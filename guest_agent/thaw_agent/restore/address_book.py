"""The address book: random generators in the frozen function's memory, found by type, each given fresh state in a clone.

A runtime with a moving collector cannot say where its generators are, and has no way to the ones that other threads
keep. But an object begins with the address of its type, and while the function is frozen nothing moves. So the
runtime names the types (docs/runtime-protocol.md, BOOK), this module finds every object of them before the snapshot,
and writes new state into each one in every clone, before anything of the function runs.

What is written to must be certain, for another object's memory would be destroyed. A type's address also stands in
tables of the runtime and in fields; what tells an object is what lies around the address (`_judge`). The proof that
this holds for the runtime at hand is the canary, an object of which the runtime told the state: without it no snapshot
is taken.

OpenSSL's generators are found by structure, as `thaw_runtime.drbg` finds them, and made to reseed themselves.
"""

from __future__ import annotations

import os
import struct
import time
from _blake2 import blake2b
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from thaw_agent import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw_agent.memory import Mapping, Memory

_WORD: Final = struct.Struct("<Q")
_MARK: Final = 1
"""The bit of the type's address that a collection sets in the objects that it has reached."""
_TRIES: Final = 20
_PAUSE_S: Final = 0.005

_PROOF: Final = ""
"""The name of the entry that is the canary's alone."""
_CERTAIN: Final = "certain"
_DOUBTFUL: Final = "doubtful"

# OpenSSL 3's and 4's generators (providers/implementations/rands/drbg_local.h): two counters, the time of the last
# reseeding and the interval, behind pointers into the library's code.
_INTERVALS_S: Final = (3600, 420)
_RESEED_INTERVALS: Final = (256, 65536)
_LONGEST_AGO_S: Final = 400 * 86_400
_BEFORE: Final = 0x188
"""Bytes before `reseed_time`: the counters, and the pointers to functions (0x28 to 0x130 in 3.0 to 4.0)."""
_ENOUGH_POINTERS: Final = 3
_LONG_AGO: Final = _WORD.pack(1)


class NoCanary(ValueError):
    """The search does not find what is there: on this runtime it cannot be trusted."""


class Place(NamedTuple):
    """Where a clone gets fresh state."""

    name: str  # of the fixer
    address: int
    size: int  # bytes of fresh state; 0 for one of OpenSSL's, which is told to reseed


class Found(NamedTuple):
    """What one search found."""

    places: list[Place]
    doubtful: dict[str, int]
    derived: int
    marked: bool
    canary: bool


class AddressBook:
    """The generators of one process. `find` before the snapshot, `renew` in each clone, then `close`."""

    def __init__(self, book: control.Book, memory: Memory) -> None:
        self._book = book
        self._memory = memory
        self._found = Found([], {}, 0, marked=False, canary=False)
        self._notes: list[str] = []
        self._us = 0

    def find(self, *, between: Callable[[], None]) -> None:
        """Search the stopped process. Raises `NoCanary`, `OSError`.

        A process that was stopped in the middle of a collection is let go for a moment (`between` lets it run, waits,
        and stops it again): a collection that moves objects keeps some of their bytes elsewhere meanwhile.
        """
        began = time.perf_counter_ns()
        for _ in range(_TRIES):
            self._found = search(self._book, self._memory)
            if self._found.canary and not self._found.marked:
                break
            between()
        else:
            # The last look was before the last pause.
            self._found = search(self._book, self._memory)
        self._us = (time.perf_counter_ns() - began) // 1000
        self._notes = _notes(self._found)
        if not self._found.canary:
            names = ",".join(self._book.names)
            raise NoCanary(
                "the generator that the runtime named as a proof was not found in its memory, so the others would be missed as well, "
                f"and clones would not be unique. To publish without renewing them, set the function's variable THAW_SKIP_FIXERS={names}"
            )

    def renew(self, secret: bytes) -> None:
        """Fresh state for each generator, made of the host's `secret` and the kernel's bytes. Raises `OSError`."""
        began = time.perf_counter_ns()
        self._notes = []
        fresh = _fresh(secret)
        write = self._memory.write
        for _, address, size in self._found.places:
            write(address, next(fresh)[:size] if size else _LONG_AGO)
        self._us = (time.perf_counter_ns() - began) // 1000

    def close(self) -> None:
        """Give the process's memory back."""
        self._memory.close()

    def add_to(self, report: dict[str, Any]) -> dict[str, Any]:
        """A runtime's report with what was found or renewed; of fixers that both name, the details of both."""
        counts = dict.fromkeys(self._book.names, 0)
        for place in self._found.places:
            counts[place.name] += 1
        fixers = {fixer["name"]: fixer for fixer in report.get("fixers", ())}
        us = self._us
        for name, count in counts.items():
            detail = f"{count} in memory" if count else ""
            if name not in fixers:
                fixers[name] = {
                    "name": name,
                    "version": "",
                    "result": "ok" if count else "absent",
                    "essential": True,
                    "us": us,
                    "detail": detail,
                }
            elif count:
                told = fixers[name]
                fixers[name] = {
                    **told,
                    "us": told["us"] + us,
                    "detail": f"{told['detail']}, {detail}" if told["detail"] else detail,
                }
            us = 0  # of one search for all
        return {
            **report,
            "fixers": [*fixers.values()],
            "notes": [*report.get("notes", ()), *self._notes],
        }


def _notes(found: Found) -> list[str]:
    """What is left as it is, for a person."""
    notes = [
        f"{count} objects look like generators of {name}, but not surely: they are left as they are, and may repeat in clones"
        for name, count in found.doubtful.items()
    ]
    if found.derived:
        notes.append(
            f"{found.derived} objects of classes that derive from Random: nothing tells a seed that was given from one that was "
            "drawn, so all clones continue them alike. Make them in an after-restore hook"
        )
    return notes


def search(book: control.Book, memory: Memory) -> Found:
    """One look through the memory of a process that stands still."""
    places: list[Place] = []
    doubtful: dict[str, int] = {}
    derived = 0
    marked = canary = False
    entries = [one for one in book.entries if one.kind != control.OPENSSL]
    if book.canary_table and all(one.table != book.canary_table for one in entries):
        # Its own fixer is left out: found as a proof, and not written.
        entries.append(control.Entry(control.FOUR_WORDS, book.canary_table, _PROOF))
    openssl = next((one for one in book.entries if one.kind == control.OPENSSL), None)
    owner = _code_of(memory.mappings()) if openssl is not None else None
    now_s = int(time.time())
    for base, data in memory.chunks():
        for entry in entries:
            for at in _aligned(data, entry.table):
                address = base + at
                if entry.kind == control.DERIVED:
                    derived += _owned(memory, address)
                    continue
                judged, state = _judge(memory, address, entry.kind)
                if judged == _CERTAIN:
                    if entry.name != _PROOF:
                        places.append(Place(entry.name, address + 8, len(state)))
                    marked = marked or bool(data[at] & _MARK)
                    canary = canary or (entry.table == book.canary_table and state == book.canary)
                elif judged == _DOUBTFUL and entry.name != _PROOF:
                    doubtful[entry.name] = doubtful.get(entry.name, 0) + 1
        if openssl is not None and owner is not None:
            drbgs = _drbgs(memory, base, data, owner, now_s=now_s)
            places += (Place(openssl.name, address, 0) for address in drbgs)
    return Found(places, doubtful, derived, marked, canary or not book.canary_table)


def _aligned(data: bytes, table: int) -> Iterator[int]:
    """Offsets of this word at multiples of 8, with the mark or without.

    By its four middle bytes, which are the same with the mark and have no zeros at their end: `find` is many times
    slower for a needle that ends like the zeros of empty memory.
    """
    whole = _WORD.pack(table)
    low, rest = whole[0], whole[1:]
    needle = rest[:4]
    at = data.find(needle)
    while at >= 0:
        if at % 8 == 1 and data[at - 1] & ~_MARK == low and data[at : at + 7] == rest:
            yield at - 1
        at = data.find(needle, at + 1)


def _judge(memory: Memory, address: int, kind: int) -> tuple[str, bytes]:
    """Whether an object of random words begins here, and its state.

    Before it is its header: nothing, unless somebody locked the object or asked for its hash. Then comes the state. A
    random word hardly ever looks like a pointer or a small number, and has no empty half: the rest of the memory that
    holds a type's address is followed by those (a table, a reference's object, the header of the next one).
    """
    count = control.WORDS[kind]
    data = memory.read(address - 8, 8 * (count + 3))
    state = data[16 : 16 + 8 * count]
    if len(state) < 8 * count:
        return "", b""
    words = struct.unpack(f"<{count}Q", state)
    drawn = sum(word >> 48 not in {0, 0xFFFF} for word in words)
    if drawn < max(1, count - 1):
        return "", b""
    whole = all(word & 0xFFFFFFFF for word in words)
    unlocked = data[4:8] == b"\0\0\0\0"
    # One word alone has less to tell by: behind it is the next object's header, which begins with four empty bytes.
    alone = count > 1 or not any(data[24:28])
    if whole and unlocked and alone:
        return _CERTAIN, state
    return (_DOUBTFUL if count > 1 else ""), state


def _owned(memory: Memory, address: int) -> bool:
    """Whether this is the state of a derived generator: one of its fields is the object whose first field is this."""
    fields = memory.read(address + 8, 24)
    for at in range(0, len(fields) - 7, 8):
        (owner,) = _WORD.unpack_from(fields, at)
        if owner and owner % 8 == 0 and memory.read(owner + 8, 8) == _WORD.pack(address):
            return True
    return False


def _drbgs(
    memory: Memory, base: int, data: bytes, owned: Callable[[int], bool], *, now_s: int
) -> Iterator[int]:
    """Addresses of `reseed_time` of OpenSSL's generators."""
    for interval_s in _INTERVALS_S:
        needle = interval_s.to_bytes(2, "little")
        at = data.find(needle)
        while at >= 0:
            if at % 8 == 0 and data[at + 2 : at + 8] == b"\0" * 6:
                address = base + at - 8
                if _is_drbg(memory.read(address - _BEFORE, _BEFORE + 8), owned, now_s=now_s):
                    yield address
            at = data.find(needle, at + 1)


def _is_drbg(before: bytes, owned: Callable[[int], bool], *, now_s: int) -> bool:
    """Whether these bytes end with a generator's counters and time, and begin among its pointers to code."""
    if len(before) < _BEFORE + 8:
        return False
    _counter, interval, reseeded_s = struct.unpack_from("<IIq", before, _BEFORE - 8)
    if interval not in _RESEED_INTERVALS:
        return False
    if not (0 <= reseeded_s <= 1 or now_s - _LONGEST_AGO_S < reseeded_s <= now_s + 86_400):
        return False
    words = struct.unpack_from(f"<{_BEFORE // 8 - 1}Q", before)
    return sum(map(owned, words)) >= _ENOUGH_POINTERS


def _code_of(mappings: list[Mapping]) -> Callable[[int], bool] | None:
    """Whether an address is code of libcrypto; None where there is no libcrypto."""
    code = [
        one
        for one in mappings
        if "x" in one.permissions and os.path.basename(one.path).startswith("libcrypto.so")
    ]
    if not code:
        return None
    starts = [one.start for one in code]

    def owned(address: int) -> bool:
        index = bisect_right(starts, address) - 1
        return index >= 0 and address < code[index].stop

    return owned


def _fresh(secret: bytes) -> Iterator[bytes]:
    """64 bytes at a time: keyed BLAKE2b over a counter and bytes of the kernel, so that either alone makes them unique."""
    text = os.urandom(32)
    for count in range(1 << 62):
        yield blake2b(
            count.to_bytes(8, "big") + text, key=secret, person=b"thaw_generators"
        ).digest()


def pause(thaw: Callable[[], None], freeze: Callable[[], None]) -> None:
    """Let a stopped process run for a moment: a collection takes some milliseconds."""
    thaw()
    time.sleep(_PAUSE_S)
    freeze()

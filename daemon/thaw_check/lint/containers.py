"""What lists, dictionaries and the built-ins around them hold and give back: the same objects, by other ways.

A hook that renews each client in `CLIENTS.values()` renews what `CLIENTS` holds; so elements are followed one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .state import Mode
from .values import (
    UNKNOWN,
    Const,
    Thing,
    Value,
    const,
    inside,
    iterated,
    join,
    keys,
    listed,
    slot_of,
)

if TYPE_CHECKING:
    from .state import Arguments, State

_LISTS: Final = frozenset(
    {"list", "tuple", "set", "frozenset", "sorted", "reversed", "iter", "aiter", "collections.deque",
     "itertools.chain.from_iterable", "itertools.cycle", "asyncio.as_completed", "concurrent.futures.as_completed",
     "tqdm.tqdm", "more_itertools.always_iterable"}
)  # fmt: skip
"""Give what the first argument holds."""
_DICTIONARIES: Final = frozenset(
    {"dict", "collections.OrderedDict", "collections.ChainMap", "collections.UserDict", "types.MappingProxyType",
     "weakref.WeakValueDictionary", "copy.copy"}
)  # fmt: skip
_EMPTY: Final = frozenset({"collections.defaultdict", "weakref.WeakKeyDictionary"})
_HOLDERS: Final = frozenset(
    {"list", "dict", "deque", "OrderedDict", "defaultdict", "WeakValueDictionary", "WeakSet", "TTLCache", "LRUCache",
     "LFUCache", "TLRUCache", "FIFOCache", "Cache"}
)  # fmt: skip


def made(name: str, arguments: Arguments) -> Value | None:
    """What a built-in makes of containers; None if `name` is another function."""
    first = arguments.first()
    if name in _LISTS and first is not None:
        return listed(iterated(first), first.origins)
    if name in _DICTIONARIES:
        attrs = dict(first.ref.attrs) if first is not None and isinstance(first.ref, Thing) else {}
        attrs |= {slot_of(key): value for key, value in arguments.keywords.items()}
        kind = "dict" if name != "copy.copy" else _type(first)
        cls = (
            first.ref.cls
            if name == "copy.copy" and first and isinstance(first.ref, Thing)
            else None
        )
        return Value(first.origins if first else frozenset(), Thing(kind, cls, attrs))
    if name in _EMPTY:
        return Value(ref=Thing("dict"))
    if name == "enumerate" and first is not None:
        return listed(
            [
                listed([Value(ref=Const(number)), each])
                for number, each in enumerate(iterated(first))
            ],
            first.origins,
        )
    if name == "zip":
        columns = [iterated(each) or [UNKNOWN] for each in arguments.positional]
        length = max(map(len, columns), default=0)
        # Of what is not known one by one (a string, a comprehension) the last stands for all.
        rows = [[column[min(row, len(column) - 1)] for column in columns] for row in range(length)]
        return listed([listed(row) for row in rows])
    if name in {"filter", "itertools.filterfalse", "itertools.islice"} and first is not None:
        source = arguments.positional[-1] if "filter" in name else first
        return listed(iterated(source), source.origins)
    if name in {"itertools.chain", "asyncio.gather"}:
        spread = name != "asyncio.gather"
        found = [e for each in arguments.positional for e in (iterated(each) if spread else [each])]
        return listed([*found, *([arguments.rest] if arguments.rest != UNKNOWN else [])])
    if name in {"next", "anext"} and first is not None:
        return join(iterated(first)).plus(first.origins)
    return None


def _type(value: Value | None) -> str:
    return value.ref.type if value is not None and isinstance(value.ref, Thing) else "dict"


def is_container(thing: Thing) -> bool:
    """Whether this is a container of Python's or a cache: its methods are known."""
    return thing.cls is None and thing.type.rpartition(".")[2].removesuffix("()") in _HOLDERS


def method(state: State, holder: Thing, name: str, arguments: Arguments) -> Value | None:
    """What a container's method gives; None if it is another method."""
    if not is_container(holder):
        return None
    first = arguments.first()
    key = const(first) if first is not None else ...
    match name:
        case "values":
            return listed(inside(holder))
        case "keys":
            return listed(keys(holder))
        case "items":
            pairs = zip(keys(holder), inside(holder), strict=True)
            return listed([listed(pair) for pair in pairs])
        case "copy":
            return Value(ref=Thing(holder.type, None, dict(holder.attrs)))
        case "get" | "pop" | "setdefault" | "popleft" | "popitem" | "__getitem__":
            if name == "setdefault" and len(arguments.positional) > 1:
                slot = slot_of(key, holder.attrs)
                if state.mode is Mode.INIT:
                    holder.attrs.setdefault(slot, arguments.positional[1])
            found = holder.attrs.get(slot_of(key))
            value = found if found is not None and first is not None else join(inside(holder))
            if name.startswith("pop"):
                _forget(state, holder, slot_of(key) if first is not None else "")
            return join([value, *arguments.positional[1:2]])
        case "clear":
            for slot in [slot for slot in holder.attrs if slot.startswith("[")]:
                _forget(state, holder, slot)
            if state.mode is Mode.RESTORE:
                holder.handled = True
            return UNKNOWN
        case "extend" | "appendleft" | "append" | "add" | "insert" | "update" if (
            arguments.positional
        ):
            _take(state, holder, name, arguments)
            return UNKNOWN
    return None


def _forget(state: State, holder: Thing, slot: str) -> None:
    if state.mode is Mode.RESTORE and slot:
        holder.renewed.add(slot)
    elif state.mode is Mode.INIT and not state.conditional:
        holder.attrs.pop(slot, None)


def _take(state: State, holder: Thing, name: str, arguments: Arguments) -> None:
    if state.mode is Mode.RESTORE:
        holder.handled = True
        if name == "update":
            holder.renewed.update(holder.attrs)
    if state.mode is not Mode.INIT:
        return
    given = arguments.positional[-1]
    if name in {"extend", "update"} and isinstance(given.ref, Thing):
        if given.ref.type == "dict":
            holder.attrs |= {
                slot: value for slot, value in given.ref.attrs.items() if slot.startswith("[")
            }
        else:
            for each in iterated(given):
                put(holder, each)
    else:
        put(holder, given)
    for key, value in arguments.keywords.items():
        holder.attrs[slot_of(key)] = value


def put(holder: Thing, value: Value) -> None:
    """Add an element. Objects stand each by itself, so that what renews one of them is seen."""
    known = [name for name, old in holder.attrs.items() if name.startswith("[") and old == value]
    if not known:
        slot = slot_of(..., holder.attrs)
        holder.attrs[slot] = join([holder.attrs[slot], value]) if slot in holder.attrs else value

"""Looks at the function's objects without running any code of theirs.

`isinstance` asks an object for `__class__`, `==` and `in` ask for `__eq__`, an attribute may be a property, and any of
them may raise, block or never end. Here an object is known by its exact type, and read through the C functions of the
built-in types: `list.__getitem__(value, ...)` and not `value[...]`. What a subclass overrides is therefore not asked,
and what is copied has a limit.
"""

from __future__ import annotations

import os
import sys
from itertools import islice
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Final

_type_name: Final = type.__dict__["__name__"].__get__
_type_module: Final = type.__dict__["__module__"].__get__
_type_dict: Final = type.__dict__["__dict__"].__get__
_type_flags: Final = type.__dict__["__flags__"].__get__
_type_mro: Final = type.__dict__["__mro__"].__get__
_module_dict: Final = vars(ModuleType)["__dict__"].__get__
_builtin_name: Final = BuiltinFunctionType.__dict__["__name__"].__get__
_IMMUTABLE: Final = 1 << 8
"""Py_TPFLAGS_IMMUTABLETYPE: a type that C defines. No class statement can set it."""
_TRIES: Final = 3
_LONGEST_NAME: Final = 200
_ENTRIES: Final = 100_000
"""Of one dict: more is data and not a namespace."""


def is_a(value: Any, *kinds: type) -> bool:
    """`isinstance` for classes whose own class is `type`: then `issubclass` compares C structures and nothing else."""
    return issubclass(type(value), kinds)


def mro(kind: type) -> tuple[type, ...]:
    """A class and its bases, past a metaclass that tells otherwise."""
    return _type_mro(kind) or ()  # none yet while the class is being made


def type_name(kind: type) -> str:
    """`__name__`, past the metaclass."""
    return shown(text(_type_name(kind)) or "?")


def type_module(kind: type) -> str:
    """`__module__`, past the metaclass; empty where the class says something else than a text."""
    try:
        return text(_type_module(kind)) or ""
    except AttributeError:  # deleted
        return ""


def is_named(kind: type, module: str, name: str) -> bool:
    """Does a class go by this name? Asked for every object, so the cheapest answer comes first."""
    known = _type_name(kind)
    return type(known) is str and known == name and type_module(kind) == module


def is_builtin(kind: type) -> bool:
    """Is it defined in C, and for good?"""
    return bool(_type_flags(kind) & _IMMUTABLE)


def text(value: Any) -> str | None:
    """A str as an exact one; None for everything else."""
    return str.__str__(value) if is_a(value, str) else None


def shown(name: str) -> str:
    """A name as a report may hold it: not endless, and text in any encoding."""
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + "..."
    return name.encode("utf-8", "backslashreplace").decode()


def scalar(value: Any, longest: int) -> str | bytes | int | float | None:
    """The exact str, bytes, int or float in a value of such a class, a bytearray or a subclass of these.

    Cut after `longest` characters or bytes, which a caller finds out by asking for one more than it can use. None for
    other objects, for bool, and for an integer of more bytes than that.
    """
    kind = type(value)
    if issubclass(kind, str):
        return str.__getitem__(value, slice(longest)) if kind is str else _cut(value, longest)
    if issubclass(kind, bytes):
        return bytes.__getitem__(value, slice(longest))
    if issubclass(kind, bytearray):
        return bytes(bytearray.__getitem__(value, slice(longest)))
    if kind is bool:
        return None
    if issubclass(kind, int):
        return int.__index__(value) if int.bit_length(value) <= 8 * longest else None
    if issubclass(kind, float):
        return float.__float__(value)
    return None


def _cut(value: Any, longest: int) -> str:
    return str.__str__(str.__getitem__(value, slice(longest)))


def members(value: Any, most: int) -> list[Any] | None:
    """The first members of a list, tuple, set or frozenset; None for everything else."""
    kind = type(value)
    if issubclass(kind, list):
        return list.__getitem__(value, slice(most))
    if issubclass(kind, tuple):
        return list(islice(tuple.__iter__(value), most))
    for base in (set, frozenset):
        if issubclass(kind, base):
            for _ in range(_TRIES):
                try:
                    return list(islice(base.__iter__(value), most))
                except RuntimeError:  # another thread has changed it meanwhile
                    continue
            return []
    return None


def entries(mapping: Any, most: int) -> list[tuple[Any, Any]]:
    """The first entries of a dict; none for everything else, and for one that other threads never let alone."""
    if is_a(mapping, dict):
        for _ in range(_TRIES):
            try:
                return list(islice(dict.items(mapping), most))
            except RuntimeError:
                continue
    return []


def lookup(namespace: Any, name: str, default: Any = None) -> Any:
    """The value that a dict holds under a name. Compares exact strings only: a key may be of a class with an `__eq__`."""
    if is_a(namespace, dict):
        for _ in range(_TRIES):
            try:
                return _first(dict.items(namespace), name, default)
            except RuntimeError:
                continue
    return default


def _first(pairs: Any, name: str, default: Any) -> Any:
    for key, value in islice(pairs, _ENTRIES):
        if type(key) is str and key == name:
            return value
    return default


def module_dict(module: Any) -> dict[str, Any]:
    """A module's namespace, past a module `__getattr__` and past subclasses; empty for what only poses as a module."""
    namespace = _module_dict(module) if is_a(module, ModuleType) else None
    return namespace if type(namespace) is dict else {}


def class_entries(kind: type, most: int) -> list[tuple[Any, Any]]:
    """The first entries of a class's own namespace."""
    for _ in range(_TRIES):
        try:
            return list(islice(_type_dict(kind).items(), most))
        except RuntimeError:
            continue
    return []


def class_lookup(kind: type, name: str) -> Any:
    """The value in a class's own namespace under a name, as it is: no descriptor is called."""
    for _ in range(_TRIES):
        try:
            return _first(_type_dict(kind).items(), name, None)
        except RuntimeError:
            continue
    return None


class _Plain:
    """Gives away how the descriptor looks that every class statement makes for its instances' `__dict__`."""


_INSTANCE_DICT_DOC: Final = _Plain.__dict__["__dict__"].__doc__
_WITH_DICT: Final = (BaseException, SimpleNamespace)
"""Built-in classes whose instances have one: their subclasses get no descriptor of their own."""


def attributes(value: Any, most: int, slots: dict[int, Any] | None = None) -> list[tuple[Any, Any]]:
    """The first attributes of an instance's own; none where the class keeps them in another way than usual.

    `slots` remembers, for the length of one walk, where classes keep them.
    """
    slots = {} if slots is None else slots
    kind = type(value)
    if id(kind) not in slots:
        slots[id(kind)] = _dict_slot(kind)
    slot = slots[id(kind)]
    if slot is None:
        return []
    try:
        return entries(slot.__get__(value), most)
    except (AttributeError, TypeError):  # another class's descriptor
        return []


def _dict_slot(kind: type) -> Any:
    for base in mro(kind):
        slot = class_lookup(base, "__dict__")
        if slot is not None:
            usual = type(slot) is GetSetDescriptorType and (
                slot.__doc__ == _INSTANCE_DICT_DOC or any(base is known for known in _WITH_DICT)
            )
            return slot if usual else None
    return None


def uuid(value: Any) -> int | None:
    """The number in a `uuid.UUID` or one of its subclasses."""
    for kind in mro(type(value)):
        if is_named(kind, "uuid", "UUID"):
            slot = class_lookup(kind, "int")
            if type(slot) is not MemberDescriptorType:
                return None
            try:
                number = slot.__get__(value)
            except (AttributeError, TypeError):  # not set, or another class's slot
                return None
            return number if type(number) is int else None
    return None


def native_text(value: Any) -> str | None:
    """`str(value)` where C says how: the exact type has a `__str__` of its own that no Python code defines."""
    wrapper = class_lookup(type(value), "__str__")
    if type(wrapper) is not WrapperDescriptorType:
        return None
    said = wrapper(value)
    return said if type(said) is str else None


def moment(value: Any) -> tuple[Any, Any] | None:
    """An exact naive `datetime` with a datetime's own fields, and its time zone; None for everything else.

    A time zone that C defines (`timezone.utc`, a fixed offset) stays in the datetime, and None is given in its place:
    asking any other for its offset would run its code.
    """
    for kind in mro(type(value)):
        if is_builtin(kind) and is_named(kind, "datetime", "datetime"):
            fields: Any = kind
            exact = fields(
                *(getattr(fields, name).__get__(value) for name in _FIELDS),
                fold=fields.fold.__get__(value),
            )
            zone = fields.tzinfo.__get__(value)
            if is_builtin(type(zone)) and type_module(type(zone)) == "datetime":
                return exact.replace(tzinfo=zone), None
            return exact, zone
    return None


_FIELDS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def origin(thing: Any) -> tuple[str, str]:
    """Module and name of a function, method or other callable; of its class where it has none of its own."""
    for _ in range(_TRIES):
        if type(thing) is not MethodType:
            break
        thing = thing.__func__
    module: Any
    name: Any
    if type(thing) is FunctionType:
        module, name = thing.__module__, thing.__qualname__
    elif type(thing) is BuiltinFunctionType:
        module, name = thing.__module__, _builtin_name(thing)
    else:
        kind = thing if is_a(thing, type) else type(thing)
        return shown(type_module(kind)), type_name(kind)
    return shown(text(module) or ""), shown(text(name) or "?")


def described(error: BaseException) -> str:
    """An error as `ValueError: text`, without the text where that cannot be had.

    The text is the error's own `__str__`: for the errors of fixers and libraries.
    """
    name = type_name(type(error))
    try:
        said = text(str(error))
    except Exception:
        said = None
    return f"{name}: {said[:_LONGEST_ERROR]}" if said else name


_LONGEST_ERROR: Final = 2000


def place(traceback: Any) -> str:
    """File and line where an error came from, as in `held.py:40`."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    file = text(traceback.tb_frame.f_code.co_filename) or "?"
    return shown(f"{os.path.basename(file)}:{traceback.tb_lineno}")


def modules() -> list[tuple[str, ModuleType]]:
    """What `sys.modules` holds of true modules, each once and under its first name."""
    found: dict[int, tuple[str, ModuleType]] = {}
    for key, module in entries(sys.modules, _ENTRIES):
        name = text(key)
        if name is not None and is_a(module, ModuleType):
            found.setdefault(id(module), (name, module))
    return list(found.values())

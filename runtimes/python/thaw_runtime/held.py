"""What a function's own modules hold: globals, and what hangs on them, as text that can be looked for in a response.

Read without running any code of the function's: no property, no `__repr__`, no `__getattr__`.
"""

from __future__ import annotations

import functools
import gc
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = 4
"""Characters: a shorter value identifies nothing."""
_LONGEST: Final = 400
"""Characters of a value."""
_DEPTH: Final = 4
_MOST: Final = 200
"""Members of one container."""


def as_text(value: Any) -> str | None:
    """A value as it would be looked for in a response; None for what holds no chance."""
    if isinstance(value, bytes | bytearray):
        return bytes(value[: _LONGEST // 2]).hex()
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return repr(value)
    kind = type(value)
    if (kind.__module__, kind.__name__) in {("uuid", "UUID"), ("uuid_utils", "UUID")}:
        return str(value)
    if (kind.__module__, kind.__name__) == ("datetime", "datetime"):
        text: str = value.isoformat()
        return text
    if isinstance(value, list | tuple) and 0 < len(value) <= 64:
        parts = [as_text(part) for part in value]
        return " ".join(part for part in parts if part is not None)[:_LONGEST] or None
    return None


def held() -> Iterator[tuple[str, str]]:
    """What the function's own modules hold, as name and text: globals, and what hangs on them to a depth of four."""
    seen: set[int] = set()
    for module in leftovers.own_modules():
        for name, value in list(vars(module).items()):
            if not name.startswith("__"):
                yield from _within(f"{module.__name__}.{name}", value, module.__name__, seen, 0)


def _within(
    name: str, value: Any, module: str, seen: set[int], depth: int
) -> Iterator[tuple[str, str]]:
    text = as_text(value)
    if text is not None and not isinstance(value, list | tuple):
        if len(text) >= SHORTEST:
            yield name, text
        return
    if depth >= _DEPTH or id(value) in seen or isinstance(value, ModuleType):
        return
    seen.add(id(value))
    for part, inner in _parts(value, module):
        yield from _within(f"{name}{part}", inner, module, seen, depth + 1)


def _parts(value: Any, module: str) -> Iterator[tuple[str, Any]]:
    """What one object holds, as the suffix a person would write and the object. Runs no code of anybody's."""
    if isinstance(value, dict):
        for key, inner in list(value.items())[:_MOST]:
            yield f"[{key!r}]", inner
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value[:_MOST]):
            yield f"[{number}]", inner
    elif isinstance(value, set | frozenset):
        for inner in list(value)[:_MOST]:
            yield " (member)", inner
    elif isinstance(value, functools._lru_cache_wrapper):
        yield from ((" (cached)", result) for result in _cached(value))
    elif isinstance(value, FunctionType):
        if value.__module__ != module:
            return
        for number, inner in enumerate(value.__defaults__ or ()):
            yield f" (default {number})", inner
        for key, inner in (value.__kwdefaults__ or {}).items():
            yield f" (default {key})", inner
        for variable, cell in zip(
            value.__code__.co_freevars, value.__closure__ or (), strict=False
        ):
            try:
                yield f" (variable {variable})", cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    elif isinstance(value, MethodType | property | staticmethod | classmethod):
        return
    elif isinstance(value, type):
        if value.__module__ == module:
            for key, inner in list(vars(value).items()):
                if not key.startswith("__"):
                    yield f".{key}", inner
    else:
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            for key, inner in list(attributes.items())[:_MOST]:
                yield f".{key}", inner


def _cached(cache: Any) -> Iterator[Any]:
    """What a cached function remembers. It has no reader, but the garbage collector is shown it all.

    An unbounded cache is a dict; a bounded one shows keys and results themselves.
    """
    for referent in gc.get_referents(cache):
        if referent is vars(cache):
            continue
        if isinstance(referent, dict):
            yield from (r for r in referent.values() if type(r).__name__ != "_lru_list_elem")
        elif not callable(referent):
            yield referent

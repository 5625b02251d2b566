"""Values that a function's own modules hold: globals and their members, as text that can be looked for in a response.

Read without running any code of the function's (`plain`): no property, no `__repr__`, no `__getattr__`, no `__eq__`.
"""

from __future__ import annotations

import functools
import gc
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import plain
from thaw_runtime.diagnosis import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw_runtime.bundle import Bundle
    from thaw_runtime.diagnosis import Diagnosis

SHORTEST: Final = 4
"""Characters: a shorter value identifies nothing."""
_LONGEST: Final = 400
"""Characters of a value."""
_DEPTH: Final = 4
_MOST: Final = 200
"""Members of one container."""
_MOST_GLOBALS: Final = 20_000
"""Of one module."""
_MOST_PARTS: Final = 64
"""Members of a list that is looked for as one text."""
_LONGEST_KEY: Final = 80

_cache_dict: Final = functools._lru_cache_wrapper.__dict__["__dict__"].__get__


def as_text(value: Any) -> str | None:
    """A value as it would be looked for in a response; None for what holds no chance."""
    text = _scalar_text(value)
    if text is not None:
        return text
    if plain.is_a(value, list, tuple):
        parts = plain.members(value, _MOST_PARTS + 1) or []
        if len(parts) <= _MOST_PARTS:
            texts = [_scalar_text(part) for part in parts]
            return " ".join(text for text in texts if text is not None)[:_LONGEST] or None
    return None


def _scalar_text(value: Any) -> str | None:
    plainly = plain.scalar(value, _LONGEST)
    if type(plainly) is bytes:
        return plainly[: _LONGEST // 2].hex()
    if type(plainly) is str:
        return plainly
    if plainly is not None:
        return repr(plainly)
    number = plain.uuid(value)
    if number is not None:
        digits = f"{number:032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if plain.is_named(type(value), "uuid_utils", "UUID"):
        return plain.native_text(value)
    moment = plain.moment(value)
    if moment is not None:
        text: str = moment[0].isoformat()
        return text
    return None


def held(
    bundle: Bundle, diagnosis: Diagnosis, budget: Budget | None = None
) -> Iterator[tuple[str, str]]:
    """The values of the function's own modules, as name and text: globals, and members to a depth of four."""
    walk = _Walk(diagnosis, budget or Budget())
    for name, module in bundle.own_modules():
        entries = plain.entries(plain.module_dict(module), _MOST_GLOBALS + 1)
        if len(entries) > _MOST_GLOBALS:
            diagnosis.cut(f"more than {_MOST_GLOBALS} globals", plain.shown(name))
        for key, value in entries[:_MOST_GLOBALS]:
            text = plain.text(key)
            if text is not None and not text.startswith("__"):
                found: list[tuple[str, str]] = []
                with diagnosis.guard():
                    walk.into(found, f"{name}.{text}", value, name, 0)
                yield from found
        if walk.budget.spent:
            diagnosis.cut("too many objects to look at all of them", "the function")
            return


class _Walk:
    """One walk over everything that the function holds: each object once."""

    def __init__(self, diagnosis: Diagnosis, budget: Budget) -> None:
        self.budget = budget
        self._diagnosis = diagnosis
        self._seen: set[int] = set()
        self._slots: dict[int, Any] = {}

    def into(
        self, found: list[tuple[str, str]], name: str, value: Any, module: str, depth: int
    ) -> None:
        """Add to `found` what this object is and what hangs on it."""
        if not self.budget.take():
            return
        text = _scalar_text(value)
        if text is not None:
            if len(text) >= SHORTEST:
                found.append((plain.shown(name), text))
            return
        if depth >= _DEPTH or id(value) in self._seen or plain.is_a(value, ModuleType):
            return
        self._seen.add(id(value))
        parts = _parts(value, module, self._slots)
        if len(parts) > _MOST:
            self._diagnosis.cut(f"more than {_MOST} members", plain.shown(name))
        for part, inner in parts[:_MOST]:
            if self.budget.spent:
                return
            self.into(found, f"{name}{part}", inner, module, depth + 1)


def _parts(value: Any, module: str, slots: dict[int, Any]) -> list[tuple[str, Any]]:
    """One object's members, as the suffix that a person would write and the member. One more than will be looked at."""
    if plain.is_a(value, dict):
        return [(f"[{_key(key)}]", inner) for key, inner in plain.entries(value, _MOST + 1)]
    if plain.is_a(value, set, frozenset):
        return [(" (member)", inner) for inner in plain.members(value, _MOST + 1) or ()]
    members = plain.members(value, _MOST + 1)
    if members is not None:
        return [(f"[{number}]", inner) for number, inner in enumerate(members)]
    if plain.is_a(value, functools._lru_cache_wrapper):
        return [(" (cached)", result) for result in _cached(value)]
    if type(value) is FunctionType:
        return _function_parts(value) if plain.origin(value)[0] == module else []
    if plain.is_a(value, type):
        if plain.type_module(value) != module:
            return []
        return _named(plain.class_entries(value, _MOST + 1), hidden="__")
    return _named(plain.attributes(value, _MOST + 1, slots))


def _named(entries: list[tuple[Any, Any]], hidden: str | None = None) -> list[tuple[str, Any]]:
    parts = []
    for key, inner in entries:
        name = plain.text(key)
        if name is not None and not (hidden and name.startswith(hidden)):
            parts.append((f".{name}", inner))
    return parts


def _function_parts(function: FunctionType) -> list[tuple[str, Any]]:
    """Defaults and closure. Attributes of an exact function are C's; their values may be of a subclass."""
    defaults = plain.members(function.__defaults__, _MOST) or ()
    parts = [(f" (default {number})", inner) for number, inner in enumerate(defaults)]
    parts += [
        (f" (default {plain.text(key)})", inner)
        for key, inner in plain.entries(function.__kwdefaults__, _MOST)
    ]
    cells = plain.members(function.__closure__, _MOST) or ()
    for variable, cell in zip(function.__code__.co_freevars, cells, strict=False):
        if type(cell) is CellType:
            try:
                parts.append((f" (variable {plain.text(variable)})", cell.cell_contents))
            except ValueError:  # not assigned yet
                continue
    return parts


def _key(key: Any) -> str:
    """A dict's key as a person would write it, if it is of a kind that has one way to be written."""
    plainly = plain.scalar(key, _LONGEST_KEY)
    if plainly is not None:
        return repr(plainly)
    if key is None or type(key) is bool:
        return repr(key)
    if plain.is_a(key, tuple):
        parts = [plain.scalar(part, _LONGEST_KEY) for part in plain.members(key, 4) or ()]
        return f"({', '.join('...' if part is None else repr(part) for part in parts)})"
    return f"<{plain.type_name(type(key))}>"


def _cached(cache: Any) -> list[Any]:
    """The results that a cached function remembers. Only the garbage collector's references lead to them.

    An unbounded cache is a dict; a bounded one shows keys and results themselves.
    """
    results: list[Any] = []
    attributes = _cache_dict(cache)
    for referent in gc.get_referents(cache):
        if referent is attributes:
            continue
        if type(referent) is dict:
            results += [
                result
                for _, result in plain.entries(referent, _MOST + 1)
                if plain.type_name(type(result)) != "_lru_list_elem"
            ]
        elif not callable(referent):
            results.append(referent)
        if len(results) > _MOST:
            break
    return results

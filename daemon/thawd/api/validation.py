"""Reading a request's members against their constraints, all violations in one message, in Lambda's words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, field, frozen

from .errors import ApiError, invalid_content

_T = TypeVar("_T")


@define(eq=False)
class Violations:
    """The faults found in a request so far."""

    _found: list[str] = field(factory=list)

    def add(self, path: str, value: object, constraint: str) -> None:
        """Note that the member at `path` does not meet a constraint."""
        shown = "null" if value is None else f"'{_shown(value)}'"
        self._found.append(f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}")

    def add_text(self, text: str) -> None:
        """Note a violation that Lambda words in its own way."""
        self._found.append(text)

    def length(self, path: str, value: str, *, low: int, high: int) -> None:
        """Note it if `value` is shorter or longer than that."""
        if len(value) < low:
            self.add(path, value, f"Member must have length greater than or equal to {low}")
        elif len(value) > high:
            self.add(path, value, f"Member must have length less than or equal to {high}")

    def enum(self, path: str, value: str, accepted: Sequence[str]) -> None:
        """Note it if `value` is none of the accepted ones."""
        if value not in accepted:
            listing = ", ".join(accepted)
            self.add(path, value, f"Member must satisfy enum value set: [{listing}]")

    def check(self) -> None:
        """Raise `ApiError` (ValidationException) if anything was wrong."""
        if self._found:
            count = len(self._found)
            errors = "error" if count == 1 else "errors"
            raise ApiError(
                "ValidationException",
                400,
                f"{count} validation {errors} detected: {'; '.join(self._found)}",
            )


@frozen
class Members:
    """A JSON object of a request, read member by member. Null and absent are the same, as in Lambda."""

    violations: Violations
    _object: Mapping[str, Any]
    _path: str = ""

    def path(self, name: str) -> str:
        """How a message names a member: `snapStart.applyOn`."""
        return f"{self._path}{name[0].lower()}{name[1:]}"

    def given(self, name: str) -> bool:
        """Whether a member is there and not null."""
        return self._object.get(name) is not None

    def used(self, name: str) -> bool:
        """Whether a member says anything: not absent, null, empty, or an object of empty values."""
        return _says_something(self._object.get(name))

    def text(
        self,
        name: str,
        *,
        low: int = 0,
        high: int | None = None,
        pattern: str | None = None,
        accepted: Sequence[str] | None = None,
    ) -> str | None:
        """A string member; None when absent or in violation."""
        value = self._typed(name, str, "a string")
        if value is None:
            return None
        path = self.path(name)
        if len(value) < low or (high is not None and len(value) > high):
            self.violations.length(path, value, low=low, high=len(value) if high is None else high)
        elif pattern is not None and not re.fullmatch(pattern, value):
            self.violations.add(
                path, value, f"Member must satisfy regular expression pattern: {pattern}"
            )
        elif accepted is not None and value not in accepted:
            self.violations.enum(path, value, accepted)
        else:
            return value
        return None

    def integer(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number; None when absent or in violation."""
        value = self._typed(name, int, "a whole number")
        if value is None:
            return None
        if value < low:
            bound = f"greater than or equal to {low}"
        elif value > high:
            bound = f"less than or equal to {high}"
        else:
            return value
        self.violations.add(self.path(name), value, f"Member must have value {bound}")
        return None

    def boolean(self, name: str) -> bool:
        """A truth value; False when absent."""
        return bool(self._typed(name, bool, "true or false"))

    def structure(self, name: str) -> Members | None:
        """An object; None when absent."""
        value = self._typed(name, dict, "an object")
        if value is None:
            return None
        return Members(self.violations, value, f"{self.path(name)}.")

    def strings(self, name: str) -> list[str] | None:
        """A list of strings; None when absent."""
        value = self._typed(name, list, "a list of strings")
        if value is not None and not all(isinstance(item, str) for item in value):
            raise invalid_content(f"{name} must be a list of strings")
        return value

    def string_map(self, name: str) -> dict[str, str] | None:
        """An object of strings; None when absent."""
        value = self._typed(name, dict, "an object of strings")
        if value is not None and not all(isinstance(item, str) for item in value.values()):
            raise invalid_content(f"{name} must be an object of strings")
        return value

    def require(self, *names: str) -> None:
        """Note each of these members that is absent."""
        for name in names:
            if not self.given(name):
                self.violations.add(self.path(name), None, "Member must not be null")

    def _typed(self, name: str, kind: type[_T], described: str) -> _T | None:
        value = self._object.get(name)
        if value is not None and type(value) is not kind:
            raise invalid_content(f"{name} must be {described}")
        return value


def read_members(body: bytes) -> Members:
    """A request's JSON body; an empty one is an empty object. Raises `ApiError`."""
    try:
        # Decoded here: json would take UTF-16, and half a surrogate pair, in bytes.
        value = json.loads(body.decode()) if body else {}
    except (ValueError, RecursionError) as error:
        raise invalid_content(str(error)) from error
    if not isinstance(value, dict):
        raise invalid_content("the body must be an object")
    if b"\\u" in body:  # the one way to write what is looked for
        _check_text(value)
    return Members(Violations(), value)


def _check_text(value: object) -> None:
    """Refuse text that has no UTF-8, or that no file name, variable or C string could hold. Raises `ApiError`."""
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text:
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise invalid_content("a string has half of a surrogate pair in it") from None
                if "\0" in text:
                    raise invalid_content("a string has a NUL in it")
            case dict() as members:
                rest += [*members.keys(), *members.values()]
            case list() as items:
                rest += items


def _says_something(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(item) for item in value.values())
    return bool(value)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 1000 else f"{text[:1000]}..."

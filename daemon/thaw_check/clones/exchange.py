"""A clone test's observations as JSON: how they come from the daemon to the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cattrs

from .observation import Observed

if TYPE_CHECKING:
    from collections.abc import Mapping

_converter = cattrs.Converter()
_converter.register_unstructure_hook(bytes, bytes.hex)
_converter.register_structure_hook(bytes, lambda value, _: bytes.fromhex(value))


def as_json(observed: Observed) -> dict[str, Any]:
    """Observations as JSON's types; bytes in hexadecimal."""
    shape: dict[str, Any] = _converter.unstructure(observed)
    return shape


def from_json(shape: Mapping[str, Any]) -> Observed:
    """The observations from the output of `as_json`. Raises `ValueError` for any other value."""
    try:
        return _converter.structure(shape, Observed)
    except (cattrs.BaseValidationError, KeyError, TypeError) as error:
        raise ValueError(f"these are no observations: {error}") from error

"""A check's result, written for people, programs, code hosts and test runners: one module a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import github, json, junit, sarif, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw_check.findings import Report

FORMATS: Final[dict[str, Callable[[Report], str]]] = {
    "text": text.render,
    "json": json.render,
    "sarif": sarif.render,
    "github": github.render,
}
"""What `--format` takes. `junit.render` is for a file beside it."""

__all__ = ["FORMATS", "github", "json", "junit", "sarif", "text"]

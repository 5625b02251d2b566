"""The API's core of parts that a test chose, for what needs no machines."""

from __future__ import annotations

from typing import Any

from thawd.api.core import Core
from thawd.testing import FakeImages


class Collector:
    """Collects nothing."""

    def nudge(self) -> None:
        pass


def core(**parts: Any) -> Core:
    """A core whose other parts are missing: a test that reaches for one fails."""
    return Core(
        **{"host": None, "fleet": None, "images": FakeImages(), "collector": Collector(), **parts}
    )

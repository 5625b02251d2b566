"""The API's core of parts that a test chose, for what needs no machines."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from thawd.api.core import Core


@frozen
class Image:
    runtime: str = "python3.13"


@frozen
class Images:
    """An image store with these runtimes."""

    runtimes: tuple[str, ...] = ("python3.13",)

    def list(self) -> list[Image]:
        return [Image(runtime) for runtime in self.runtimes]


class Collector:
    """Collects nothing."""

    def nudge(self) -> None:
        pass


def core(**parts: Any) -> Core:
    """A core whose other parts are missing: a test that reaches for one fails."""
    return Core(
        **{"host": None, "fleet": None, "images": Images(), "collector": Collector(), **parts}
    )

"""What this image says of its language: the command that runs a function, and variables of this language alone.

The host writes it into the image from the language's runtime.toml (`thawd.runtimes`), checked; here it is only read.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from . import wire
    from .system import System

PATH: Final = "/etc/thaw/runtime.json"


class Language:
    """The one runtime of this image. `about` is the JSON object of the file."""

    def __init__(self, about: dict[str, Any]) -> None:
        self._runtime: str = about["runtime"]
        self._command: list[str] = about["command"]
        environment = about["environment"]
        self._defaults: dict[str, str] = environment["defaults"]
        self._search: dict[str, dict[str, list[str]]] = environment["search"]
        self.path: list[str] = environment["path"]
        """Directories before PATH's usual ones."""
        self.library_path: list[str] = environment["library_path"]
        """Directories before LD_LIBRARY_PATH's usual ones."""
        self.log_names_under_snapstart: bool = environment["log_names_under_snapstart"]
        """Whether the log group's and stream's names are variables under SnapStart too."""

    @classmethod
    def of_image(cls, system: System) -> Language:
        """As the image has it. Raises `OSError`, `ValueError`, `KeyError` for an image without."""
        return cls(json.loads(system.read(PATH)))

    def command(self, init: wire.Init) -> list[str]:
        """What runs the handler, in the user's wrapper if there is one. Raises `ValueError` for another runtime."""
        if init.runtime != self._runtime:
            raise ValueError(f"this image has no runtime {init.runtime}")
        values = _values(init)
        client = [_filled(part, values) for part in self._command]
        wrapper = init.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
        return [wrapper, *client] if wrapper else client

    def defaults(self, init: wire.Init) -> dict[str, str]:
        """Variables that the function's own of the same name replace."""
        values = _values(init)
        return {name: _filled(text, values) for name, text in self._defaults.items()}

    def search_paths(self, system: System, init: wire.Init) -> dict[str, str]:
        """Variables that list directories: the function's own, the layers' that are there, and the language's."""
        values = _values(init)
        found = {}
        for name, parts in self._search.items():
            layers = [_filled(part, values) for part in parts["layers"]]
            always = [_filled(part, values) for part in parts["always"]]
            there = [part for part in layers if os.path.isdir(system.path(part))]
            own = init.environment.get(name)
            found[name] = ":".join([*([own] if own else ()), *there, *always])
        return found


def _values(init: wire.Init) -> dict[str, str]:
    return {
        "handler": init.handler,
        "runtime": init.runtime,
        "memory_mib": str(init.memory_mib),
    }


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with its placeholders filled in, once: a handler's name may have braces of its own."""
    first, *rest = template.split("{")
    parts = (part.partition("}") for part in rest)
    return first + "".join(values[name] + after for name, _, after in parts)

"""The functions that `./dev bench` starts: TOML files in the folders of the languages, `runtimes/<language>/bench/`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import cattrs
from attrs import field, frozen

RUNTIMES = Path(__file__).parents[2] / "runtimes"

_converter = cattrs.Converter(forbid_extra_keys=True)


def _json(_: object, __: object, value: str) -> None:
    json.loads(value)


@frozen(kw_only=True)
class Case:
    """One function. `name` is the language and the file's name; `event` is the JSON text that it is handed."""

    name: str
    runtime: str
    handler: str
    code: Path
    event: str = field(default="{}", validator=_json)
    memory_mib: int = 256


def load(path: Path) -> Case:
    """The case of one file. Raises `cattrs.BaseValidationError` for members that are missing or unknown."""
    said = tomllib.loads(path.read_text())
    language = path.parents[1].name
    return _converter.structure(
        said | {"name": f"{language}-{path.stem}", "code": path.parent / said.get("code", "")}, Case
    )


def find(runtimes: Path = RUNTIMES) -> list[Case]:
    """Every language's cases."""
    return [load(path) for path in sorted(runtimes.glob("*/bench/*.toml"))]

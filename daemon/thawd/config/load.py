"""From a TOML file to a `Config`; what is wrong, in words that name the setting."""

from __future__ import annotations

import difflib
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cattrs
from attrs import fields, has
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from thawd.errors import ConfigError

from . import places
from .settings import Address, Config, FunctionConfig, Refused, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_T = TypeVar("_T")


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the settings.

    Args:
        path: `--config`; then the file must exist. Without it `$THAWD_CONFIG` (must exist too), then
            /etc/thawd/thawd.toml if present, then defaults only.
        environ: the environment (`os.environ`).

    Raises:
        ConfigError: names the file, every setting that is wrong, and what is accepted.
    """
    if path is None and environ.get("THAWD_CONFIG"):
        path = Path(environ["THAWD_CONFIG"])
    if path is None:
        if not places.SYSTEM_FILE.exists():
            return from_mapping({}, environ)
        path = places.SYSTEM_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no configuration file {path}",
            hint="Correct --config or $THAWD_CONFIG; no file is needed for the defaults",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return from_mapping(settings, environ, source=path)


def from_mapping(
    settings: Mapping[str, Any], environ: Mapping[str, str], *, source: Path | None = None
) -> Config:
    """Check parsed TOML and fill in the defaults. Relative paths are taken from the folder of `source`.

    Raises `ConfigError` as `load` does.
    """
    base = source.parent if source else Path.cwd()
    complete = {
        "state_directory": str(places.default_state_directory(environ)),
        "runtime_directory": str(places.default_runtime_directory(environ)),
        **settings,
    }
    try:
        return _converter(base).structure(complete, Config)
    except ClassValidationError as error:
        problems = list(_problems(error, ()))
        where = source or "the configuration"
        listing = "".join(f"\n  {problem}" for problem in problems)
        raise ConfigError(
            f"{where} cannot be used:{listing}\nAll settings: docs/configuration.md"
        ) from error


@lru_cache(maxsize=1)
def _converter(base: Path) -> cattrs.Converter:
    """A converter that takes TOML's types as they are: no "5" for 5, no true for 1."""
    converter = cattrs.Converter(forbid_extra_keys=True)

    def exactly(kind: type[_T], name: str) -> Callable[[Any, Any], _T]:
        def structure(value: Any, _: Any) -> _T:
            if type(value) is not kind:
                raise TypeError(f"{value!r} is {_article(value)}. Accepted: {name}")
            return value

        return structure

    converter.register_structure_hook(bool, exactly(bool, "true or false"))
    converter.register_structure_hook(int, exactly(int, "a whole number"))
    converter.register_structure_hook(str, exactly(str, "a string"))

    def number(value: Any, _: Any) -> float:
        if type(value) not in {int, float}:
            raise TypeError(f"{value!r} is {_article(value)}. Accepted: a number")
        return float(value)

    def directory(value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise TypeError(f"{value!r} is {_article(value)}. Accepted: a path")
        return base / Path(value).expanduser()

    def strings(value: Any, example: str) -> tuple[str, ...]:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise TypeError(f"{value!r} is not a list of strings. Accepted: {example}")
        return tuple(value)

    def addresses(value: Any, _: Any) -> tuple[Address, ...]:
        return tuple(parse_address(item) for item in strings(value, '["unix:/path", ...]'))

    def table(kind: Any, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise TypeError(f"{value!r} is {_article(value)}. Accepted: a table")
            return inner(value, kind)

        return structure

    converter.register_structure_hook_factory(
        has,
        lambda kind: table(
            kind, make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
        ),
    )
    converter.register_structure_hook(float, number)
    converter.register_structure_hook(Path, directory)
    converter.register_structure_hook_func(lambda t: t == tuple[Address, ...], addresses)
    converter.register_structure_hook_func(
        lambda t: t == tuple[str, ...], lambda value, _: strings(value, '["name", ...]')
    )
    # Last: it is made of what is registered by then.
    by_name = dict[str, FunctionConfig]
    converter.register_structure_hook_func(
        lambda t: t == by_name, table(by_name, converter.get_structure_hook(by_name))
    )
    return converter


def _article(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "a whole number",
        float: "a number with a fraction",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _problems(error: BaseValidationError, table: tuple[str, ...]) -> Iterator[str]:
    """One line for each thing that is wrong, settings named in full (`pool.ready`)."""
    for problem in error.exceptions:
        name = next(
            (
                note.name if isinstance(note, AttributeValidationNote) else str(note.index)
                for note in getattr(problem, "__notes__", ())
                if isinstance(note, AttributeValidationNote | IterableValidationNote)
            ),
            None,
        )
        if isinstance(problem, BaseValidationError):
            yield from _problems(problem, (*table, name) if name else table)
        elif isinstance(problem, ForbiddenExtraKeysError):
            known = [attribute.name for attribute in fields(problem.cl)]
            for extra in sorted(problem.extra_fields):
                near = difflib.get_close_matches(extra, known, n=1)
                advice = f"Did you mean {near[0]}?" if near else f"Accepted: {', '.join(known)}"
                yield f"{'.'.join((*table, extra))}: unknown setting. {advice}"
        elif isinstance(problem, Refused):
            yield f"{'.'.join((*table, problem.setting))}: {problem.reason}"
        else:
            yield f"{'.'.join((*table, name or '?'))}: {problem}"

"""The languages, read from `runtimes/<language>/runtime.toml`. docs/languages.md is for authors.

This is the only place on the host that reads these files. A runtime's image carries the part that the agent needs (`baked`).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import cattrs
from attrs import Attribute, asdict, field, fields, frozen, has
from cattrs.gen import make_dict_structure_fn

from thawd.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DIRECTORIES: Final = "THAWD_RUNTIMES"
"""Environment variable: further directories of languages, separated as in PATH. They come before thawd's own."""

FILE: Final = "runtime.toml"
PLACEHOLDERS: Final = frozenset({"handler", "runtime", "memory_mib"})
"""Names that may stand in braces in a command and in values of variables; the agent fills them in."""

_ID: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def _filled(_: Any, attribute: Attribute[Any], value: str | Iterable[str]) -> None:
    """Only placeholders that the agent knows."""
    for text in [value] if isinstance(value, str) else value:
        rest = text
        for name in PLACEHOLDERS:
            rest = rest.replace(f"{{{name}}}", "")
        if "{" in rest or "}" in rest:
            known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
            raise ValueError(f"{attribute.name}: {text!r}: braces only as in {known}")


def _values_filled(instance: Any, attribute: Attribute[Any], value: dict[str, str]) -> None:
    _filled(instance, attribute, value.values())


def _not_empty(_: Any, attribute: Attribute[Any], value: str | tuple[str, ...]) -> None:
    if not value:
        raise ValueError(f"{attribute.name} must not be empty")


def _absolute_program(_: Any, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    if value and not value[0].startswith("/"):
        raise ValueError(f"{attribute.name}: {value[0]!r} is no absolute path of a program")


def _inside(_: Any, attribute: Attribute[Any], value: Iterable[str]) -> None:
    """Relative paths that do not lead out of their tree."""
    for text in value:
        path = PurePosixPath(text)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise ValueError(f"{attribute.name}: {text!r} must be a path below its directory")


def _both_inside(instance: Any, attribute: Attribute[Any], value: dict[str, str]) -> None:
    _inside(instance, attribute, (*value, *value.values()))


@frozen(kw_only=True)
class SearchPath:
    """A variable of this language that lists directories: the function's own value, then these."""

    layers: tuple[str, ...] = field(default=(), validator=_filled)
    """Those of them that there are when the function starts."""

    always: tuple[str, ...] = field(default=(), validator=_filled)


@frozen(kw_only=True)
class Environment:
    """Variables of this language's functions, beside those that every function has."""

    path: tuple[str, ...] = ()
    """Directories before PATH's usual ones."""

    library_path: tuple[str, ...] = ()
    """Directories before LD_LIBRARY_PATH's usual ones."""

    defaults: dict[str, str] = field(factory=dict, validator=_values_filled)
    """Variables by name, unless the function has its own of that name."""

    search: dict[str, SearchPath] = field(factory=dict)
    log_names_under_snapstart: bool = False
    """Whether AWS_LAMBDA_LOG_GROUP_NAME and _STREAM_NAME are there under SnapStart, where Lambda has none."""


@frozen(kw_only=True)
class Archive:
    """A suite of Debian, or of an archive like it, that an image's packages come from."""

    suite: str = field(validator=_not_empty)
    python: str = field(validator=_not_empty)
    """The version of its python3, such as 3.13, which is the agent's interpreter too."""

    mirror: str = ""
    """Empty: Debian's."""

    security_mirror: str = ""
    keyring: str = ""
    """The absolute path of the keys that it is signed with; empty: Debian's."""

    keyring_package: str = ""
    """The host's package that brings them."""

    components: tuple[str, ...] = ("main",)


@frozen(kw_only=True)
class ImageParts:
    """The parts of a runtime's image that not every image has."""

    archive: Archive | None = None
    """Where all packages but the kernel come from; None: from the suite of every image."""

    packages: tuple[str, ...] = ()
    """Debian packages, with their dependencies."""

    remove: tuple[str, ...] = field(default=(), validator=_inside)
    """Files and directories of the packages that the image does without."""

    copy: dict[str, str] = field(factory=dict, validator=_both_inside)
    """Files and directories of the language's directory, by where they are: to where they go."""

    build: str = ""
    """A Python file in the language's directory that does the rest (`thawd.images.hook`)."""

    sources: tuple[str, ...] = field(default=(), validator=_inside)
    """Files and directories of the language's directory that `build` makes something of: other ones make another image."""

    settings: dict[str, Any] = field(factory=dict)
    """For `build`."""

    def joined(self, own: ImageParts) -> ImageParts:
        """These, which all runtimes of a language have, with one runtime's own."""

        def both(shared: Any, one: Any) -> Any:
            if isinstance(shared, tuple):
                return (*shared, *one)
            return shared | one if isinstance(shared, dict) else one or shared

        names = [attribute.name for attribute in fields(ImageParts)]
        return ImageParts(**{name: both(getattr(self, name), getattr(own, name)) for name in names})


@frozen(kw_only=True)
class _Member:
    log_name: str = field(validator=_not_empty)
    default: bool = False
    image: ImageParts = field(factory=ImageParts)


@frozen(kw_only=True)
class _File:
    command: tuple[str, ...] = field(validator=[_not_empty, _absolute_program, _filled])
    default_handler: str = field(validator=_not_empty)
    must_report: str = ""
    environment: Environment = field(factory=Environment)
    image: ImageParts = field(factory=ImageParts)
    runtimes: dict[str, _Member] = field(validator=_not_empty)

    @runtimes.validator
    def _ids(self, _: Any, value: dict[str, _Member]) -> None:
        for name in value:
            if not _ID.fullmatch(name):
                raise ValueError(f"runtimes: {name!r} is no runtime's name, such as go1.x")


@frozen(kw_only=True)
class Runtime:
    """One runtime of a language, as a function's `Runtime` names it."""

    id: str
    language: str
    """The name of its directory."""

    directory: Path
    log_name: str
    """Its name in the log lines INIT_START and RESTORE_START."""

    command: tuple[str, ...]
    """The program that runs a function, and its arguments, with placeholders."""

    default_handler: str
    must_report: str
    """The part of the language without whose report at freeze no snapshot is taken; empty: any may be."""

    environment: Environment
    image: ImageParts
    default: bool = False
    """Whether commands take it when no runtime is named."""

    def baked(self) -> str:
        """The agent's part of it, as the JSON in the image's /etc/thaw/runtime.json."""
        about = {
            "runtime": self.id,
            "command": self.command,
            "environment": asdict(self.environment),
        }
        return json.dumps(about, indent=1, sort_keys=True) + "\n"


def runtimes_directories() -> tuple[Path, ...]:
    """Where languages are looked for, the first found counts: THAWD_RUNTIMES, then thawd's own.

    Its own are in the installed package, or in the source tree. Raises `ImageError` for one that is not there.
    """
    given = [Path(part) for part in os.environ.get(DIRECTORIES, "").split(os.pathsep) if part]
    for path in given:
        if not path.is_dir():
            raise ImageError(
                f"{DIRECTORIES} names {path}, which is no directory", hint="Correct the variable"
            )
    return (*given, _own_directory())


def _own_directory() -> Path:
    here = Path(__file__).resolve().parent
    installed = here / "_runtimes"
    return installed if installed.is_dir() else here.parents[1] / "runtimes"


def known() -> dict[str, Runtime]:
    """All runtimes by name. Raises `ImageError` for a file that cannot be read."""
    found: dict[str, Runtime] = {}
    for directory in runtimes_directories():
        for path in sorted(directory.glob(f"*/{FILE}")):
            for runtime in read(path):
                found.setdefault(runtime.id, runtime)
    return found


def find(name: str) -> Runtime:
    """The runtime of this name. Raises `ImageError`."""
    there = known()
    if name not in there:
        raise ImageError(f"there is no runtime {name}", hint=f"There are: {', '.join(there)}")
    return there[name]


def default() -> Runtime:
    """The runtime that commands take when none is named. Raises `ImageError`."""
    there = known()
    chosen = [runtime for runtime in there.values() if runtime.default] or list(there.values())
    if not chosen:
        raise ImageError(
            f"there is no runtime in {', '.join(map(str, runtimes_directories()))}",
            hint="Install thawd again",
        )
    # Directories that a person names come first, but only thawd's own say what is usual.
    return chosen[-1]


def read(path: Path) -> list[Runtime]:
    """The runtimes of a runtime.toml. Raises `ImageError`, which names the field that is wrong."""
    try:
        file = _CONVERTER.structure(tomllib.loads(path.read_text()), _File)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}", hint=_HINT) from error
    except (cattrs.BaseValidationError, cattrs.ForbiddenExtraKeysError) as error:
        problems = "".join(f"\n  {problem}" for problem in _problems(error))
        raise ImageError(f"{path} cannot be used:{problems}", hint=_HINT) from error
    return [
        Runtime(
            id=name,
            language=path.parent.name,
            directory=path.parent,
            command=file.command,
            default_handler=file.default_handler,
            must_report=file.must_report,
            environment=file.environment,
            log_name=member.log_name,
            image=file.image.joined(member.image),
            default=member.default,
        )
        for name, member in file.runtimes.items()
    ]


_HINT: Final = "See docs/languages.md"


def _problems(error: BaseException) -> Iterator[str]:
    """One line for each thing that is wrong, with the field's full name."""
    for text in cattrs.transform_error(error, path="", format_exception=_say):
        what, _, where = text.rpartition(" @ ")
        yield f"{where.removeprefix('.') or FILE}: {what}"


def _say(error: BaseException, kind: type | None) -> str:
    if isinstance(error, ValueError | TypeError):
        return str(error)
    return cattrs.v.format_exception(error, kind)


def _converter() -> cattrs.Converter:
    """A converter that takes TOML's types as they are: no "5" for 5, no true for 1."""
    converter = cattrs.Converter(forbid_extra_keys=True)

    def exactly(kind: type, name: str) -> Callable[[Any, Any], Any]:
        def structure(value: Any, _: Any) -> Any:
            if type(value) is not kind:
                raise TypeError(f"{value!r} is not {name}")
            return value

        return structure

    def strings(value: Any, _: Any) -> tuple[str, ...]:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise TypeError(f"{value!r} is not a list of strings")
        return tuple(value)

    def table(kind: Any) -> Callable[[Any, Any], Any]:
        inner = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)

        def structure(value: Any, target: Any) -> Any:
            if not isinstance(value, dict):
                raise TypeError(f"{value!r} is not a table")
            return inner(value, target)

        return structure

    def by_name(kind: Any) -> Callable[[Any, Any], Any]:
        inner = cattrs.gen.mapping_structure_factory(kind, converter)

        def structure(value: Any, target: Any) -> Any:
            if not isinstance(value, dict):
                raise TypeError(f"{value!r} is not a table")
            return inner(value, target)

        return structure

    converter.register_structure_hook(bool, exactly(bool, "true or false"))
    converter.register_structure_hook(str, exactly(str, "a string"))
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], strings)
    converter.register_structure_hook_factory(has, table)
    mappings = (dict[str, str], dict[str, SearchPath], dict[str, _Member])
    converter.register_structure_hook_factory(lambda kind: kind in mappings, by_name)
    converter.register_structure_hook_func(
        lambda kind: kind == dict[str, Any], exactly(dict, "a table")
    )
    return converter


_CONVERTER: Final = _converter()

"""Arguments that all commands share: the parser, common options, and small types."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from .exits import Exit


class Parser(argparse.ArgumentParser):
    """argparse with our way of failing: cause, way out, status 64."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)  # a script must not break when an option is added
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        self.exit(Exit.USAGE, f"{self.prog}: {message}. See: {self.prog} --help\n")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options every command has. One that writes its result to a file has a `--json FILE` of its own."""
    group = parser.add_argument_group("common options")
    if "--json" not in parser._option_string_actions:  # noqa: SLF001 - argparse has no other way to ask
        group.add_argument("--json", action="store_true", help="print the result as JSON")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: /etc/thawd/thawd.toml)"
    )


def add_socket(parser: argparse.ArgumentParser) -> None:
    """The option of commands that talk to the daemon."""
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the daemon's Unix socket (default: $THAW_SOCKET, else as configured)",
    )


@frozen
class FunctionName:
    """`NAME` or `NAME:QUALIFIER`."""

    name: str
    qualifier: str | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.qualifier}" if self.qualifier else self.name


def function_name(text: str) -> FunctionName:
    """Argument type for `NAME[:QUALIFIER]`, also with an ARN in front of it."""
    if text.startswith("arn:"):
        _, _, text = text.partition(":function:")
    name, colon, qualifier = text.partition(":")
    if not name or (colon and not qualifier):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME or NAME:QUALIFIER")
    return FunctionName(name, qualifier or None)


def plain_function_name(text: str) -> str:
    """Argument type for `NAME` alone."""
    function = function_name(text)
    if function.qualifier:
        raise argparse.ArgumentTypeError(
            f"{text!r} names a version, where the function's name is wanted: {function.name}"
        )
    return function.name


def assignment(text: str) -> tuple[str, str]:
    """Argument type for `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def check_json(payload: bytes, source: str) -> None:
    """Refuse a payload that is not JSON, before a function sees it. Raises `ValueError` that says where."""
    try:
        json.loads(payload)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{source} is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from error

"""Show a function's log, oldest line first."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from .arguments import add_socket, function_name
from .exits import Exit
from .session import connect

if TYPE_CHECKING:
    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", type=function_name, metavar="NAME[:VERSION]")
    parser.add_argument("--version", metavar="N", help="of one version only")
    parser.add_argument("--lines", type=_positive, default=100, metavar="N", help="default: 100")
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on as lines come, until Ctrl-C"
    )
    parser.add_argument("--timestamps", "-t", action="store_true", help="show when each line came")
    add_socket(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print lines; with --json one JSON object a line, since a log that is followed has no end."""
    name = arguments.name
    with connect(arguments) as client:
        entries = client.logs(
            name.name,
            version=arguments.version or name.qualifier,
            lines=arguments.lines,
            follow=arguments.follow,
        )
        for entry in entries:
            if terminal.json:
                terminal.line(json.dumps(entry, ensure_ascii=False))
            else:
                when = (
                    terminal.style(f"{entry['timestamp']}  ", "dim") if arguments.timestamps else ""
                )
                terminal.line(when + str(entry["message"]).rstrip("\n"))
            if arguments.follow:
                terminal.out.flush()
    return Exit.OK


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return number

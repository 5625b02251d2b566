"""Entry of the `thaw` command: find the command, run it, turn failures into a line and an exit status.

A command is a module with `configure(parser)`, which adds its arguments, and `run(arguments, terminal)`, which returns
the exit status. Only the module that is asked for is imported: `thaw invoke` should not pay for the daemon.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from thawd import __version__
from thawd.errors import (
    BundleError,
    ConfigError,
    DaemonUnreachable,
    EngineError,
    ImageError,
    ThawError,
    room_on,
)

from .arguments import Parser, add_common
from .exits import Exit
from .system import NotHere, require_unix
from .terminal import Terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMMANDS: Final = {
    "function": "create, show, change and delete functions",
    "publish": "make a version: initialise, snapshot, ready to restore",
    "invoke": "call a function and print what it returns",
    "logs": "show a function's log",
    "versions": "list a function's versions and their states",
    "image": "build, list and remove guest images",
    "daemon": "run thawd in the foreground",
    "doctor": "say what this machine has and lacks",
    "check": "find what clones of a function would share: in its source, in real clones",
    "demo": "show it all in a minute: cold, restored, warm",
}
"""Every command, in the order of the help: its module here, and one line."""


_EVERYWHERE: Final = frozenset({"check"})
"""Commands that run on Windows and macOS too. They import only what is there."""


class Command(Protocol):
    """A command's module."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, arguments: argparse.Namespace, terminal: Terminal) -> int:
        """Do it; returns the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `thaw` with `argv`, by default this process's arguments. Returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    terminal = Terminal.standard(os.environ)
    try:
        return _dispatch(argv, terminal)
    except ThawError as error:
        report(error, terminal)
        return status_of(error)
    except KeyboardInterrupt:
        terminal.note("")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone (`thaw logs f | head`): not a fault, and not worth a second one at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        report(_from_system(error), terminal)
        return _status_of_system(error)


def _from_system(error: OSError) -> ThawError:
    """The operating system's error, with the file."""
    reason = error.strerror or str(error) or type(error).__name__
    if not isinstance(error.filename, str | bytes):  # a descriptor, or nothing
        return ThawError(reason)
    path = Path(os.fsdecode(error.filename))
    return ThawError(f"{path}: {reason}", hint=room_on(path, error))


def _status_of_system(error: OSError) -> Exit:
    match error:
        case PermissionError():
            return Exit.NO_PERMISSION
        case FileNotFoundError() | NotADirectoryError() | IsADirectoryError():
            return Exit.NO_INPUT
    return Exit.IO_ERROR


def report(error: ThawError, terminal: Terminal) -> None:
    """`thaw: cause. Way out` on standard error."""
    terminal.note(f"thaw: {error}")


def status_of(error: ThawError) -> Exit:
    """The exit status that tells a script what kind of failure this is."""
    from .client import DaemonRefused, SocketForbidden  # noqa: PLC0415 - httpx takes 100 ms to import

    match error:
        case SocketForbidden():
            return Exit.NO_PERMISSION
        case DaemonUnreachable():
            return Exit.UNAVAILABLE
        case ConfigError():
            return Exit.CONFIG
        case BundleError():
            return Exit.DATA
        case ImageError() | EngineError() | NotHere():
            return Exit.UNAVAILABLE
        case DaemonRefused(status=404):
            return Exit.NO_INPUT
        case DaemonRefused(status=408 | 409 | 412 | 429 | 503):
            return Exit.TEMPORARY
        case DaemonRefused(status=status) if status < 500:
            return Exit.DATA
    return Exit.SOFTWARE


def _dispatch(argv: list[str], terminal: Terminal) -> int:
    parser = _top_parser()
    if not argv:
        parser.print_help(terminal.err)
        return Exit.USAGE
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        if not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
            parser.error(f"no command {name!r}; {advice}")
        parser.parse_args(argv)  # --help and --version end here, anything else is refused
        parser.error("a command is missing")
    if name not in _EVERYWHERE:
        require_unix(f"thaw {name}")
    command: Command = importlib.import_module(f"{__package__}.{name}")
    sub = Parser(prog=f"thaw {name}", description=command.__doc__)
    command.configure(sub)
    if sub._subparsers is None:  # noqa: SLF001 - a command with actions adds them to each of those
        add_common(sub)
    arguments = sub.parse_args(rest)
    terminal.json = getattr(arguments, "json", False) is True
    return command.run(arguments, terminal)


def _top_parser() -> Parser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="thaw",
        usage="thaw COMMAND ...",
        description="AWS Lambda SnapStart on your own machine.",
        epilog=f"commands:\n{listing}\n\nthaw COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"thaw {__version__}")
    return parser

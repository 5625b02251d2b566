"""Make a version: initialise the function once, snapshot it, ready to restore."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thawd.environments.lines import SNAPSHOT_NOTE
from thawd.errors import ThawError
from thawd.guest.said import network_hint

from .arguments import add_socket, plain_function_name
from .exits import Exit
from .function import code_of, failure_of, snapstart_wanted
from .session import connect
from .waiting import until_settled

if TYPE_CHECKING:
    import argparse

    from .client import Client
    from .terminal import Terminal

_FUNCTIONS_FAULT: Final = "FunctionError"
"""Begins the StateReasonCode of a version whose own code failed."""
_HANDLERS_FAULT: Final = (
    "Runtime.HandlerNotFound",
    "Runtime.ImportModuleError",
    "Runtime.MalformedHandlerName",
)
LOG_LINES: Final = 20
"""Lines of the initialisation's log shown with a failure: a traceback, and what was printed before it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", type=plain_function_name, metavar="NAME")
    parser.add_argument(
        "--code",
        type=Path,
        metavar="PATH",
        help="update the code first: folder, zip or source file",
    )
    parser.add_argument("--description", metavar="TEXT")
    add_socket(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Publish, and wait for the version."""
    name = arguments.name
    with connect(arguments) as client:
        if arguments.code is not None:
            client.update_code(name, code_of(arguments.code, client, terminal))
            updated = until_settled(client, terminal, name, None, f"Updating {name}")
            if reason := failure_of(updated):
                terminal.note(f"thaw: {name}: {reason}")
                return Exit.NO
        started = time.monotonic()
        version = str(client.publish_version(name, arguments.description)["Version"])
        published = until_settled(client, terminal, name, version, f"Publishing {name}:{version}")
        elapsed_s = time.monotonic() - started
        reason = failure_of(published)
        log = _log(client, name, version)
    notes = [] if reason else _notes(log)
    if terminal.json:
        terminal.value({**published, **({"InitLog": log} if reason else {"Notes": notes})})
    elif not reason:
        what = "snapshotted" if snapstart_wanted(published) else "without a snapshot"
        terminal.line(
            f"{name}:{version} is {published.get('State', 'Active')}, {what} "
            f"({elapsed_s:.1f} s). Next: thaw invoke {name}:{version}"
        )
    for note in notes:
        terminal.note(f"thaw: note: {note}")
    if reason:
        terminal.note(f"thaw: {name}:{version}: {reason}")
        ours = not str(published.get("StateReasonCode", "")).startswith(_FUNCTIONS_FAULT)
        if log and not terminal.json and not ours:
            terminal.note("Its initialisation said:")
            lines = _lines(log)
            for line in lines[-LOG_LINES:]:
                terminal.note(f"  {line}")
            if len(lines) > LOG_LINES:
                terminal.note(f"  All of it: thaw logs {name}:{version}")
        if hint := network_hint(reason, *(str(entry.get("message", "")) for entry in log)):
            terminal.note(hint)
        terminal.note(_way_out(name, reason, ours=ours))
        return Exit.NO
    return Exit.OK


def _way_out(name: str, reason: str, *, ours: bool) -> str:
    """What to do about a version that failed; `ours`: its code is not to blame."""
    if ours:
        return f"When that is put right, publish again: thaw publish {name}"
    if any(error in reason for error in _HANDLERS_FAULT):
        return (
            f"If the handler's name is wrong: thaw function update {name} --handler HANDLER; thaw publish {name}. "
            f"If the code is: thaw publish {name} --code PATH"
        )
    return f"Correct it and publish again: thaw publish {name} --code PATH"


def _notes(log: list[dict[str, Any]]) -> list[str]:
    """What was noticed while the snapshot was made. A function may write such lines too, to its own author alone."""
    messages = (str(entry.get("message", "")) for entry in log)
    return [
        message.removeprefix(SNAPSHOT_NOTE)
        for message in messages
        if message.startswith(SNAPSHOT_NOTE)
    ]


def _log(client: Client, name: str, version: str) -> list[dict[str, Any]]:
    """The version's last log lines; none when they cannot be had, for what became of it matters more."""
    try:
        return list(client.logs(name, version=version, lines=LOG_LINES))
    except ThawError:
        return []


def _lines(log: list[dict[str, Any]]) -> list[str]:
    """The lines of a log whose messages may be whole tracebacks."""
    return [line for entry in log for line in str(entry.get("message", "")).rstrip().splitlines()]

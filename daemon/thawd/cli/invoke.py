"""Call a function. Its answer goes to standard output, its log to standard error.

The exit status is 1 when the function failed, with its error as output.
"""

from __future__ import annotations

import base64
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thawd.guest.said import network_hint

from .arguments import add_socket, check_json, function_name
from .exits import Exit
from .session import connect

if TYPE_CHECKING:
    import argparse

    from .client import Invocation
    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", type=function_name, metavar="NAME[:QUALIFIER]")
    parser.add_argument(
        "--payload",
        default="{}",
        metavar="JSON|@FILE|-",
        help="the event: JSON, a file's content, or standard input (default: {})",
    )
    parser.add_argument("--tail", action="store_true", help="show the end of the invocation's log")
    parser.add_argument(
        "--dry-run", action="store_true", help="only ask whether it could be invoked"
    )
    add_socket(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Invoke once."""
    name = arguments.name
    try:
        payload = _payload(arguments.payload)
    except FileNotFoundError as error:
        terminal.note(f"thaw: there is no file {error.filename}. Give --payload JSON, @FILE or -")
        return Exit.NO_INPUT
    except (ValueError, OSError) as error:
        terminal.note(f"thaw: {error}. An event is JSON, quoted for the shell: '{{\"key\": 1}}'")
        return Exit.DATA
    with (
        connect(arguments) as client,
        terminal.progress(f"Invoking {name}") as progress,
    ):
        progress.update("waiting")
        answer = client.invoke(
            name.name,
            name.qualifier,
            payload,
            tail=arguments.tail,
            dry_run=arguments.dry_run,
        )
    log = base64.b64decode(answer.log_tail or b"").decode(errors="replace")
    if terminal.json:
        terminal.value(_as_json(answer, log if arguments.tail else None))
    else:
        if log:
            terminal.note(log.rstrip("\n"))
        if answer.payload:
            terminal.out.write(answer.payload.decode(errors="replace").rstrip("\n") + "\n")
    if answer.function_error:
        ran = f"{name.name}:{answer.executed_version or name.qualifier or '$LATEST'}"
        terminal.note(
            f"thaw: {name} failed ({answer.function_error}). Its log: thaw logs {shlex.quote(ran)}"
        )
        if hint := network_hint(answer.payload.decode(errors="replace")):
            terminal.note(hint)
        return Exit.NO
    return Exit.OK


def _payload(text: str) -> bytes:
    if text == "-":
        payload, source = sys.stdin.buffer.read(), "standard input"
    elif text.startswith("@"):
        payload, source = Path(text[1:]).read_bytes(), text[1:]
    else:
        payload, source = text.encode(), "the payload"
    check_json(payload, source)
    return payload


def _as_json(answer: Invocation, log: str | None) -> dict[str, Any]:
    try:
        payload = json.loads(answer.payload) if answer.payload else None
    except ValueError:
        payload = answer.payload.decode(errors="replace")
    value = {
        "StatusCode": answer.status,
        "ExecutedVersion": answer.executed_version,
        "FunctionError": answer.function_error,
        "Payload": payload,
    }
    return value if log is None else {**value, "Log": log.splitlines()}

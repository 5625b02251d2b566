"""Say what this machine has and lacks for running functions, with the way out of each lack.

The exit status is 1 when something makes it impossible.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .arguments import add_socket
from .client import find_socket
from .diagnosis import Host, Status, as_json, examine
from .exits import Exit
from .report import report, write
from .session import settings

if TYPE_CHECKING:
    import argparse

    from .terminal import Terminal

_STYLE: Final = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_socket(parser)
    parser.add_argument(
        "--report",
        type=Path,
        nargs="?",
        const=Path("thaw-report.json"),
        metavar="FILE",
        help="also write all that helps others to help you, without secrets (default: %(const)s)",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="boot a guest on the hardware's virtualisation now, whatever is remembered of earlier tries",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Examine, and print one line a finding."""
    config = settings(arguments)
    socket = find_socket(arguments.socket, os.environ, config)
    host = Host(config, socket, os.environ, probe=arguments.probe)
    findings = examine(host)
    failed = any(finding.status is Status.FAIL for finding in findings)
    if arguments.report is not None:
        write(arguments.report, report(host, findings))
        terminal.note(
            f"Wrote {arguments.report}. No code, event or variable of a function is in it; read it before you send it"
        )
    if terminal.json:
        terminal.value(as_json(findings))
        return Exit.NO if failed else Exit.OK
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        status = terminal.style(f"{finding.status:4}", _STYLE[finding.status])
        terminal.line(f"{status}  {finding.topic:{width}}  {finding.detail}")
        if finding.hint:
            terminal.line(f"{'':4}  {'':{width}}  -> {finding.hint}")
    if failed:
        terminal.note("thaw: functions cannot run here yet. Do what stands after -> above")
    return Exit.NO if failed else Exit.OK

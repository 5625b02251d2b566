"""List a function's versions and their states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import add_socket, plain_function_name
from .exits import Exit
from .function import failure_of, short_time
from .session import connect

if TYPE_CHECKING:
    import argparse

    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", type=plain_function_name, metavar="NAME")
    add_socket(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """List the versions."""
    name = arguments.name
    with connect(arguments) as client:
        # Lambda's list leaves the states out, and they are what one asks for.
        versions = [
            client.get_configuration(name, str(listed["Version"]))
            for listed in client.list_versions(name)
        ]
    if terminal.json:
        terminal.value(versions)
        return Exit.OK
    terminal.table(
        ("VERSION", "STATE", "SNAPSHOT", "CODE BYTES", "MODIFIED", "DESCRIPTION"),
        [
            (
                str(version.get("Version")),
                failure_of(version) or str(version.get("State")),
                "yes"
                if (version.get("SnapStart") or {}).get("OptimizationStatus") == "On"
                else "no",
                str(version.get("CodeSize")),
                short_time(version.get("LastModified")),
                str(version.get("Description") or ""),
            )
            for version in versions
        ],
    )
    return Exit.OK

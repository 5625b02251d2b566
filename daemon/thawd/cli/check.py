"""Find what clones of a function would share: in its source, and with --clones (or a function's name) in real clones.

The linter reads a file, a folder or a zip and runs nothing. The clone test initialises the function twice, restores two
clones of each snapshot, gives all of them the same events and compares what they return, log, send and leave in /tmp:
what clones of one start share and the other start has otherwise was meant to be unique. It uses the daemon that
answers, else one of its own.

Accept a finding with a comment: # thaw: ignore[SNAP001] reason. The exit status is 1 when there are errors.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from thaw_check.errors import CheckError
from thaw_check.findings import in_order
from thaw_check.lint import RULES, accepted, lint_path
from thaw_check.report import FORMATS, junit, text
from thawd.errors import BundleError, DaemonUnreachable

from .arguments import add_socket, assignment
from .exits import Exit
from .system import NotHere, require_unix

if TYPE_CHECKING:
    import argparse

    from thaw_check.findings import Report

    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "subject",
        metavar="PATH|FUNCTION[:QUALIFIER]",
        help="Python source, a folder, a function's zip; or a function that the daemon has",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="how to print the result (default: text)"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="also write the result as JUnit XML"
    )
    parser.add_argument(
        "--rule",
        action="append",
        choices=[rule for rule in RULES if rule != "SNAP000"],
        metavar="SNAPnnn",
        help="of the linter's rules report only this one; may be given more than once",
    )
    parser.add_argument(
        "--dependencies", action="store_true", help="lint the packages in the folder or zip too"
    )
    clones = parser.add_argument_group("clone test")
    clones.add_argument(
        "--clones", action="store_true", help="run real clones of a PATH too (needs a guest image)"
    )
    clones.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="JSON|@FILE",
        help="an event for every clone; may be given more than once (default: {})",
    )
    clones.add_argument(
        "--worst-case",
        action="store_true",
        help="clone the kernel's random generator too: what depends on it alone shows",
    )
    clones.add_argument(
        "--without-fixers",
        action="store_true",
        help="renew nothing but the kernel: what the function would share on AWS",
    )
    clones.add_argument("--handler", help="of a PATH, MODULE.FUNCTION (default: found in it)")
    clones.add_argument("--memory", type=int, default=256, metavar="MB", help="of a PATH")
    clones.add_argument("--timeout", type=int, default=60, metavar="SECONDS", help="of a PATH")
    clones.add_argument(
        "--env", type=assignment, action="append", default=[], metavar="KEY=VALUE", help="of a PATH"
    )
    add_socket(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Check, print, and say by the exit status whether there are errors."""
    path = Path(arguments.subject)
    if not path.exists() and any(sign in arguments.subject for sign in "/.\\"):
        terminal.note(f"thaw: no file {path}. Name a .py file, a folder, a zip, or a function")
        return Exit.NO_INPUT
    try:
        report = _report(arguments, path, terminal)
    except CheckError as error:
        raise BundleError(error.message, hint=error.hint) from error
    except (DaemonUnreachable, NotHere) as error:
        if path.exists():
            raise
        terminal.note(f"thaw: no file {path}, and no function to ask for: {error}")
        return Exit.NO_INPUT
    if arguments.junit is not None:
        try:
            arguments.junit.write_text(junit.render(report), encoding="utf-8")
        except OSError as error:
            raise BundleError(
                f"{arguments.junit} cannot be written: {error.strerror}", hint="Name another file"
            ) from error
    if terminal.json:
        shown = FORMATS["json"](report)
    elif arguments.format == "text":
        shown = text.render(report, terminal.style)
    else:
        shown = FORMATS[arguments.format](report)
    terminal.out.write(shown)
    return Exit.NO if report.failed else Exit.OK


def _report(arguments: argparse.Namespace, path: Path, terminal: Terminal) -> Report:
    """The linter's report of a path; the clones' too where they are asked for, and of a function always."""
    if path.exists() and not arguments.clones:
        return _linted(arguments, path, terminal)
    # With this come httpx, which takes 200 ms to import, and modules that are there on Unix alone. A lint needs neither.
    require_unix("The clone test")
    from . import clones  # noqa: PLC0415

    if path.exists():
        tested = clones.of_path(arguments, path, terminal)
        return _with_clones(_linted(arguments, path, terminal), path, tested)
    with tempfile.TemporaryDirectory(prefix="thaw-check-") as folder:
        code, tested = clones.of_function(arguments, Path(folder), terminal)
        report = _with_clones(_linted(arguments, code, terminal), code, tested)
    return evolve(report, subject=arguments.subject)


def _linted(arguments: argparse.Namespace, path: Path, terminal: Terminal) -> Report:
    with terminal.progress(f"checking {path}"):
        return lint_path(path, rules=arguments.rule, dependencies=arguments.dependencies)


def _with_clones(linted: Report, path: Path, tested: Report) -> Report:
    """One report of both. A comment in the source accepts what clones showed, too."""
    kept, suppressed = accepted(tested.findings, path)
    return evolve(
        linted,
        findings=in_order([*linted.findings, *kept]),
        suppressed=(*linted.suppressed, *suppressed),
        rules={**linted.rules, **tested.rules},
        notes=(*linted.notes, *tested.notes),
        sections=tested.sections,
    )

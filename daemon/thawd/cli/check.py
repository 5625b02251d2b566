"""Find what clones of a function would share, in its source: a file, a folder or a zip.

Nothing is executed. Accept a finding with a comment: # thaw: ignore[SNAP001] reason. The exit status is 1 when there
are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thawd.check.lint import RULES, lint_path
from thawd.check.report import FORMATS, junit, text
from thawd.errors import BundleError

from .exits import Exit

if TYPE_CHECKING:
    import argparse

    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="Python source, a folder, or a function's zip"
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
        help="report only this rule; may be given more than once",
    )
    parser.add_argument(
        "--dependencies", action="store_true", help="check the packages in the folder or zip too"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Check, print, and say by the exit status whether there are errors."""
    if not arguments.path.exists():
        terminal.note(f"thaw: no file {arguments.path}. Name a .py file, a folder or a zip")
        return Exit.NO_INPUT
    with terminal.progress(f"checking {arguments.path}"):
        report = lint_path(
            arguments.path, rules=arguments.rule, dependencies=arguments.dependencies
        )
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

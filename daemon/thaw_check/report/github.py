"""For GitHub Actions: workflow commands, which it shows beside the lines of a pull request.

Escaping as in actions/toolkit, packages/core/src/command.ts: values of properties, and the message, differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thaw_check.findings import Level

if TYPE_CHECKING:
    from thaw_check.findings import Finding, Report

_COMMAND: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "notice"}


def render(report: Report) -> str:
    """One workflow command a finding."""
    return "".join(_command(finding, report) + "\n" for finding in report.findings)


def _command(finding: Finding, report: Report) -> str:
    rule = report.rules.get(finding.rule)
    properties = {"title": f"{finding.rule} {rule.name}" if rule else finding.rule}
    if finding.where is not None:
        where = finding.where
        properties = {"file": report.path(where), "line": str(where.line), **properties}
        if where.end_line in {0, where.line}:
            # GitHub takes columns only for a single line.
            properties |= {
                "col": str(where.column),
                "endColumn": str(max(where.end_column, where.column)),
            }
        else:
            properties |= {"endLine": str(where.end_line)}
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    text = _data(f"{finding.message}\n{finding.why}\nFix: {finding.fix}")
    return f"::{_COMMAND[finding.level]} {listed}::{text}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

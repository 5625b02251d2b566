"""For programs: everything that is known, as one JSON object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw_check.findings import Level

if TYPE_CHECKING:
    from thaw_check.findings import Finding, Location, Report


def render(report: Report) -> str:
    """The report as JSON."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """The report as JSON's types."""
    return {
        "subject": report.subject,
        "failed": report.failed,
        "counts": {level.value: report.count(level) for level in Level},
        "files": report.files,
        "lines": report.lines,
        "findings": [_finding(finding, report) for finding in report.findings],
        "suppressed": [
            {**_finding(accepted.finding, report), "reason": accepted.reason}
            for accepted in report.suppressed
        ],
        "notes": list(report.notes),
        "sections": [
            {
                "title": section.title,
                "rows": [dict(zip(section.header, row, strict=True)) for row in section.rows],
                "lines": list(section.lines),
            }
            for section in report.sections
        ],
    }


def _finding(finding: Finding, report: Report) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "name": report.rules[finding.rule].name if finding.rule in report.rules else finding.rule,
        "level": finding.level.value,
        "message": finding.message,
        "what": finding.what,
        "target": finding.target,
        "why": finding.why,
        "fix": finding.fix,
        "location": _location(finding.where, report) if finding.where else None,
        "related": [_location(related, report) for related in finding.related],
    }


def _location(location: Location, report: Report) -> dict[str, Any]:
    return {
        "path": report.path(location),
        "line": location.line,
        "column": location.column,
        "end_line": location.end_line or location.line,
        "end_column": location.end_column or location.column,
    }

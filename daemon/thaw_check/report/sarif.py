"""For code hosts and editors: SARIF 2.1.0 (OASIS, sarif-v2.1.0-os)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from thaw_check.findings import Level

if TYPE_CHECKING:
    from thaw_check.findings import Finding, Location, Report, Rule

_LEVEL: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


def render(report: Report) -> str:
    """The report as a SARIF log with one run."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """The SARIF log as JSON's types."""
    rules = list(report.rules.values())
    index = {rule.id: number for number, rule in enumerate(rules)}
    results: list[tuple[Finding, str | None]] = [(finding, None) for finding in report.findings]
    results += [(accepted.finding, accepted.reason) for accepted in report.suppressed]
    seen: Counter[str] = Counter()
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "thaw check",
                        **_version(),
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(f, reason, report, index, seen) for f, reason in results],
            }
        ],
    }


def _version() -> dict[str, str]:
    """The version that is installed; empty for a copy of the package alone."""
    try:
        return {"semanticVersion": metadata.version("thawd")}
    except metadata.PackageNotFoundError:
        return {}


def _rule(rule: Rule) -> dict[str, Any]:
    markdown = [rule.why, "", f"**Fix:** {rule.fix}"]
    for title, example in (("Bad", rule.bad), ("Good", rule.good)):
        if example:
            markdown += ["", f"**{title}**", "", "```python", example, "```"]
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\nFix: {rule.fix}", "markdown": "\n".join(markdown)},
        "defaultConfiguration": {"level": _LEVEL[rule.level]},
        "properties": {"tags": ["snapstart", "uniqueness"]},
    }


def _result(
    finding: Finding, reason: str | None, report: Report, index: dict[str, int], seen: Counter[str]
) -> dict[str, Any]:
    path = finding.where.path if finding.where else ""
    identity = f"{finding.rule}\0{path}\0{finding.what}\0{finding.target}"
    seen[identity] += 1
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVEL[finding.level],
        "message": {"text": finding.message},
        # Without the line: a finding stays the same when code above it grows.
        "partialFingerprints": {
            "thawFinding/v1": hashlib.sha256(f"{identity}\0{seen[identity]}".encode()).hexdigest()[
                :32
            ]
        },
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.where is not None:
        result["locations"] = [{"physicalLocation": _physical(finding.where, report)}]
    if finding.related:
        result["relatedLocations"] = [
            {
                "id": number,
                "physicalLocation": _physical(place, report),
                "message": {"text": "made here"},
            }
            for number, place in enumerate(finding.related)
        ]
    if reason is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": reason}]
    return result


def _physical(location: Location, report: Report) -> dict[str, Any]:
    region = {"startLine": location.line, "startColumn": location.column}
    if location.end_line and (location.end_line, location.end_column) > (
        location.line,
        location.column,
    ):
        region |= {"endLine": location.end_line, "endColumn": location.end_column}
    return {"artifactLocation": {"uri": quote(report.path(location))}, "region": region}

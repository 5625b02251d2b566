"""For test runners' reports: one test case a rule, which fails where the rule has errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from thaw_check.findings import Level

if TYPE_CHECKING:
    from thaw_check.findings import Finding, Report

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def render(report: Report) -> str:
    """The report as a JUnit XML file."""
    failed = {finding.rule for finding in report.findings if finding.level is Level.ERROR}
    rules = [*report.rules, *sorted({f.rule for f in report.findings} - set(report.rules))]
    suite = ET.Element(
        "testsuite",
        name="thaw check",
        tests=str(len(rules)),
        failures=str(len(failed)),
        errors="0",
        skipped="0",
    )
    for rule in rules:
        known = report.rules.get(rule)
        title = f"{rule} {known.name}" if known else rule
        case = ET.SubElement(
            suite, "testcase", classname=f"thaw check {_clean(report.subject)}", name=title
        )
        findings = [finding for finding in report.findings if finding.rule == rule]
        errors = [finding for finding in findings if finding.level is Level.ERROR]
        others = [finding for finding in findings if finding.level is not Level.ERROR]
        if errors:
            failure = ET.SubElement(case, "failure", type=rule, message=_clean(errors[0].message))
            failure.text = _clean("\n".join(_line(finding, report) for finding in errors))
            failure.text += f"\n\n{_clean(errors[0].why)}\nFix: {_clean(errors[0].fix)}"
        if others:
            ET.SubElement(case, "system-out").text = _clean(
                "\n".join(_line(f, report) for f in others)
            )
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _line(finding: Finding, report: Report) -> str:
    place = report.place(finding.where) if finding.where else report.subject
    return f"{place}: {finding.level}: {finding.message}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

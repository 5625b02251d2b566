"""For people: one line a finding, with the place first, and what to do about each rule once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from thaw_check.findings import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw_check.findings import Finding, Report, Section

_STYLES: Final = {Level.ERROR: "red", Level.WARNING: "yellow", Level.INFO: "dim"}
_INDENT: Final = "    "
_NUMBER: Final = re.compile(r"[\d,.]*")


def _plain(text: str, *_styles: str) -> str:
    return text


def render(report: Report, style: Callable[..., str] = _plain) -> str:
    """The report as text; `style(text, *names)` colours it, as `Terminal.style` does."""
    lines: list[str] = []
    explained: set[str] = set()
    for finding in report.findings:
        lines += _finding(finding, report, style, explain=finding.rule not in explained)
        explained.add(finding.rule)
    for section in report.sections:
        lines += _section(section, style)
    if report.sections:
        lines.append("")
    lines += [f"note: {note}" for note in report.notes]
    lines.append(_summary(report, style))
    return "\n".join(lines) + "\n"


def _finding(
    finding: Finding, report: Report, style: Callable[..., str], *, explain: bool
) -> list[str]:
    place = report.place(finding.where) if finding.where else report.subject
    rule = style(finding.rule, "bold", _STYLES[finding.level])
    lines = [f"{style(place, 'bold')}: {rule} {_one_line(finding.message)}"]
    lines += [f"{_INDENT}from {report.place(related)}" for related in finding.related]
    if explain:
        lines += [f"{_INDENT}why: {finding.why}", f"{_INDENT}fix: {finding.fix}"]
    return lines


def _section(section: Section, style: Callable[..., str]) -> list[str]:
    widths = [
        max(len(row[column]) for row in (section.header, *section.rows))
        for column in range(len(section.header))
    ]
    numeric = [
        bool(section.rows) and all(_NUMBER.fullmatch(row[column]) for row in section.rows)
        for column in range(len(section.header))
    ]
    lines = ["", style(section.title, "bold")]
    for number, row in enumerate((section.header, *section.rows) if section.rows else ()):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        text = (_INDENT + "  ".join(cells)).rstrip()
        lines.append(style(text, "dim") if number == 0 else text)
    return [*lines, *(f"{_INDENT}{line}" for line in section.lines)]


def _summary(report: Report, style: Callable[..., str]) -> str:
    counts = [
        _many(count, level.value if level is not Level.INFO else "remark")
        for level in Level
        if (count := report.count(level))
    ]
    scope = (
        f" in {_many(report.files, 'file')} ({_many(report.lines, 'line')})" if report.files else ""
    )
    accepted = f"; {len(report.suppressed)} accepted by comments" if report.suppressed else ""
    if not counts:
        return style(f"No findings{scope}{accepted}.", "green")
    return style(f"{', '.join(counts)}{scope}{accepted}.", "red" if report.failed else "yellow")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _one_line(text: str) -> str:
    return " ".join(text.split())

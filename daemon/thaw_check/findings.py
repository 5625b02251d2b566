"""Values that every part of `thaw check` reports: rules, findings, and one whole check."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Level(StrEnum):
    """How bad it is. Only errors fail a check."""

    ERROR = "error"
    """Clones will share this, or the hook will not do what it says."""
    WARNING = "warning"
    """Wrong in some functions, or put right by thawd's own fixers but not on AWS."""
    INFO = "info"


@frozen(order=True)
class Location:
    """A stretch of source. Lines and columns count from 1, columns in characters; the end is exclusive."""

    path: str
    """Relative to the checked folder, with forward slashes."""
    line: int = 1
    column: int = 1
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@frozen
class Rule:
    """One kind of hazard."""

    id: str
    name: str
    """Kebab case, for SARIF and the documentation's headings."""
    level: Level
    summary: str
    why: str
    fix: str
    bad: str = ""
    """Source that breaks the rule; the tests hold it against the linter."""
    good: str = ""


@frozen
class Finding:
    """One hazard at one place."""

    rule: str
    level: Level
    message: str
    """One sentence that names the shared value or the fault."""
    why: str
    fix: str
    where: Location | None = None
    """None where only a running clone showed it and nothing led back to source."""
    what: str = ""
    """The call or value at fault: `uuid.uuid4`, `$.trace`."""
    target: str = ""
    """Where it is kept: a global, an attribute, a parameter."""
    related: tuple[Location, ...] = ()
    """Where the value came from, outermost call first."""

    @property
    def key(self) -> tuple[Location, str, str, str]:
        """The order of a report; two findings with one key are one finding."""
        return (self.where or Location("", 0, 0), self.rule, self.what, self.target)


@frozen
class Suppressed:
    """A finding that a comment in the source accepts."""

    finding: Finding
    reason: str


@frozen
class Section:
    """A part of the page that is not a finding: steps in their order, with times."""

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    """Said below the table."""


@frozen
class Report:
    """The outcome of one check, whatever parts it ran."""

    subject: str
    """The path or function that was checked, as it was named."""
    findings: tuple[Finding, ...]
    rules: Mapping[str, Rule]
    suppressed: tuple[Suppressed, ...] = ()
    files: int = 0
    lines: int = 0
    notes: tuple[str, ...] = ()
    """Files that were not checked, and why."""
    sections: tuple[Section, ...] = ()
    root: str = ""
    """Put before every path, so that it leads there from the working directory; empty for a zip."""

    def path(self, location: Location) -> str:
        """The location's path, as the caller of the command would write it."""
        return f"{self.root}/{location.path}" if self.root else location.path

    def place(self, location: Location) -> str:
        """`path:line:column`, which editors and terminals make a link of."""
        return f"{self.path(location)}:{location.line}:{location.column}"

    def count(self, level: Level) -> int:
        """How many findings have this level."""
        return sum(finding.level is level for finding in self.findings)

    @property
    def failed(self) -> bool:
        """Whether a CI run should stop here."""
        return self.count(Level.ERROR) > 0


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place; each key once."""
    unique = {finding.key: finding for finding in findings}
    return tuple(unique[key] for key in sorted(unique))

"""`lint_path`: the whole pass over a file, a folder or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thaw_check.findings import Finding, Location, Report, Suppressed, in_order

from . import kept
from .files import SourceFile, select
from .ignores import ignores_of
from .interpreter import Run
from .project import Project, module_name
from .rules import RULES
from .source import decode, parse
from .unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .ignores import Ignore
    from .values import Module


def lint_path(
    path: Path, *, rules: Iterable[str] | None = None, dependencies: bool = False
) -> Report:
    """Lint a file, a folder or a zip; nothing of it is executed.

    Args:
        path: What to check. In folders and zips, tests and installed packages are left out.
        rules: Ids of the rules to report, all by default.
        dependencies: Whether to check the packages in a bundle too.

    Raises:
        CheckError: `path` cannot be read or holds no Python.
        ValueError: A rule is unknown.
    """
    selection = select(path, dependencies=dependencies)
    folder = path if path.is_dir() else path.parent
    root = "" if path.suffix == ".zip" or folder == Path() else folder.as_posix()
    return lint_files(
        selection.files, subject=str(path), rules=rules, notes=selection.notes(), root=root
    )


def lint_source(
    text: str, path: str = "handler.py", *, rules: Iterable[str] | None = None
) -> Report:
    """Lint one module given as text."""
    return lint_files([SourceFile(path, text.encode)], subject=path, rules=rules)


def lint_files(
    files: Iterable[SourceFile],
    *,
    subject: str,
    rules: Iterable[str] | None = None,
    notes: Iterable[str] = (),
    root: str = "",
) -> Report:
    """Lint files that belong together: calls are followed from one into another."""
    wanted = _wanted(rules)
    project = Project()
    modules: list[Module] = []
    found: list[tuple[Iterable[Ignore], Finding]] = []
    count = lines = 0
    for file in files:
        count += 1
        text = ""
        try:
            text = decode(file.read())
            name, package = module_name(file.path)
            module = parse(text, name=name, path=file.path, package=package)
        except (OSError, Unreadable) as error:
            found.append((ignores_of(text), _unreadable(file.path, error)))
            continue
        finally:
            lines += text.count("\n") + (not text.endswith("\n") and bool(text))
        project.add(module)
        modules.append(module)
    found += [(module.ignores, finding) for module, finding in _findings(project, modules)]
    kept_findings, accepted = [], []
    for ignores, finding in found:
        if finding.rule not in wanted:
            continue
        comment = _comment(finding, ignores, modules)
        if comment is None:
            kept_findings.append(finding)
        else:
            accepted.append(Suppressed(finding, comment.reason))
    return Report(
        subject=subject,
        findings=in_order(kept_findings),
        rules={id_: RULES[id_] for id_ in RULES if id_ in wanted},
        suppressed=tuple(
            sorted({s.finding.key: s for s in accepted}.values(), key=lambda s: s.finding.key)
        ),
        files=count,
        lines=lines,
        notes=tuple(notes),
        root=root,
    )


def accepted(
    findings: Iterable[Finding], path: Path
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """Divide findings that were not made here into those that stand and those that a comment accepts.

    Args:
        findings: With places in the source, or without any.
        path: The source, as for `lint_path`.
    """
    comments: dict[str, list[Ignore]] = {}
    for file in select(path, dependencies=True).files:
        try:
            comments[file.path] = ignores_of(decode(file.read()))
        except (OSError, Unreadable):
            continue
    standing, suppressed = [], []
    for finding in findings:
        at = finding.where
        ignore = next(
            (
                each
                for each in (comments.get(at.path, ()) if at else ())
                if at and each.covers(finding.rule, at.line, max(at.line, at.end_line))
            ),
            None,
        )
        if ignore is None:
            standing.append(finding)
        else:
            suppressed.append(Suppressed(finding, ignore.reason))
    return tuple(standing), tuple(suppressed)


def _wanted(rules: Iterable[str] | None) -> set[str]:
    if rules is None:
        return set(RULES)
    wanted = set(rules)
    if unknown := wanted - set(RULES):
        raise ValueError(f"no rule {', '.join(sorted(unknown))}; there are {', '.join(RULES)}")
    return wanted | {"SNAP000"}


def _findings(project: Project, modules: list[Module]) -> list[tuple[Module, Finding]]:
    run = Run(project.find)
    for module in modules:
        run.load(module)
    run.run_hooks()
    found = list(kept.findings(run, modules))
    by_path = {module.path: module for module in modules}
    for at in run.too_deep:
        error = Unreadable("it is nested too deeply", at.line, at.column)
        found.append((by_path[at.path], _unreadable(at.path, error)))
    return found


def _comment(finding: Finding, ignores: Iterable[Ignore], modules: list[Module]) -> Ignore | None:
    """The comment that accepts a finding: where it is reported, or where the value was made."""
    places = [(finding.where, ignores)] if finding.where else []
    by_path = {module.path: module for module in modules}
    places += [(at, by_path[at.path].ignores) for at in finding.related if at.path in by_path]
    for at, comments in places:
        for ignore in by_path[at.path].ignores if at.path in by_path else comments:
            if ignore.covers(finding.rule, at.line, max(at.line, at.end_line)):
                return ignore
    return None


def _unreadable(path: str, error: OSError | Unreadable) -> Finding:
    rule = RULES["SNAP000"]
    if isinstance(error, Unreadable):
        where = Location(path, error.line, error.column)
        message = f"{rule.summary}: {error.message}"
    else:
        where = Location(path)
        message = f"The file cannot be read: {error.strerror or error}"
    return Finding(rule.id, rule.level, message, rule.why, rule.fix, where, what=path)
